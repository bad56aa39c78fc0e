"""Puts right who is in a room: the rows that follow from the member events of its current state.

What is wrong with them is found in member_audit.py. The state was checked before.
"""

from collections.abc import Sequence
from typing import Final

from homeserver.core import state_map
from homeserver.core.event_audit import Kept, Unsound
from homeserver.core.identifiers import EventID, ServerName, UserID, server_name_of
from homeserver.services.admin.audit_reading import Reading
from homeserver.services.admin.member_audit import MEMBER, text_of, was_without_place
from homeserver.storage import room_audit as rows
from homeserver.storage.memberships import (
    Membership,
    MembershipChange,
    find_membership,
    insert_changes,
    remove_memberships,
    store_memberships,
)
from homeserver.storage.room_audit import ChangeRow, MemberRow
from homeserver.storage.room_mending import set_change, set_local
from homeserver.storage.rooms import sync_horizon
from homeserver.storage.user_directory import renew_names

NOT_REBUILT: Final = ("invite", "knock")  # users of this server are shown something then that is nowhere else


class MemberMending:
    """Puts members of one room right, in one transaction. Raises Unsound where that cannot be."""

    def __init__(self, reading: Reading, root: bytes, server_name: ServerName, now_ms: int) -> None:
        self._reading = reading
        self._tx = reading.tx
        self._root = root
        self._server_name = server_name
        self._now_ms = now_ms
        self.mended = 0

    def mend(self, members: Sequence[MemberRow]) -> None:
        """Put these rows right."""
        changes = self._changes([member.user_id for member in members])
        for member in members:
            event_id = state_map.get(self._reading.node, self._root, MEMBER, member.user_id)
            if event_id is None:
                remove_memberships(self._tx, self._reading.room_id, [member.user_id])
                self._note(member.user_id)
            else:
                self._mend(member.user_id, self._kept(event_id), member, changes[member.user_id])

    def add_missing(self) -> None:
        """Give a row to everybody who has a member event in the state, and none."""
        known = rows.member_ids(self._tx, self._reading.room_id)
        found = state_map.items_of_type(self._reading.node, self._root, MEMBER)
        missing = {key[1]: event_id for key, event_id in found if key[1] not in known and "\0" not in key[1]}
        changes = self._changes(list(missing))
        for user_id, event_id in missing.items():
            self._mend(user_id, self._kept(event_id), None, changes[user_id])

    def _changes(self, user_ids: Sequence[str]) -> dict[str, list[ChangeRow]]:
        by_user: dict[str, list[ChangeRow]] = {user_id: [] for user_id in user_ids}
        for change in rows.change_rows(self._tx, self._reading.room_id, user_ids, self._server_name):
            by_user[change.user_id].append(change)
        return by_user

    def _kept(self, event_id: EventID) -> Kept:
        kept = self._reading.find_now(event_id)
        if kept is None:
            raise Unsound(f"the member event {event_id} is not here")
        return kept

    def _mend(self, user_id: str, kept: Kept, member: MemberRow | None, changes: Sequence[ChangeRow]) -> None:
        event, room_id = kept.event, self._reading.room_id
        membership = str(event.content.get("membership", "leave"))
        is_local = server_name_of(UserID(user_id)) == self._server_name
        known = find_membership(self._tx, room_id, UserID(user_id))
        if known is None and is_local and membership in NOT_REBUILT:
            raise Unsound(f"what {user_id} was shown of the room with the {membership} is nowhere else")
        position = self._position(user_id, kept, membership, member, changes)
        place = kept.place or 0
        if member is not None and was_without_place(member, kept):
            place = member.place
        right = Membership(
            room_id=room_id,
            user_id=UserID(user_id),
            membership=membership,
            event_id=event.event_id,
            sender=event.sender,
            place=place,
            log_position=position,
            display_name=text_of(event.content.get("displayname")),
            avatar_url=text_of(event.content.get("avatar_url")),
            is_local=is_local,
            is_forgotten=known is not None and known.is_forgotten,
            stripped_state=None if known is None else known.stripped_state,
            joined_place=self._joined_place(kept, membership, member, changes),
            was_joined=any(one.membership == "join" for one in changes[:-1]) if known is None else known.was_joined,
        )
        if right != known:
            store_memberships(self._tx, [right])
            set_local(self._tx, room_id, user_id, is_local=is_local)
            self._note(user_id)

    def _position(
        self, user_id: str, kept: Kept, membership: str, member: MemberRow | None, changes: Sequence[ChangeRow]
    ) -> int:
        """Where the membership came to be so, by what is noted of that; what is noted is put right where it can be."""
        event_id, room_id = kept.event.event_id, self._reading.room_id
        last = changes[-1] if changes else None
        if last is not None and (last.membership, last.event_id) == (membership, event_id):
            return last.log_position
        if member is None or member.event_id != event_id:
            raise Unsound(f"where {user_id} came to {membership} by {event_id} is noted nowhere")
        position = member.log_position
        if last is not None and last.log_position == position:
            set_change(self._tx, room_id, user_id, log_position=position, membership=membership, event_id=event_id)
            self.mended += 1
        elif position > sync_horizon(self._tx):
            before = None if last is None else last.membership
            has_root = rows.roots_at_positions(self._tx, room_id, [position])
            if not has_root or (last is not None and last.log_position > position):
                raise Unsound(f"where {user_id} came to {membership} by {event_id} is not certain")
            change = MembershipChange(UserID(user_id), position, room_id, before, membership, event_id)
            insert_changes(self._tx, [change], written_ms=self._now_ms)
            self.mended += 1
        return position

    def _joined_place(
        self, kept: Kept, membership: str, member: MemberRow | None, changes: Sequence[ChangeRow]
    ) -> int | None:
        if membership != "join":
            return None
        came = [change for change in changes if change.membership == "join" and change.before != "join"]
        entry = self._reading.find(EventID(came[-1].event_id)) if came else None
        if entry is not None and entry.place is not None and (member is None or member.place != 0):
            return entry.place
        if entry is not None and entry.place is None and member is not None:
            return member.joined_place  # they came in by an event that has no place
        return kept.place if member is None or member.joined_place is None else member.joined_place

    def _note(self, user_id: str) -> None:
        self.mended += 1
        renew_names(self._tx, [user_id])
