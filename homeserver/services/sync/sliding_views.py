"""What a client of sliding sync has in sight, kept with its newest answer: what is said there needs no database.

Whatever may change more than the rooms in sight tell by themselves is looked up again: see sliding_assembling.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.news import (
    AccountDataWritten,
    Change,
    ReceiptWritten,
    RoomBecameWhole,
    RoomWritten,
    ThreadSubscriptionWritten,
)
from homeserver.services.sync.request import NotInMemory
from homeserver.services.sync.sliding_request import ListConfig, RoomConfig, View
from homeserver.storage.room_index import BUMP_TYPES, ListedRoom
from homeserver.storage.sliding_connections import SentRoom, SentRooms


@dataclass(frozen=True, slots=True)
class Said:
    """What was said in a room in sight: nothing else changed in it."""

    room: ListedRoom
    config: RoomConfig
    sent: SentRoom
    written: Sequence[RoomWritten]


def said_in_sight(
    view: View, lists: Mapping[str, ListConfig], sent: SentRooms, changes: Sequence[Change]
) -> dict[RoomID, Said]:
    """The rooms in sight in which something was said. Raises NotInMemory where that is not all that may have changed.

    `sent` is what the client was told of each room.
    """
    written: dict[RoomID, list[RoomWritten]] = {}
    for change in changes:
        if isinstance(change, AccountDataWritten | RoomBecameWhole | ThreadSubscriptionWritten):
            raise NotInMemory
        if isinstance(change, RoomWritten):
            if not _is_said(change):
                raise NotInMemory
            written.setdefault(change.room_id, []).append(change)
    for room_id in written:
        if not all(_stays(view, name, wanted, room_id) for name, wanted in lists.items()):
            raise NotInMemory
    return {
        room_id: _said(view, sent, room_id, in_room) for room_id, in_room in written.items() if room_id in view.configs
    }


def receipts_in_sight(view: View, changes: Sequence[Change], user_id: UserID) -> list[ReceiptWritten]:
    """The receipts of others that moved in rooms in sight. Raises NotInMemory for the user's own: counts go down."""
    moved = [one for one in changes if isinstance(one, ReceiptWritten) and one.room_id in view.configs]
    if any(receipt.user_id == user_id for receipt in moved):
        raise NotInMemory
    return moved


def _is_said(change: RoomWritten) -> bool:
    """Whether events say something, and change neither the state of the room nor what was said before."""
    return (
        change.root_before == change.root_after
        and not change.memberships
        and all(stored.event.state_key is None and stored.event.redacts is None for stored in change.events)
    )


def _stays(view: View, name: str, wanted: ListConfig, room_id: RoomID) -> bool:
    """Whether a list has the same rooms in sight when one of the user's rooms comes to its top."""
    in_sight = view.by_list[name]
    if len(in_sight) == view.counts[name]:
        return True  # that is all of them
    begins_at_top = wanted.ranges is None or (len(wanted.ranges) == 1 and wanted.ranges[0][0] == 0)
    return begins_at_top and room_id in in_sight


def _said(view: View, sent: SentRooms, room_id: RoomID, written: Sequence[RoomWritten]) -> Said:
    room, config, known = view.rooms[room_id], view.configs[room_id], sent.get(room_id)
    if room.membership != "join" or room.is_partial or known is None or known.upto is not None:
        raise NotInMemory
    if config.timeline_limit > known.timeline_limit or not known.required_state.covers(config.required_state):
        raise NotInMemory
    bumps = [one.log_position for change in written for one in change.events if one.event.type in BUMP_TYPES]
    moved = replace(
        room, active_position=written[-1].position, bump_position=bumps[-1] if bumps else room.bump_position
    )
    return Said(moved, config, known, written)
