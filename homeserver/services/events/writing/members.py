"""Who is in a room: the rows that follow from the member events of its state, and those of servers and names.

Spec: client-server-api/#room-membership
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, ServerName, UserID, server_name_of
from homeserver.core.state_map import Absence, StateKey
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.services.events.writing.states import MEMBER, StatesInMaking
from homeserver.storage import room_servers as server_rows
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import (
    Membership,
    MembershipChange,
    insert_changes,
    memberships_in_room,
    remote_user_ids,
    remove_memberships,
    store_memberships,
)
from homeserver.storage.room_index import count_joined
from homeserver.storage.user_directory import note_names, renew_names

ENDED_OR_BEGUN: Final = ("leave", "ban", "invite")  # memberships of which one server more must hear
Members = Mapping[UserID, StoredEvent | None]  # by the user; None: the state says nothing of them any more


class MembersInMaking:
    """Finds whose membership a write changes, and writes it."""

    def __init__(
        self, at_hand: EventsAtHand, states: StatesInMaking, server_name: ServerName, *, forgets_left_rooms: bool
    ) -> None:
        self._tx = at_hand.tx
        self._room_id = at_hand.room_id
        self._at_hand = at_hand
        self._states = states
        self._server_name = server_name
        self._forgets_left_rooms = forgets_left_rooms
        self._given_servers: Collection[ServerName] | None = None

    @property
    def begins_stay(self) -> bool:
        """Whether a new stay of this server begins, of which another has told."""
        return self._given_servers is not None

    def give_servers(self, servers: Collection[ServerName]) -> None:
        """Take these to be in the room until all of its members are known; none: they are."""
        self._given_servers = servers

    def changed(
        self, difference: Mapping[StateKey, tuple[EventID | None, EventID | None]]
    ) -> dict[UserID, StoredEvent | None]:
        """Whose member event differs between two states, and what it is in the second."""
        # Whatever has NUL in it is nobody: no user ID has, and the rows of users cannot.
        members = {key: after for (kind, key), (_, after) in difference.items() if kind == MEMBER and "\0" not in key}
        events = self._at_hand.load(event_id for event_id in members.values() if event_id is not None)
        return {UserID(key): None if after is None else events[after] for key, after in members.items()}

    def unknown(self, root: bytes, members: Iterable[StoredEvent]) -> dict[UserID, StoredEvent]:
        """Those of the member events of whose users a state that is known in part says nothing."""
        by_user = {one.event.state_key or "": one for one in members}
        found = self._states.members_looked_up(root, by_user)
        # As above.
        return {UserID(key): by_user[key] for key, one in found.items() if one is Absence.UNKNOWN and "\0" not in key}

    def forgotten(self, roots: Iterable[bytes]) -> dict[UserID, None]:
        """Who was learned of in an earlier stay that ended before the room was whole, and is in none of the states."""
        users = remote_user_ids(self._tx, self._room_id)
        for root in roots:
            found = self._states.members_looked_up(root, users)
            users = [user_id for user_id in users if isinstance(found[user_id], Absence)]
        return dict.fromkeys(users)

    def not_learned(self, members: Mapping[UserID, StoredEvent]) -> dict[UserID, StoredEvent]:
        """Those of the members of whom there is no such row yet."""
        known = memberships_in_room(self._tx, self._room_id, list(members)) if members else {}
        return {
            user_id: one
            for user_id, one in members.items()
            if user_id not in known or known[user_id].event_id != one.event.event_id
        }

    def write(
        self, changed: Members, position: int, now_ms: int, stripped: Callable[[Event], bytes]
    ) -> list[MembershipChange]:
        """Write the memberships at a position of the log, and all that is counted of them.

        `stripped` gives what a user of this server is shown of a room that they are invited to or knock at.
        """
        tx = self._tx
        removed = [user_id for user_id, stored in changed.items() if stored is None]
        before = memberships_in_room(tx, self._room_id, list(changed)) if changed else {}
        remove_memberships(tx, self._room_id, removed)
        self._count_servers(changed, before, position, now_ms)
        rows = [
            self._row(user_id, stored, before.get(user_id), position, stripped)
            for user_id, stored in changed.items()
            if stored is not None
        ]
        store_memberships(tx, rows)
        self._write_names(rows, before, removed)
        came = sum(row.membership == "join" for row in rows)
        count_joined(tx, self._room_id, came - sum(_is_joined(known) for known in before.values()), position=position)
        changes = [
            MembershipChange(
                row.user_id,
                position,
                self._room_id,
                before[row.user_id].membership if row.user_id in before else None,
                row.membership,
                row.event_id,
            )
            for row in rows
        ]
        insert_changes(tx, changes, written_ms=now_ms)
        return changes

    def write_servers(self, position: int, now_ms: int) -> None:
        """Take note of the servers in a room whose members are not all known, or that now they all are."""
        if self._given_servers:
            server_rows.give_servers(self._tx, self._room_id, self._given_servers, position=position)
        elif self._given_servers is not None:
            server_rows.settle_given_servers(self._tx, self._room_id, position=position, now_ms=now_ms)

    def brings_together(self, changes: Sequence[MembershipChange], *, has_others: bool) -> bool:
        """Whether users of this server came into a room where other servers are, which may not know their devices."""
        own = self._server_name
        came = [server_name_of(change.user_id) for change in changes if change.membership == "join"]
        return own in came and (has_others or any(server != own for server in came))

    def told_besides(self, event: Event) -> ServerName | None:
        """The server that must hear of a membership besides those that hear of every event of this server.

        It is that of a user whom the event removes from the room, or whose invite or knock it ends; and that of the
        sender, if this server has redeemed an invite of an address in the name of somebody there.
        """
        if event.type != MEMBER or event.sender == event.state_key:
            return None
        membership = event.content.get("membership")
        if membership not in ENDED_OR_BEGUN:
            return None
        server = server_name_of(event.sender if membership == "invite" else UserID(event.state_key or ""))
        if server == self._server_name or server is None:
            return None
        if membership == "invite" and not server_rows.is_server_in_room(self._tx, self._room_id, server):
            return None
        return server

    def _row(
        self,
        user_id: UserID,
        stored: StoredEvent,
        known: Membership | None,
        position: int,
        stripped: Callable[[Event], bytes],
    ) -> Membership:
        content = stored.event.content
        membership = _membership_of(stored)
        is_local = server_name_of(user_id) == self._server_name
        stays = known is not None and _is_joined(known)
        joined_place = known.joined_place if known is not None and stays else stored.place
        return Membership(
            room_id=self._room_id,
            user_id=user_id,
            membership=membership,
            event_id=stored.event.event_id,
            sender=stored.event.sender,
            place=stored.place or 0,
            log_position=position,
            display_name=_text(content.get("displayname")),
            avatar_url=_text(content.get("avatar_url")),
            is_local=is_local,
            is_forgotten=is_local and self._forgets_left_rooms and membership in ("leave", "ban"),
            stripped_state=stripped(stored.event) if is_local and membership in ("invite", "knock") else None,
            joined_place=joined_place if membership == "join" else None,
            was_joined=known is not None and (stays or known.was_joined),
        )

    def _write_names(
        self, rows: Sequence[Membership], before: Mapping[UserID, Membership], removed: Sequence[UserID]
    ) -> None:
        """Let those who came in be found by their names, and those whose names went by what is left."""
        came: dict[UserID, str | None] = {}
        changed: list[str] = [user_id for user_id in removed if user_id in before]
        for row in rows:
            known = before.get(row.user_id)
            if known is not None and _is_joined(known):
                if row.membership != "join" or row.display_name != known.display_name:
                    changed.append(row.user_id)
            elif row.membership == "join":
                came[row.user_id] = row.display_name
        note_names(self._tx, came)
        renew_names(self._tx, changed)

    def _count_servers(self, changed: Members, before: Mapping[UserID, Membership], position: int, now_ms: int) -> None:
        """Keep up which servers are in the room."""
        steps = [
            (
                server_name_of(user_id),
                before[user_id].membership if user_id in before else None,
                None if stored is None else _membership_of(stored),
            )
            for user_id, stored in changed.items()
        ]
        server_rows.count_members(
            self._tx,
            room_id=self._room_id,
            changes=server_rows.member_changes(steps),
            position=position,
            now_ms=now_ms,
        )


def _membership_of(stored: StoredEvent) -> str:
    return str(stored.event.content.get("membership", "leave"))


def _is_joined(row: Membership) -> bool:
    return row.membership == "join"


def _text(value: object) -> str | None:
    # A display name may be anything in a remote's event; NUL and lone surrogates have no place in a text column.
    if not isinstance(value, str):
        return None
    return value.replace("\0", "").encode(errors="ignore").decode()
