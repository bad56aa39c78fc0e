"""What users of this server may do besides what the rules of rooms say: how often, and whether it looks like spam.

Of users of this server. What comes from other servers is counted where it comes in, in services/federation/, and
looked at in services/events/incoming_spam.py.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from homeserver.core.identifiers import RoomAlias, RoomID, UserID
from homeserver.services.errors import Forbidden
from homeserver.services.events.creation import Draft
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.services.rooms.probation import Probation
from homeserver.services.spam_checks import CheckedEvent, SpamChecks
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Transaction

BARRED: Final = "Policy lists of this server do not let you invite anybody to this room"


class Admission:
    """Counts within the write in which something is done, so that what is refused counts nothing; asks before it."""

    def __init__(
        self,
        limits: RateLimits,
        checks: SpamChecks,
        probation: Probation,
        bars_invite: Callable[[UserID, RoomID], bool] = lambda _sender, _room_id: False,
    ) -> None:
        """`bars_invite`: whether policy lists let somebody invite nobody to a room."""
        self._limits = limits
        self._checks = checks
        self._probation = probation
        self._bars_invite = bars_invite

    # Whether it looks like spam: each raises RefusedAsSpam

    async def may_send(self, room_id: RoomID, draft: Draft) -> None:
        """Somebody is about to send a message or set state, be it an invite or a join."""
        membership = draft.content.get("membership") if draft.type == "m.room.member" else None
        target = UserID(draft.state_key or "")
        if membership == "invite":
            await self._checks.ask("may_invite", draft.sender, target, room_id)
        elif membership == "join" and target == draft.sender:
            await self.may_join(draft.sender, room_id, is_invited=False)
        elif draft.type != "m.room.member" and self._checks.has("may_send_event"):
            shown = CheckedEvent(
                room_id, draft.type, draft.sender, draft.content, draft.state_key, draft.redacts, draft.origin_server_ts
            )
            await self._checks.ask("may_send_event", shown)

    async def may_invite(self, inviter: UserID, invitee: UserID, room_id: RoomID) -> None:
        """Somebody is about to invite somebody."""
        await self._checks.ask("may_invite", inviter, invitee, room_id)

    @property
    def is_asked_about_joins(self) -> bool:
        """Whether anybody has something to say to joins."""
        return self._checks.has("may_join")

    async def may_join(self, user_id: UserID, room_id: RoomID, *, is_invited: bool) -> None:
        """Somebody is about to come into a room."""
        await self._checks.ask("may_join", user_id, room_id, is_invited=is_invited)

    async def may_create_room(
        self, user_id: UserID, invitees: Sequence[UserID], room_alias: RoomAlias | None, *, is_public: bool
    ) -> None:
        """Somebody is about to make a room, with all that is to be in it from the beginning."""
        await self._checks.ask("may_create_room", user_id)
        for invitee in invitees:
            await self._checks.ask("may_invite", user_id, invitee, None)
        if room_alias is not None:
            await self.may_create_alias(user_id, room_alias)
        if is_public:
            await self.may_publish_room(user_id, None)

    async def may_create_alias(self, user_id: UserID, room_alias: RoomAlias) -> None:
        """Somebody is about to name a room."""
        await self._checks.ask("may_create_alias", user_id, room_alias)

    async def may_publish_room(self, user_id: UserID, room_id: RoomID | None) -> None:
        """Somebody is about to put a room into the directory."""
        await self._checks.ask("may_publish_room", user_id, room_id)

    # How often

    def count_invites(self, tx: Transaction, sender: UserID, room_id: RoomID, targets: Sequence[UserID]) -> None:
        """Some invites to a room, by a user of this server. Raises LimitExceeded: then none of them may be.

        Raises Forbidden for strangers whom somebody new may not invite, and if policy lists want it; administrators are
        spared, as they are by bans.
        """
        account = find_account(tx, sender)
        if targets and not (account is not None and account.is_admin) and self._bars_invite(sender, room_id):
            raise Forbidden(BARRED)
        if targets and (account is None or account.is_rate_limited):
            own = None if account is None else account.rate_limit
            draws = [Draw(Counted.INVITES_BY_USER, sender, len(targets), own=own), *invite_draws(room_id, targets)]
            self._count(tx, [*draws, *self._probation.invite_draws(tx, account, targets)])

    def count_join(self, tx: Transaction, user_id: UserID, room_id: RoomID) -> None:
        """A user of this server comes into a room that it is in. Raises LimitExceeded."""
        account = find_account(tx, user_id)
        if account is None or account.is_rate_limited:
            self._count(tx, [Draw(Counted.JOINS_TO_ROOM, room_id)])

    def _count(self, tx: Transaction, draws: Sequence[Draw]) -> None:
        self._limits.check(*draws)
        tx.after_commit(partial(self._limits.note, *draws))


def invite_draws(room_id: RoomID, targets: Sequence[UserID]) -> list[Draw]:
    """What invites to a room draw, whoever sends them."""
    return [
        Draw(Counted.INVITES_TO_ROOM, room_id, len(targets)),
        *(Draw(Counted.INVITES_TO_USER, target) for target in targets),
    ]
