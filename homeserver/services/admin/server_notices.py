"""What the server itself says to its users: notices, each user's in a room of their own.

The room is made with the first notice. Its invite cannot be declined (services/rooms/notice_rooms.py); who left it is
invited to it again by the next notice. Spec: client-server-api/#server-notices
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.account_data import AccountDataKeeping
from homeserver.services.errors import BadState, Forbidden, InvalidParameter, NotFound, TooLarge
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.creation import InitialState, RoomCreation, RoomWishes
from homeserver.storage.accounts import Account, AccountKind, find_account, insert_account
from homeserver.storage.client_transactions import find_outcome, insert_outcome
from homeserver.storage.database import Transaction
from homeserver.storage.notice_rooms import find_notice_room, store_notice_room
from homeserver.storage.profiles import Profile, find_profile, member_profile, store_profile

MEMBER: Final = "m.room.member"
MESSAGE: Final = "m.room.message"
TAG: Final = "m.server_notice"
# With these the room itself would become another one, or the notices unreadable.
NOT_NOTICES: Final = frozenset(
    {"m.room.create", MEMBER, "m.room.redaction", "m.room.encryption", "m.room.power_levels", "m.room.tombstone"}
)
# Users read here. They cannot answer: nobody would see it.
POWER_LEVELS: Final[Mapping[str, Any]] = {"users_default": -10, "invite": 50}
SCOPE: Final = "server notice"
TAKEN: Final = (
    "The name of the server's own user, {}, belongs to somebody: name another one in server_notices.localpart"
)


@dataclass(frozen=True, slots=True)
class NoticesUser:
    """In whose name, and in what room, the server speaks."""

    user_id: UserID
    display_name: str
    avatar_url: str | None
    room_name: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that the server sends to a user. Any: JSON."""

    content: Mapping[str, Any]
    type: str = MESSAGE
    state_key: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeTransaction:
    """An administrator's own name for a request: sent again, it does nothing again."""

    sender: str
    transaction_id: str


class ServerNotices:
    """Sends notices."""

    def __init__(
        self,
        creation: EventCreation,
        rooms: RoomCreation,
        account_data: AccountDataKeeping,
        clock: Clock,
        user: NoticesUser,
        server_name: ServerName,
    ) -> None:
        self._creation = creation
        self._rooms = rooms
        self._account_data = account_data
        self._clock = clock
        self._user = user
        self._server_name = server_name

    async def send(self, to: UserID, notice: Notice, transaction: NoticeTransaction | None = None) -> EventID:
        """Say something to a user of this server; all that it takes is one write.

        Raises InvalidParameter, NotFound, BadState, Forbidden, EventTooLarge, BadJson.
        """
        if notice.type in NOT_NOTICES:
            raise InvalidParameter(f"{notice.type} cannot be sent as a notice")
        if server_name_of_user(to) != self._server_name or to == self._user.user_id:
            raise InvalidParameter("Notices are for the users of this server")
        try:
            return await self._creation.write(self._send, to, notice, transaction)
        except AuthRejected as rejected:
            raise Forbidden(f"The notice cannot be sent so: {rejected.reason}") from rejected

    def is_sender(self, user_id: UserID) -> bool:
        """Whether this is the server's own user."""
        return user_id == self._user.user_id

    def _send(self, tx: Transaction, to: UserID, notice: Notice, transaction: NoticeTransaction | None) -> EventID:
        sender, now_ms = self._user.user_id, self._clock.now_ms()
        if transaction is not None:
            name = transaction.sender, SCOPE, transaction.transaction_id
            known = find_outcome(tx, sender, *name, now_ms=now_ms)
            if known is not None:
                return EventID(known)
        account = find_account(tx, to)
        if account is None or account.is_deactivated:
            raise NotFound("There is no such account here, or it was closed")
        self._make_sender(tx, now_ms)
        write = self._room_of(tx, to)
        self._bring(write, to)
        draft = Draft(notice.type, sender, notice.content, state_key=notice.state_key)
        event_id = self._creation.add(write, draft).event.event_id
        write.finish()
        if transaction is not None:
            insert_outcome(tx, sender, *name, outcome=event_id, now_ms=now_ms)
        return event_id

    def _make_sender(self, tx: Transaction, now_ms: int) -> None:
        """Let there be the server's own user, called as the settings say. Nobody can log in as it."""
        user = self._user
        account = find_account(tx, user.user_id)
        if account is None:
            insert_account(tx, Account(user.user_id, AccountKind.USER, now_ms))
        elif account.kind is not AccountKind.USER or account.password_hash is not None or account.is_deactivated:
            raise BadState(TAKEN.format(user.user_id))
        profile = Profile(user.display_name, user.avatar_url)
        if find_profile(tx, user.user_id) != profile:
            store_profile(tx, user.user_id, profile)

    def _room_of(self, tx: Transaction, to: UserID) -> RoomWrite:
        """The user's room, open for writing: a new one, if there is none in which the server's user could speak."""
        sender = self._user.user_id
        room_id = find_notice_room(tx, to)
        write = None if room_id is None else self._creation.writer.open(tx, room_id)
        if write is not None and not write.is_blocked:
            content = _member(write, sender)
            if content.get("membership") == "join":
                wanted = {"membership": "join", **member_profile(tx, sender)}
                if content != wanted:
                    self._creation.add(write, Draft(MEMBER, sender, wanted, state_key=sender), notifies=False)
                return write
        return self._begin_room(tx, to)

    def _begin_room(self, tx: Transaction, to: UserID) -> RoomWrite:
        user = self._user
        avatar = [] if user.avatar_url is None else [InitialState("m.room.avatar", "", {"url": user.avatar_url})]
        wishes = RoomWishes(
            preset="private_chat",
            name=user.room_name,
            initial_state=avatar,
            creation_content={"m.federate": False},
            power_levels=POWER_LEVELS,
        )
        write = self._rooms.begin(tx, user.user_id, wishes)
        store_notice_room(tx, to, write.room_id)
        # Who keeps as much as anybody may is told all the same.
        with suppress(TooLarge):
            self._account_data.tag_within(tx, to, RoomID(write.room_id), TAG)
        return write

    def _bring(self, write: RoomWrite, to: UserID) -> None:
        """Invite the user, unless they are there: also those who want no invites, for notices are not to be missed."""
        if _member(write, to).get("membership") not in ("join", "invite"):
            content = {"membership": "invite", **member_profile(write.tx, to)}
            self._creation.add(write, Draft(MEMBER, self._user.user_id, content, state_key=to))


def _member(write: RoomWrite, user_id: UserID) -> Mapping[str, Any]:  # Any: JSON
    key = (MEMBER, user_id)
    event = write.state((key,)).get(key)
    return {} if event is None else event.content
