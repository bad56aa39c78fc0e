"""Events that other servers built: judged in the order of the specification's checks, and put into the room's graph.

What can be said of an event by itself (format, signatures, hashes) was checked before, in receipt.py; here it meets the
room. Spec: server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final

from homeserver.core.auth_rules import authorise, check_auth_events
from homeserver.core.canonical_json import decode_checked
from homeserver.core.errors import AuthRejected
from homeserver.core.event import EncodedEvent, Event, is_create, view_event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.runtime.clock import Clock
from homeserver.services.errors import RoomIsPartial
from homeserver.services.events.given_states import GivenState, GivenStates, derived_root_before, given_root_before
from homeserver.services.events.incoming_spam import IncomingSpam
from homeserver.services.events.joining_heads import MOST_HEADS, HeadJoining
from homeserver.services.events.judging import has_auth_events, judge, judge_history, judge_outlier
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.persistence import RoomWrite, RoomWriter
from homeserver.services.events.receipt import Received
from homeserver.services.events.state_merging import NotMerged
from homeserver.storage.collectable_rooms import note_collectable
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.partial_rooms import (
    PartialRoom,
    find_partial_room,
    forget_partial_room,
    store_partial_room,
)
from homeserver.storage.remote_memberships import remove_remote_memberships
from homeserver.storage.rooms import find_head
from homeserver.storage.waiting_events import (
    WaitingEvent,
    close_gaps,
    forget_waiting,
    insert_gaps,
    insert_waiting,
    ready_events,
    rooms_with_ready,
    trim_waiting,
)

EVENTS_PER_WRITE: Final = 50  # whatever a peer sends, other writers wait for no more than these
MOST_OF_HISTORY: Final = 100  # events from the past, which are taken all or none: as many as servers give at once
MOST_WAITING: Final = 2_000  # of a room
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024


class Outcome(Enum):
    """What came of an event."""

    ACCEPTED = "accepted"
    SOFT_FAILED = "accepted, but the current state would not have it"
    REJECTED = "rejected"
    WAITING = "not judged yet: it lacks ancestors, or the room is not known as a whole"
    DROPPED = "not kept: it belongs to no room that is known here, or begins a room anew, or cannot be judged"


_OUTCOMES: Final = {
    Verdict.ACCEPTED: Outcome.ACCEPTED,
    Verdict.SOFT_FAILED: Outcome.SOFT_FAILED,
    Verdict.REJECTED: Outcome.REJECTED,
}


@dataclass(slots=True)
class _Step:
    """What one transaction came to, and what it left to do."""

    outcomes: dict[EventID, Outcome] = field(default_factory=dict)
    left: Sequence[Received] = ()
    has_released: bool = False  # events that waited lack nothing any more
    not_merged: NotMerged | None = None
    heads: int = 0


class _NotBegun(Exception):  # noqa: N818 - says what came of it
    """An event that was to begin the room anew is not accepted: what was written for it is undone."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Intake:
    """Takes events into rooms."""

    def __init__(
        self,
        database: Database,
        writer: RoomWriter,
        joining: HeadJoining,
        partial_rooms: PartialRooms,
        spam: IncomingSpam,
        clock: Clock,
    ) -> None:
        self._database = database
        self._writer = writer
        self._joining = joining
        self._partial_rooms = partial_rooms
        self._spam = spam
        self._clock = clock
        self._on_waiting: Callable[[RoomID], None] = lambda _: None

    def tell_of_waiting(self, on_waiting: Callable[[RoomID], None]) -> None:
        """Have somebody hear of each room in which an event lacks ancestors, whoever brought it."""
        self._on_waiting = on_waiting

    async def take(
        self,
        room_id: RoomID,
        version: RoomVersion,
        received: Sequence[Received],
        *,
        received_from: ServerName | None,
        relays: bool = False,
        is_found: bool = False,
    ) -> dict[EventID, Outcome]:
        """Judge events of one room and keep them; those that they set free are judged too, and told of.

        They are taken in the order given: an event that comes before its ancestors waits for them. Each outcome is
        durable when it is told. An m.room.create begins the room where it is not known. `relays`: those that are
        accepted at once are sent on to the other servers in the room, as their own server asked for. `is_found`: they
        were looked for, and nobody has to be told that some of them lack ancestors in their turn.
        """
        outcomes, left = _of_room(room_id, received)
        await self._spam.look_at(left)
        outcomes.update(await self._take_all(room_id, version, left, received_from, relays=relays, tells=not is_found))
        return outcomes

    async def take_outliers(
        self, room_id: RoomID, version: RoomVersion, received: Sequence[Received]
    ) -> dict[EventID, Outcome]:
        """Keep events that others name, without the graph around them: an auth chain, or a state that was given.

        Each is judged by its auth events alone, which come before it or are stored; without them it is dropped.
        """
        outcomes, left = _of_room(room_id, received)
        while left:
            now, left = left[:EVENTS_PER_WRITE], left[EVENTS_PER_WRITE:]
            outcomes.update(await self._database.write(self._take_outliers, room_id, version, now))
        return outcomes

    async def take_at_gap(
        self,
        room_id: RoomID,
        version: RoomVersion,
        received: Received,
        given: GivenState,
        *,
        begins_anew: bool = False,
    ) -> dict[EventID, Outcome]:
        """Judge an event whose previous events are not all here, in a state that another server gives.

        What it lacks stays noted as gaps. An event of the given state that was rejected here is left out of it; when
        one is not here, or the auth events are not, the event is dropped. Those that it sets free are judged too.
        `begins_anew`: nobody of this server was in the room, so that what it knew of the room is old, if anything: an
        event that is accepted becomes the only head, and of one that is not nothing is kept. What is built on it would
        else be judged in the state that was given with it, which may have been a lie.
        """
        outcomes, left = _of_room(room_id, [received])
        await self._spam.look_at(left)
        while left:
            try:
                step = await self._database.write(self._take_at_gap, room_id, received, given, begins_anew=begins_anew)
            except _NotBegun as not_begun:
                return {**outcomes, received.encoded.event.event_id: not_begun.outcome}
            outcomes.update(step.outcomes)
            left = list(step.left)
            if step.not_merged is not None:
                await self._writer.merging.merge_elsewhere(step.not_merged)
            if step.has_released:
                outcomes.update(await self._take_all(room_id, version, (), None, has_released=True))
        return outcomes

    async def take_history(
        self,
        room_id: RoomID,
        version: RoomVersion,
        received: Sequence[Received],
        given: Mapping[EventID, GivenState],
    ) -> dict[EventID, Outcome]:
        """Judge events on which others are built that are here already, and put them into the room's past: all or none.

        They come in the order given, each after those of its previous events that are among them, and are no more than
        `MOST_OF_HISTORY`. `given` are the states before those that lack previous events; what these lack stays noted as
        gaps. Nothing of the present changes, and nobody is told: they are no heads and no news, and the current state
        is not asked about them. They are dropped if nothing is built on them that was accepted; if one of them cannot
        be judged; and if the state refuses one while its auth events, which that state lacks, do not, for then another
        server than its own may have lied.
        """
        outcomes, left = _of_room(room_id, received)
        while left:
            step = await self._database.write(self._take_history, room_id, left, given)
            outcomes.update(step.outcomes)
            left = list(step.left)
            if step.not_merged is not None:
                await self._writer.merging.merge_elsewhere(step.not_merged)
            if step.has_released:
                outcomes.update(await self._take_all(room_id, version, (), None, has_released=True))
        return outcomes

    async def resume(self) -> None:
        """Judge what waited when the server stopped between an event and those that it set free."""
        for room_id in await self._database.read(rooms_with_ready):
            await self.take_released(room_id)

    async def take_released(self, room_id: RoomID) -> None:
        """Judge what waits in a room and lacks nothing any more, and let what the rest lacks be looked for."""
        head = await self._database.read(find_head, room_id)
        if head is not None and not head.is_partial:
            await self._take_all(room_id, head.version, (), None, has_released=True)
            self._on_waiting(room_id)

    async def _take_all(
        self,
        room_id: RoomID,
        version: RoomVersion,
        left: Sequence[Received],
        received_from: ServerName | None,
        *,
        has_released: bool = False,
        relays: bool = False,
        tells: bool = True,
    ) -> dict[EventID, Outcome]:
        """Take events, a few in each transaction, then those that waited for them."""
        outcomes: dict[EventID, Outcome] = {}
        heads = 0
        while left or has_released:
            step = await self._database.write(
                self._take, room_id, version, left, received_from, relays=relays, tells=tells
            )
            outcomes.update(step.outcomes)
            has_released = step.has_released or (bool(left) and has_released)
            left, heads = step.left, step.heads
            if step.not_merged is not None:
                await self._writer.merging.merge_elsewhere(step.not_merged)
        if heads > MOST_HEADS:
            await self._joining.join_heads(room_id)
        return outcomes

    def _take(
        self,
        tx: Transaction,
        room_id: RoomID,
        version: RoomVersion,
        received: Sequence[Received],
        received_from: ServerName | None,
        *,
        relays: bool,
        tells: bool,
    ) -> _Step:
        """Take some of the events; when none are given, some of those that wait and lack nothing any more."""
        step = _Step()
        write = self._writer.open(tx, room_id)
        is_released = not received
        if is_released:
            waiting = ready_events(tx, room_id, limit=EVENTS_PER_WRITE)
            received = [received_of(each, version) for each in waiting]
            step.has_released = len(waiting) == EVENTS_PER_WRITE
        queue = deque(received)
        has_waiting = False
        for _ in range(EVENTS_PER_WRITE):
            if not queue:
                break
            one = queue[0]
            event = one.encoded.event
            if write is None and _may_begin(event):
                write = self._writer.begin(tx, room_id, version)
            known = None if write is None else write.find(event.event_id)
            if write is None or _is_out_of_place(write, event, known):
                step.outcomes[event.event_id] = Outcome.DROPPED
            elif known is not None and known.root is not None:
                step.outcomes[event.event_id] = _OUTCOMES[known.verdict]
                write.complete(known, one.encoded, one.form)
            elif (missing := missing_ancestors(write, event)) is None or write.graph.is_under_itself(event):
                step.outcomes[event.event_id] = Outcome.DROPPED
            elif missing or write.is_partial:
                waiting_event = WaitingEvent(
                    event.event_id, one.encoded.pdu_json, one.form, received_from, self._clock.now_ms()
                )
                insert_waiting(tx, room_id, waiting_event, missing)
                has_waiting = True
                step.outcomes[event.event_id] = Outcome.WAITING
            else:
                try:
                    stored = judge(
                        write,
                        one,
                        write.states.merged(event.prev_event_ids),
                        is_relayed=relays,
                        is_spam=self._spam.has(event.event_id),
                    )
                except NotMerged as not_merged:
                    step.not_merged = not_merged
                    break
                except RoomIsPartial:  # it is built on what was never known as a whole, in a stay that has ended
                    step.outcomes[event.event_id] = Outcome.DROPPED
                else:
                    step.outcomes[event.event_id] = _OUTCOMES[stored.verdict]
            queue.popleft()
        if is_released:
            step.has_released = step.has_released or bool(queue)
            forget_waiting(tx, room_id, [one for one, what in step.outcomes.items() if what is Outcome.DROPPED])
        else:
            step.left = tuple(queue)
        if write is not None:
            for stored in write.finish():
                step.has_released = bool(close_gaps(tx, room_id, stored.event.event_id)) or step.has_released
            step.heads = len(write.heads)
        if has_waiting:
            trim_waiting(tx, room_id, most=MOST_WAITING, most_bytes=MOST_WAITING_BYTES)
            if tells:
                tx.after_commit(partial(self._on_waiting, room_id))
        return step

    def _take_outliers(
        self, tx: Transaction, room_id: RoomID, version: RoomVersion, received: Sequence[Received]
    ) -> dict[EventID, Outcome]:
        outcomes: dict[EventID, Outcome] = {}
        write = self._writer.open(tx, room_id)
        if write is not None:  # all that is asked about at once
            events = [one.encoded.event for one in received]
            write.load({event_id for event in events for event_id in (event.event_id, *event.auth_event_ids)})
        for one in received:
            event = one.encoded.event
            if write is None and _may_begin(event):
                write = self._writer.begin(tx, room_id, version)
            outcomes[event.event_id] = Outcome.DROPPED if write is None else _take_outlier(write, one)
        if write is not None:
            write.finish()
        return outcomes

    def _take_at_gap(
        self, tx: Transaction, room_id: RoomID, received: Received, given: GivenState, *, begins_anew: bool
    ) -> _Step:
        event = received.encoded.event
        step = _Step(outcomes={event.event_id: Outcome.DROPPED})
        write = self._writer.open(tx, room_id)
        if write is None or (write.is_partial and not begins_anew):
            return step
        known = write.find(event.event_id)
        if _is_out_of_place(write, event, known):
            return step
        if known is not None and known.root is not None:
            step.outcomes[event.event_id] = _OUTCOMES[known.verdict]
            return step
        missing = missing_ancestors(write, event)
        # Of a large room's state only what differs from the present is looked at: nobody else writes meanwhile.
        states = GivenStates(write, {event.event_id: given}, EMPTY_ROOT if begins_anew else write.root)
        changes = states.changes(given)
        if missing is None or changes is None or _begins(event) or write.graph.is_under_itself(event):
            return step
        if not has_auth_events(write, event):
            return step
        try:
            root_before = derived_root_before(write, event, missing)
            is_given = root_before is None
            if root_before is None:
                root_before = given_root_before(write, event, states.near, changes, omits_members=given.omits_members)
            if root_before is None:
                return step
            given_by = given.given_by if is_given else None
            stored = judge(
                write,
                received,
                root_before,
                given_by,
                begins_anew=begins_anew,
                is_spam=self._spam.has(received.encoded.event.event_id),
            )
        except NotMerged as not_merged:
            step.left, step.not_merged = (received,), not_merged
            return step
        step.outcomes[event.event_id] = _OUTCOMES[stored.verdict]
        if begins_anew:
            if stored.verdict is not Verdict.ACCEPTED:
                raise _NotBegun(_OUTCOMES[stored.verdict])
            remove_remote_memberships(tx, room_id)
            write.begin_stay(given.servers)
            self._note_partial(tx, write, event.event_id, given.given_by)
        write.finish()
        step.has_released = bool(close_gaps(tx, room_id, event.event_id))
        insert_gaps(tx, room_id, event.event_id, missing)
        return step

    def _note_partial(self, tx: Transaction, write: RoomWrite, join_id: EventID, given_by: ServerName) -> None:
        """Have the rest of the room's state looked for if it is not all known, and of no other time in the room."""
        room_id, partial_rooms = write.room_id, self._partial_rooms
        if find_partial_room(tx, room_id) is not None:  # nobody will name what was stored of that state
            note_collectable(tx, room_id, self._clock.now_ms())
        if write.is_partial:
            store_partial_room(tx, PartialRoom(room_id, join_id, given_by))
            tx.after_commit(lambda: partial_rooms.begin(room_id))
        else:
            forget_partial_room(tx, room_id)
            tx.after_commit(lambda: partial_rooms.end(room_id))

    def _take_history(
        self, tx: Transaction, room_id: RoomID, received: Sequence[Received], given: Mapping[EventID, GivenState]
    ) -> _Step:
        event_ids = [one.encoded.event.event_id for one in received]
        nothing = _Step(outcomes=dict.fromkeys(event_ids, Outcome.DROPPED))
        write = self._writer.open(tx, room_id)
        places = None if write is None else write.graph.history_places(event_ids)
        if write is None or places is None or len(received) > MOST_OF_HISTORY:
            return nothing
        step = _Step()
        gaps: dict[EventID, list[EventID]] = {}
        states = GivenStates(write, given, write.state_over_gap(event_ids))
        for one, place in zip(received, places, strict=True):
            event = one.encoded.event
            known = write.find(event.event_id)
            if _is_out_of_place(write, event, known):
                return nothing
            if known is not None and known.root is not None:
                step.outcomes[event.event_id] = _OUTCOMES[known.verdict]
                continue
            missing = missing_ancestors(write, event)
            try:
                stored = None if missing is None else judge_history(write, one, bool(missing), states, place)
            except NotMerged as not_merged:
                return _Step(left=received, not_merged=not_merged)
            except RoomIsPartial:  # as in `_take`
                return nothing
            if missing is None or stored is None:
                return nothing
            gaps[event.event_id] = missing
            step.outcomes[event.event_id] = _OUTCOMES[stored.verdict]
        for stored in write.finish():
            step.has_released = bool(close_gaps(tx, room_id, stored.event.event_id)) or step.has_released
        for event_id, missing in gaps.items():
            insert_gaps(tx, room_id, event_id, missing)
        return step


def _of_room(room_id: RoomID, received: Sequence[Received]) -> tuple[dict[EventID, Outcome], list[Received]]:
    """Those of the events that belong to the room, beside the outcomes of those that do not."""
    left = [one for one in received if one.encoded.event.room_id == room_id]
    others = (one.encoded.event for one in received if one.encoded.event.room_id != room_id)
    return {event.event_id: Outcome.DROPPED for event in others}, left


def _take_outlier(write: RoomWrite, received: Received) -> Outcome:
    event = received.encoded.event
    known = write.find(event.event_id)
    if _is_out_of_place(write, event, known):
        return Outcome.DROPPED
    verdict = judge_outlier(write, received) if known is None else known.verdict
    return Outcome.DROPPED if verdict is None else _OUTCOMES[verdict]


def _begins(event: Event) -> bool:
    return is_create(event.type, event.state_key) and not event.prev_event_ids


def _may_begin(event: Event) -> bool:
    """Whether an event is the m.room.create of a room. One that the rules refuse leaves nothing behind."""
    if not _begins(event):
        return False
    try:
        check_auth_events(event, ())
        authorise(event, {})
    except AuthRejected:
        return False
    return True


def _is_out_of_place(write: RoomWrite, event: Event, known: StoredEvent | None) -> bool:
    """Whether an event's ID is that of another one, or it would begin a room that has begun, or follow itself."""
    if known is not None:
        return not _is_same(known.event, event)
    return (_begins(event) and write.has_begun) or event.event_id in (*event.prev_event_ids, *event.auth_event_ids)


def _is_same(known: Event, event: Event) -> bool:
    """Whether two events of one ID are one, redacted or not: where servers choose the IDs, they need not be.

    An event is of one room, so an ID that is taken in another room is that of another event.
    """
    version = event.version
    return version.event_ids_are_hashes or reference_hash(known.pdu, version) == reference_hash(event.pdu, version)


def missing_ancestors(write: RoomWrite, event: Event) -> list[EventID] | None:
    """What an event names that is not here; None if it is built on another room, so that it never can be judged."""
    named = dict.fromkeys((*event.prev_event_ids, *event.auth_event_ids))
    found = write.load(named)
    if any(found[one].event.room_id != write.room_id for one in event.prev_event_ids if one in found):
        return None
    # What is known without a state around it is no ground to stand on; as an auth event it will do.
    return [
        event_id
        for event_id in named
        if event_id not in found or (event_id in event.prev_event_ids and found[event_id].root is None)
    ]


def received_of(waiting: WaitingEvent, version: RoomVersion) -> Received:
    """An event that waits, as it was received."""
    event = view_event(decode_checked(version, waiting.pdu), version, event_id=waiting.event_id)
    return Received(EncodedEvent(event, waiting.pdu), waiting.form)
