"""Putting in place what was not known of a room when this server came into it: all of its members.

What happened here meanwhile needed nothing of it (intake.py, and creation.py by way of UnknownState): so no event is
judged again, and their states are put on the ground of the whole one. Who fetches the members is in
services/federation/room_completion.py.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from homeserver.core.identifiers import EventID
from homeserver.services.events.intake import GivenState, Intake, given_entries, missing_ancestors, received_of
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.persistence import RoomWrite, RoomWriter
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, Verdict, accepted_from, events_by_id
from homeserver.storage.partial_rooms import PartialRoom, find_partial_room, forget_partial_room
from homeserver.storage.waiting_events import lacks_not, waiting_for_stored

EVENTS_PER_READ: Final = 500


class Completed(Enum):
    """What came of a whole state that another server gave."""

    WHOLE = "the room is known as a whole"
    ENDED = "the rest of this room is not looked for any more"
    CONTRADICTED = "it is not the state of which a part is known"


class Completion:
    """Makes rooms whole."""

    def __init__(self, database: Database, writer: RoomWriter, intake: Intake, partial_rooms: PartialRooms) -> None:
        self._database = database
        self._writer = writer
        self._intake = intake
        self._partial_rooms = partial_rooms

    async def complete(self, room: PartialRoom, given: GivenState) -> Completed:
        """Take the whole state before the join into a room, and judge what waited for it."""
        loaded: dict[EventID, StoredEvent] = {}
        for begin in range(0, len(given.event_ids), EVENTS_PER_READ):
            # Before the write, which others wait for.
            some = given.event_ids[begin : begin + EVENTS_PER_READ]
            loaded.update(await self._database.read(events_by_id, some))
        completed = await self._database.write(self._complete, room, given, loaded)
        if completed is Completed.WHOLE:
            await self._intake.take_released(room.room_id)
        return completed

    async def give_up(self, room: PartialRoom) -> None:
        """Look for the rest of a room no more: nobody of this server is in it."""
        await self._database.write(self._give_up, room)

    def _give_up(self, tx: Transaction, room: PartialRoom) -> None:
        if find_partial_room(tx, room.room_id) == room:
            forget_partial_room(tx, room.room_id)
            tx.after_commit(lambda: self._partial_rooms.end(room.room_id))

    def _complete(
        self, tx: Transaction, room: PartialRoom, given: GivenState, loaded: Mapping[EventID, StoredEvent]
    ) -> Completed:
        write = self._writer.open(tx, room.room_id)
        if write is None or find_partial_room(tx, room.room_id) != room:
            return Completed.ENDED
        write.expect({event_id: one for event_id, one in loaded.items() if one.root is None})
        join = write.load([room.join_event_id])[room.join_event_id]
        entries = given_entries(write, given)
        known = join.root_before
        if entries is None or known is None or join.log_position is None:
            return Completed.CONTRADICTED
        whole = write.add_state(entries)
        if not write.is_part(known, whole):
            return Completed.CONTRADICTED
        right = _right_roots(write, {known: whole}, accepted_from(tx, room.room_id, join.log_position))
        for waiting in waiting_for_stored(tx, room.room_id):
            event = received_of(waiting, write.version).encoded.event
            missing = set(missing_ancestors(write, event) or ())
            found = {*event.prev_event_ids, *event.auth_event_ids} - missing
            lacks_not(tx, room.room_id, event.event_id, sorted(found))
        write.finish_whole(room, right, join.log_position)
        tx.after_commit(lambda: self._partial_rooms.end(room.room_id))
        return Completed.WHOLE


def _right_roots(write: RoomWrite, right: dict[bytes, bytes], events: list[StoredEvent]) -> dict[bytes, bytes]:
    """For each state since the join the whole one: what changed since is changed in that, too."""
    for stored in events:
        before, after = stored.root_before, stored.root_after
        if before in right and after is not None and stored.verdict is Verdict.ACCEPTED:
            right.setdefault(after, write.state_after(right[before], stored.event))
    return right
