"""The audit of who is in a room: a row for each member event of the current state, and how it came to be so.

The state itself is audited in room_audit.py.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from homeserver.core import state_map
from homeserver.core.event_audit import Kept, Unsound
from homeserver.core.identifiers import EventID, ServerName, UserID, server_name_of
from homeserver.core.state_map import UnknownState
from homeserver.services.admin.audit_reading import Reading
from homeserver.storage import room_audit as rows
from homeserver.storage.room_audit import ChangeRow, EntryRow, MemberRow
from homeserver.storage.rooms import sync_horizon

MEMBER: Final = "m.room.member"


def check_member(reading: Reading, root: bytes, member: MemberRow, server_name: ServerName) -> None:
    """Raise Unsound unless a row is what the member event of a state makes of it."""
    try:
        event_id = state_map.get(reading.node, root, MEMBER, member.user_id)
    except UnknownState:
        return  # the state is partial
    if event_id is None:
        raise Unsound("it has a row, and no member event")
    kept = reading.find_now(event_id)
    if kept is None:
        raise Unsound(f"its member event {event_id} is not here")
    event = kept.event
    expected: dict[str, tuple[object, object]] = {
        "event_id": (member.event_id, event_id),
        "membership": (member.membership, str(event.content.get("membership", "leave"))),
        "sender": (member.sender, event.sender),
        "display_name": (member.display_name, text_of(event.content.get("displayname"))),
        "avatar_url": (member.avatar_url, text_of(event.content.get("avatar_url"))),
        "is_local": (member.is_local, server_name_of(UserID(member.user_id)) == server_name),
    }
    if not was_without_place(member, kept):
        expected["place"] = (member.place, kept.place or 0)
        if kept.log_position is not None and member.log_position < kept.log_position:
            raise Unsound("its row is older than its member event")
    for column, (found, right) in expected.items():
        if found != right:
            raise Unsound(f"its row has {column} {found!r}, and ought to have {right!r}")


def was_without_place(member: MemberRow, kept: Kept) -> bool:
    """Whether a row may be older than the place of its event, which was known by its auth events alone."""
    return member.place == 0 and (kept.log_position is None or kept.log_position > member.log_position)


def check_changes(reading: Reading, members: Sequence[MemberRow], server_name: ServerName) -> dict[str, str]:
    """What is wrong with how members came to be so, by user: nothing for those of whom all is well.

    Each change follows the one before, and the last led to where the membership is. Old ones are forgotten.
    """
    by_user: dict[str, list[ChangeRow]] = {member.user_id: [] for member in members}
    for change in rows.change_rows(reading.tx, reading.room_id, list(by_user), server_name):
        by_user[change.user_id].append(change)
    changes = [change for some in by_user.values() for change in some]
    horizon = sync_horizon(reading.tx)
    entries = rows.entry_rows(reading.tx, reading.room_id, list({EventID(change.event_id) for change in changes}))
    roots = rows.roots_at_positions(reading.tx, reading.room_id, [change.log_position for change in changes])
    faults: dict[str, str] = {}
    for member in members:
        own = by_user[member.user_id]
        fault = _fault_of_changes(member, own, horizon) or _fault_of_joining(member, own, entries)
        for change in own:
            entry = entries.get(EventID(change.event_id))
            if entry is None or (entry.type, entry.state_key) != (MEMBER, change.user_id):
                fault = fault or f"it changed by {change.event_id}, which is no member event of theirs that is here"
            if change.log_position > horizon and change.log_position not in roots:
                fault = fault or f"it changed at position {change.log_position}, and the room's state did not"
        if fault is not None:
            faults[member.user_id] = fault
    return faults


def _fault_of_changes(member: MemberRow, changes: Sequence[ChangeRow], horizon: int) -> str | None:
    last: ChangeRow | None = None
    for change in changes:
        before = None if last is None else last.membership
        is_forgotten = last is None and horizon > 0
        if change.before not in (before, None) and not is_forgotten:  # None: it was out of the state
            return f"it went from {change.before} at position {change.log_position}, and was {before}"
        last = change
    if last is None:
        return "it came to be so, and that is not noted" if member.log_position > horizon else None
    led_to = (last.membership, last.event_id, last.log_position)
    if led_to != (member.membership, member.event_id, member.log_position):
        return f"it came to {last.membership} by {last.event_id}, and its row says otherwise"
    return None


def _fault_of_joining(
    member: MemberRow, changes: Sequence[ChangeRow], entries: Mapping[EventID, EntryRow]
) -> str | None:
    """Whether it is noted where somebody who is in the room came in: what is unread begins there."""
    if member.membership != "join":
        return None if member.joined_place is None else "it is noted where it came to be join, and it is not"
    came = [change for change in changes if change.membership == "join" and change.before != "join"]
    entry = entries.get(EventID(came[-1].event_id)) if came else None
    if entry is None or entry.place is None or member.place == 0:  # long ago, or by an event that had no place then
        return None
    if member.joined_place != entry.place:
        return f"it came to be join at place {entry.place}, and its row has {member.joined_place}"
    return None


def check_nobody_is_missing(reading: Reading, root: bytes) -> None:
    """Raise Unsound unless everybody with a member event in a state has a row."""
    try:
        count = state_map.count_of_type(reading.node, root, MEMBER)
    except UnknownState:
        return
    if rows.member_count(reading.tx, reading.room_id) == count:
        return  # each row has an event of its own: then no event is left without a row
    known = rows.member_ids(reading.tx, reading.room_id)
    for (_, user_id), _event_id in state_map.items_of_type(reading.node, root, MEMBER):
        if user_id not in known and "\0" not in user_id:  # no user ID has NUL
            raise Unsound(f"{user_id} has a member event, and no row")


def text_of(value: object) -> str | None:
    """As memberships has it, where neither NUL nor a lone surrogate can be."""
    return value.replace("\0", "").encode(errors="ignore").decode() if isinstance(value, str) else None
