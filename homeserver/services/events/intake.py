"""Events that other servers built: judged in the order of the specification's checks, and put into the room's graph.

What can be said of an event by itself (format, signatures, hashes) was checked before, in receipt.py; here it meets the
room. Spec: server-server-api/#checks-performed-on-receipt-of-a-pdu
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from homeserver.core.auth_rules import authorise, check_auth_events
from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.canonical_json import decode_checked
from homeserver.core.errors import AuthRejected
from homeserver.core.event import EncodedEvent, Event, is_create, view_event
from homeserver.core.hashing import create_event_id_of
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.runtime.clock import Clock
from homeserver.services.events.persistence import RoomWrite, RoomWriter
from homeserver.services.events.receipt import Received
from homeserver.services.events.state_merging import NotMerged
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.waiting_events import (
    WaitingEvent,
    close_gaps,
    insert_waiting,
    ready_events,
    trim_waiting,
)

HEADS_LIMIT: Final = 20  # as many as an event may be built on: so that the next one can join them all
READY_AT_ONCE: Final = 100
MOST_WAITING: Final = 2_000  # of a room
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024


class Outcome(Enum):
    """What came of an event."""

    ACCEPTED = "accepted"
    SOFT_FAILED = "accepted, but the current state would not have it"
    REJECTED = "rejected"
    WAITING = "not judged yet: it lacks ancestors"
    DROPPED = "not kept: it belongs to no room that is known here, or begins a room anew"


_OUTCOMES: Final = {
    Verdict.ACCEPTED: Outcome.ACCEPTED,
    Verdict.SOFT_FAILED: Outcome.SOFT_FAILED,
    Verdict.REJECTED: Outcome.REJECTED,
}


@dataclass(slots=True)
class _Step:
    """What one transaction came to: the events that it left, and the states that have to be merged before them."""

    outcomes: dict[EventID, Outcome] = field(default_factory=dict)
    left: Sequence[Received] = ()
    not_merged: NotMerged | None = None


class Intake:
    """Takes events into rooms."""

    def __init__(self, database: Database, writer: RoomWriter, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock

    async def take(
        self, room_id: RoomID, version: RoomVersion, received: Sequence[Received], *, received_from: ServerName | None
    ) -> dict[EventID, Outcome]:
        """Judge events of one room and keep them; those that they set free are judged too, and told of.

        They are taken in the order given: an event that comes before its ancestors waits for them. Each outcome is
        durable when it is told. An m.room.create begins the room where it is not known.
        """
        outcomes: dict[EventID, Outcome] = {}
        left = [one for one in received if one.encoded.event.room_id == room_id]
        for one in received:
            if one.encoded.event.room_id != room_id:
                outcomes[one.encoded.event.event_id] = Outcome.DROPPED
        while left:
            step = await self._database.write(self._take, room_id, version, left, received_from)
            outcomes.update(step.outcomes)
            left = list(step.left)
            if step.not_merged is not None:
                await self._writer.merging.merge_elsewhere(step.not_merged)
        return outcomes

    def _take(
        self,
        tx: Transaction,
        room_id: RoomID,
        version: RoomVersion,
        received: Sequence[Received],
        received_from: ServerName | None,
    ) -> _Step:
        step = _Step()
        write = self._writer.open(tx, room_id)
        queue = deque(received)
        waited = False
        while queue:
            one = queue.popleft()
            event = one.encoded.event
            begins = is_create(event.type, event.state_key) and not event.prev_event_ids
            if write is None and begins:
                write = self._writer.begin(tx, room_id, version)
            if write is None:
                step.outcomes[event.event_id] = Outcome.DROPPED
                continue
            known = write.load([event.event_id]).get(event.event_id)
            if known is not None:
                is_ours = known.event.room_id == room_id
                step.outcomes[event.event_id] = _OUTCOMES[known.verdict] if is_ours else Outcome.DROPPED
                continue
            if begins and write.heads:
                step.outcomes[event.event_id] = Outcome.DROPPED
                continue
            missing = _missing_ancestors(write, event)
            if missing:
                waiting = WaitingEvent(
                    event.event_id, one.encoded.pdu_json, one.form, received_from, self._clock.now_ms()
                )
                insert_waiting(tx, room_id, waiting, missing)
                waited = True
                step.outcomes[event.event_id] = Outcome.WAITING
                continue
            try:
                stored = _judge(write, one)
            except NotMerged as not_merged:
                queue.appendleft(one)
                step.left, step.not_merged = tuple(queue), not_merged
                break
            step.outcomes[event.event_id] = _OUTCOMES[stored.verdict]
            if close_gaps(tx, room_id, event.event_id):
                queue.extend(_received(each, version) for each in ready_events(tx, room_id, limit=READY_AT_ONCE))
        if waited:
            trim_waiting(tx, room_id, most=MOST_WAITING, most_bytes=MOST_WAITING_BYTES)
        if write is not None:
            write.finish()
        return step


def _missing_ancestors(write: RoomWrite, event: Event) -> list[EventID]:
    named = dict.fromkeys((*event.prev_event_ids, *event.auth_event_ids))
    found = write.load(named)
    # What is known without a state around it is no ground to stand on; as an auth event it will do.
    return [
        event_id
        for event_id in named
        if event_id not in found or (event_id in event.prev_event_ids and found[event_id].root is None)
    ]


def _judge(write: RoomWrite, received: Received) -> StoredEvent:
    """Ask the rules three times, and put the event where they say. Raises NotMerged, having changed nothing."""
    event = received.encoded.event
    create = _create_of(write, event)
    root_before = write.merged_root(event.prev_event_ids) if event.prev_event_ids else EMPTY_ROOT
    refusal = _refusal_by_auth_events(write, event, create) or _refusal_by_state(write, event, root_before, create)
    verdict = Verdict.ACCEPTED
    if refusal is not None:
        verdict = Verdict.REJECTED
    elif root_before != write.root and write.heads:
        refusal = _refusal_by_state(write, event, write.root, create)
        if refusal is None and len(write.heads) >= HEADS_LIMIT and not set(event.prev_event_ids) & set(write.heads):
            refusal = "the room has as many heads as it may have"
        if refusal is not None:
            verdict = Verdict.SOFT_FAILED
    return write.place(received.encoded, received.form, verdict, root_before, refusal)


def _create_of(write: RoomWrite, event: Event) -> StoredEvent | None:
    """The m.room.create that a room of version 12 or later has without naming it."""
    if not event.version.room_id_is_create_hash or event.type == "m.room.create":
        return None
    create_id = create_event_id_of(event.room_id)
    return write.load([create_id]).get(create_id)


def _refusal_by_auth_events(write: RoomWrite, event: Event, create: StoredEvent | None) -> str | None:
    listed = write.load(event.auth_event_ids)
    rejected = {event_id for event_id, stored in listed.items() if stored.verdict is Verdict.REJECTED}
    if create is not None and create.verdict is Verdict.REJECTED:
        rejected.add(create.event.event_id)
    events = [stored.event for stored in listed.values()]
    create_event = None if create is None else create.event
    try:
        check_auth_events(event, events, create=create_event, rejected=rejected)
        state = {(one.type, one.state_key): one for one in events if one.state_key is not None}
        authorise(event, state, create_event)
    except AuthRejected as refused:
        return f"by its auth events: {refused.reason}"
    return None


def _refusal_by_state(write: RoomWrite, event: Event, root: bytes, create: StoredEvent | None) -> str | None:
    keys = auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
    state = write.state_at(root, (*keys, CREATE))
    try:
        authorise(event, state, None if create is None else create.event)
    except AuthRejected as refused:
        return f"by the state: {refused.reason}"
    return None


def _received(waiting: WaitingEvent, version: RoomVersion) -> Received:
    event = view_event(decode_checked(version, waiting.pdu), version, event_id=waiting.event_id)
    return Received(EncodedEvent(event, waiting.pdu), waiting.form)
