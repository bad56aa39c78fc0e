"""Putting in place what was not known of a room when this server came into it: all of its members.

A room may have very many, and nobody can write while somebody else does: so all that grows with their number is done in
small steps, of which each leaves behind only what is true.

1. The state that a server gave is compared with what is known, and its nodes are stored, which nothing names yet.
2. It is noted as the one that was before the join (storage/partial_rooms.py). From here on nobody is asked, and
   after a restart the next step is gone on with.
3. Its members get their rows, some in each write. The room is known in part as before, only that more of it is known:
   nobody's membership could have changed here while it was not.
4. One last write makes the room whole: the states around what happened since the join get their other roots.

What happened here meanwhile needed nothing of what was missing (intake.py, and creation.py by way of UnknownState): so
no event is judged again, and their states are put on the ground of the whole one. Who fetches the members is in
services/federation/room_completion.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from homeserver.core import state_map
from homeserver.core.identifiers import EventID, RoomID, UserID, server_name_of
from homeserver.core.slices import slices
from homeserver.core.state_map import StateKey
from homeserver.core.state_nodes import HashedEventID
from homeserver.services.events.intake import Intake, missing_ancestors, received_of
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.persistence import RoomWrite, RoomWriter
from homeserver.services.events.writing.states import MEMBER
from homeserver.storage.collectable_rooms import note_collectable
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, Verdict, accepted_from, events_by_id
from homeserver.storage.partial_rooms import (
    PartialRoom,
    find_partial_room,
    find_whole_root,
    forget_partial_room,
    note_whole_root,
)
from homeserver.storage.rooms import hold_room
from homeserver.storage.state_nodes import store_nodes
from homeserver.storage.waiting_events import find_waiting, lacks_not, waiting_for_stored

T = TypeVar("T")
NODES_PER_WRITE: Final = 1_000
MEMBERS_PER_WRITE: Final = 250
WAITING_PER_WRITE: Final = 50


class Completed(Enum):
    """What came of a whole state that another server gave."""

    WHOLE = "the room is known as a whole"
    ENDED = "the rest of this room is not looked for any more"
    CONTRADICTED = "it is not the state of which a part is known"


@dataclass(frozen=True, slots=True)
class _WholeState:
    """A whole state and what has to be stored of it."""

    root: bytes
    nodes: Sequence[tuple[bytes, bytes]]  # digest and body


class Completion:
    """Makes rooms whole."""

    def __init__(
        self,
        database: Database,
        writer: RoomWriter,
        intake: Intake,
        partial_rooms: PartialRooms,
        *,
        nodes_per_write: int = NODES_PER_WRITE,
        members_per_write: int = MEMBERS_PER_WRITE,
    ) -> None:
        self._nodes_per_write = nodes_per_write
        self._members_per_write = members_per_write
        self._database = database
        self._writer = writer
        self._intake = intake
        self._partial_rooms = partial_rooms

    def rest_at_hand(self, room_id: RoomID) -> AbstractContextManager[None]:
        """While the rest of a room is put in place that was given with the part, nobody needs to look for it."""
        return self._partial_rooms.with_rest_at_hand(room_id)

    async def complete(self, room: PartialRoom, state: Mapping[StateKey, EventID | HashedEventID]) -> Completed:
        """Take the whole state before the join into a room, whose events are stored, and judge what waited for it."""
        made = await self._database.read(self._make, room, state)
        if not isinstance(made, _WholeState):
            return made
        for nodes in slices(made.nodes, self._nodes_per_write):
            if not await self._database.write(_keep_nodes, room, nodes):
                return Completed.ENDED
        await self._database.write(_settle_on, room, made.root)
        return await self.go_on(room) or Completed.ENDED

    async def go_on(self, room: PartialRoom) -> Completed | None:
        """Put in place the whole state that was taken, as far as that was not done yet; None if none was."""
        root = await self._database.read(find_whole_root, room)
        if root is None:
            return None
        own: list[EventID] = []
        members = await self._database.read(self._members, room, root)
        for some in slices(members, self._members_per_write):
            # They are read before the write, for which others wait. Who is of this server becomes known with the whole:
            # of a room that they are in they would be told at once.
            own += [event_id for user_id, event_id in some if self._is_own(user_id)]
            learned = [event_id for user_id, event_id in some if not self._is_own(user_id)]
            loaded = await self._database.read(events_by_id, learned)
            if not await self._database.write(self._learn, room, list(loaded.values())):
                return Completed.ENDED
        waiting = await self._database.read(waiting_for_stored, room.room_id)
        for event_ids in slices(waiting, WAITING_PER_WRITE):
            await self._database.write(self._close_gaps, room, event_ids)
        completed = await self._database.write(self._complete, room, root, own)
        if completed is Completed.WHOLE:
            await self._intake.take_released(room.room_id)
        return completed

    async def give_up(self, room: PartialRoom) -> None:
        """Look for the rest of a room no more: nobody of this server is in it."""
        await self._database.write(self._give_up, room)

    def _give_up(self, tx: Transaction, room: PartialRoom) -> None:
        if find_partial_room(tx, room.room_id) == room:
            forget_partial_room(tx, room.room_id)
            note_collectable(tx, room.room_id, self._writer.clock.now_ms())
            tx.after_commit(lambda: self._partial_rooms.end(room.room_id))

    def _is_own(self, user_id: UserID) -> bool:
        return server_name_of(user_id) == self._writer.server_name

    def _make(
        self, tx: Transaction, room: PartialRoom, state: Mapping[StateKey, EventID | HashedEventID]
    ) -> _WholeState | Completed:
        """The state, if all that is known is so in it."""
        join = events_by_id(tx, [room.join_event_id]).get(room.join_event_id)
        if join is None or find_partial_room(tx, room.room_id) != room:
            return Completed.ENDED
        known = join.root_before
        updated = state_map.update(lambda _: None, state_map.EMPTY_ROOT, state)
        if known is None or not self._writer.states.with_nodes(
            tx, room.room_id, lambda nodes: state_map.is_part(nodes, known, updated.root), updated.parsed
        ):
            return Completed.CONTRADICTED
        return _WholeState(updated.root, list(updated.new_nodes.items()))

    def _members(self, tx: Transaction, room: PartialRoom, root: bytes) -> list[tuple[UserID, EventID]]:
        """Whose member events are in a state, and which."""

        def members(nodes: state_map.Nodes) -> list[tuple[UserID, EventID]]:
            found = state_map.items_of_type(nodes, root, MEMBER)
            return [(UserID(user_id), event_id) for (_, user_id), event_id in found]

        return self._writer.states.with_nodes(tx, room.room_id, members)

    def _learn(self, tx: Transaction, room: PartialRoom, members: Sequence[StoredEvent]) -> bool:
        """Let some of the room's members be known; False when it is not looked for any more."""
        write = self._open(tx, room)
        if write is not None:
            write.learn_members(members)
        return write is not None

    def _close_gaps(self, tx: Transaction, room: PartialRoom, event_ids: Sequence[EventID]) -> None:
        """Note of events that wait what came of the events that they lacked."""
        write = self._writer.open(tx, room.room_id)
        for event_id in event_ids:
            waiting = find_waiting(tx, room.room_id, event_id)
            if write is None or waiting is None:
                continue
            event = received_of(waiting, write.version).encoded.event
            missing = set(missing_ancestors(write, event) or ())
            found = {*event.prev_event_ids, *event.auth_event_ids} - missing
            lacks_not(tx, room.room_id, event_id, sorted(found))

    def _complete(self, tx: Transaction, room: PartialRoom, root: bytes, own_members: Sequence[EventID]) -> Completed:
        write = self._open(tx, room)
        if write is None:
            return Completed.ENDED
        join = write.load([room.join_event_id])[room.join_event_id]
        known = join.root_before
        if known is None or join.log_position is None:
            return Completed.CONTRADICTED
        right = _right_roots(write, {known: root}, accepted_from(tx, room.room_id, join.log_position))
        write.finish_whole(room, right, join.log_position, own_members)
        tx.after_commit(lambda: self._partial_rooms.end(room.room_id))
        return Completed.WHOLE

    def _open(self, tx: Transaction, room: PartialRoom) -> RoomWrite | None:
        """The room, while the rest of it is looked for; nobody else writes to it meanwhile."""
        hold_room(tx, room.room_id)
        return self._writer.open(tx, room.room_id) if find_partial_room(tx, room.room_id) == room else None


def _keep_nodes(tx: Transaction, room: PartialRoom, nodes: Sequence[tuple[bytes, bytes]]) -> bool:
    """Store some of a state, which nothing names yet; False when the room is not looked for any more."""
    if find_partial_room(tx, room.room_id) != room:
        return False
    store_nodes(tx, room.room_id, dict(nodes))
    return True


def _settle_on(tx: Transaction, room: PartialRoom, root: bytes) -> None:
    """Keep to this state, unless there is one already."""
    if find_whole_root(tx, room) is None:
        note_whole_root(tx, room, root)


def _right_roots(write: RoomWrite, right: dict[bytes, bytes], events: list[StoredEvent]) -> dict[bytes, bytes]:
    """For each state since the join the whole one: what changed since is changed in that, too."""
    for stored in events:
        before, after = stored.root_before, stored.root_after
        if before in right and after is not None and stored.verdict is Verdict.ACCEPTED:
            right.setdefault(after, write.states.after(right[before], stored.event))
    return right
