"""Events that wait, and what they lack: after any comings and goings the same as if worked out anew."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import insert_edges
from homeserver.storage.events import EventNid, Form, Verdict
from homeserver.storage.waiting_events import (
    KEPT_MS,
    Gap,
    OpenGap,
    WaitingEvent,
    close_gaps,
    find_waiting,
    forget_waiting,
    gaps_of_waiting,
    insert_gaps,
    insert_waiting,
    lacks_not,
    missing_events,
    open_gaps,
    place_over_gaps,
    ready_events,
    rooms_with_open_gaps,
    rooms_with_waiting,
    sweep_gaps,
    sweep_waiting,
    trim_waiting,
    waiting_ids,
)
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty, insert_bare_event, insert_bare_room

ROOMS: Final = (RoomID("!room:example.org"), RoomID("!other:example.org"))
# Capitals, small letters and signs sort otherwise by a language's rules than by their bytes.
EVENT_IDS: Final = [EventID(name) for name in ("$a", "$B", "$b", "$C", "$_", "$-", "$9", "$é")]
NOW_MS: Final = 2 * KEPT_MS
MANY: Final = 1_000

Place = tuple[RoomID, EventID]
GapRow = tuple[RoomID, EventID, EventID]  # room, what is missing, to which event


def age(one: WaitingEvent) -> tuple[int, EventID]:
    """What sorts the oldest first. Many events are received at once; then their IDs decide."""
    return one.received_ms, one.event_id


@dataclass
class Model:
    """What waits, what is lacked, and what was stored."""

    waiting: dict[Place, WaitingEvent] = field(default_factory=dict)
    gaps: set[GapRow] = field(default_factory=set)
    stored: set[EventID] = field(default_factory=set)

    def ready(self, room_id: RoomID) -> list[WaitingEvent]:
        """Those of a room that lack nothing, the oldest first."""
        lacking = {(room, event_id) for room, _, event_id in self.gaps}
        return sorted(
            (one for place, one in self.waiting.items() if place[0] == room_id and place not in lacking), key=age
        )

    def missing(self, room_id: RoomID) -> list[EventID]:
        """What a room lacks that does not even wait."""
        return sorted({lost for room, lost, _ in self.gaps if room == room_id and (room, lost) not in self.waiting})

    def lack(self, room_id: RoomID, event_id: EventID, missing: Iterable[EventID]) -> None:
        """Note what is missing to an event."""
        self.gaps |= {(room_id, one, event_id) for one in missing}

    def forget(self, places: set[Place]) -> None:
        """Let events go, and all that they lack."""
        self.waiting = {place: one for place, one in self.waiting.items() if place not in places}
        self.gaps = {gap for gap in self.gaps if (gap[0], gap[2]) not in places}


@dataclass(frozen=True)
class Wait:
    """An event comes, and lacks others."""

    room_id: RoomID
    waiting: WaitingEvent
    missing: tuple[EventID, ...]

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(insert_waiting, self.room_id, self.waiting, self.missing)
        place = self.room_id, self.waiting.event_id
        if place not in model.waiting:
            model.waiting[place] = self.waiting
            model.lack(*place, self.missing)


@dataclass(frozen=True)
class Lack:
    """An event that may be stored, may wait or may have gone names others."""

    room_id: RoomID
    event_id: EventID
    missing: tuple[EventID, ...]

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(insert_gaps, self.room_id, self.event_id, self.missing)
        model.lack(self.room_id, self.event_id, self.missing)


@dataclass(frozen=True)
class Store:
    """An event is stored."""

    room_id: RoomID
    event_id: EventID

    def apply(self, db: SyncDatabase, model: Model) -> None:
        nid = EVENT_IDS.index(self.event_id) + 1
        if self.event_id not in model.stored:
            db.write(insert_bare_event, nid, self.event_id, self.room_id)
        closed = db.write(close_gaps, self.room_id, self.event_id)
        model.forget({(self.room_id, self.event_id)})
        filled = {gap for gap in model.gaps if gap[:2] == (self.room_id, self.event_id)}
        assert closed == len(filled)
        model.gaps -= filled
        model.stored.add(self.event_id)


@dataclass(frozen=True)
class Trim:
    """A room keeps so many events, of so many bytes."""

    room_id: RoomID
    most: int
    most_bytes: int

    def apply(self, db: SyncDatabase, model: Model) -> None:
        gone = db.write(trim_waiting, self.room_id, most=self.most, most_bytes=self.most_bytes)
        left = sorted((one for place, one in model.waiting.items() if place[0] == self.room_id), key=age)
        too_many: set[Place] = set()
        while len(left) > self.most or sum(len(one.pdu) for one in left) > self.most_bytes:
            too_many.add((self.room_id, left.pop(0).event_id))
        assert gone == len(too_many)
        model.forget(too_many)


@dataclass(frozen=True)
class Forget:
    """Events wait no more."""

    room_id: RoomID
    event_ids: frozenset[EventID]

    def apply(self, db: SyncDatabase, model: Model) -> None:
        db.write(forget_waiting, self.room_id, sorted(self.event_ids))
        model.forget({(self.room_id, event_id) for event_id in self.event_ids})


@dataclass(frozen=True)
class SweepWaiting:
    """Old events go, at most so many."""

    limit: int

    def apply(self, db: SyncDatabase, model: Model) -> None:
        swept = db.write(sweep_waiting, NOW_MS, self.limit)
        old = {place for place, one in model.waiting.items() if one.received_ms < NOW_MS - KEPT_MS}
        gone = model.waiting.keys() - db.read(all_places)
        assert gone <= old
        assert swept == len(gone) == min(self.limit, len(old))
        model.waiting = {place: one for place, one in model.waiting.items() if place not in gone}


@dataclass(frozen=True)
class SweepGaps:
    """What is missing to events that are not here goes, at most so many."""

    limit: int

    def apply(self, db: SyncDatabase, model: Model) -> None:
        swept = db.write(sweep_gaps, NOW_MS, self.limit)
        idle = {gap for gap in model.gaps if (gap[0], gap[2]) not in model.waiting and gap[2] not in model.stored}
        gone = model.gaps - db.read(all_gaps)
        assert gone <= idle
        assert swept == len(gone) == min(self.limit, len(idle))
        model.gaps -= gone


Step = Wait | Lack | Store | Trim | Forget | SweepWaiting | SweepGaps

ROOM_IDS = st.sampled_from(ROOMS)
IDS = st.sampled_from(EVENT_IDS)
MISSING = st.lists(IDS, max_size=3).map(tuple)  # twice the same, too
WAITING = st.builds(
    WaitingEvent,
    event_id=IDS,
    pdu=st.binary(max_size=12),
    form=st.sampled_from(Form),
    received_from=st.none() | st.just(ServerName("other.example")),
    received_ms=st.sampled_from((NOW_MS - KEPT_MS - 1, NOW_MS - KEPT_MS, NOW_MS)),
)
WAITS: st.SearchStrategy[Step] = st.builds(Wait, ROOM_IDS, WAITING, MISSING)
STEPS: st.SearchStrategy[Step] = st.one_of(
    WAITS,
    WAITS,
    st.builds(Lack, ROOM_IDS, IDS, MISSING),
    st.builds(Store, ROOM_IDS, IDS),
    st.builds(Trim, ROOM_IDS, st.integers(0, 5), st.integers(0, 40)),
    st.builds(Forget, ROOM_IDS, st.frozensets(IDS, max_size=3)),
    st.builds(SweepWaiting, st.integers(0, 4)),
    st.builds(SweepGaps, st.integers(0, 4)),
)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    begun=st.lists(WAITS, max_size=10),
    steps=st.lists(STEPS, max_size=12),
    asked=st.frozensets(IDS),
    limit=st.integers(1, 3),
)
def test_what_waits_what_is_ready_and_what_is_missing_follow_from_what_happened(
    db: SyncDatabase, begun: list[Step], steps: list[Step], asked: frozenset[EventID], limit: int
) -> None:
    db.write(empty, ("events", "waiting_events", "event_gaps"))
    model = Model()
    for step in begun:
        step.apply(db, model)

    for step in steps:
        step.apply(db, model)

        assert db.read(all_places) == model.waiting.keys()
        assert db.read(all_gaps) == model.gaps
        for room_id in ROOMS:
            of_room = {event_id for room, event_id in model.waiting if room == room_id}
            assert db.read(waiting_ids, room_id, sorted(asked)) == asked & of_room
            ready, missing = model.ready(room_id), model.missing(room_id)
            assert db.read(ready_events, room_id, limit=MANY) == ready
            assert db.read(ready_events, room_id, limit=limit) == ready[:limit]
            assert db.read(missing_events, room_id, limit=MANY) == missing
            assert db.read(missing_events, room_id, limit=limit) == missing[:limit]


def all_places(tx: Transaction) -> set[Place]:
    return {(RoomID(row[0]), EventID(row[1])) for row in tx.all("SELECT room_id, event_id FROM waiting_events")}


def all_gaps(tx: Transaction) -> set[GapRow]:
    rows = tx.all("SELECT room_id, missing_id, event_id FROM event_gaps")
    return {(RoomID(row[0]), EventID(row[1]), EventID(row[2])) for row in rows}


def test_what_keeps_events_waiting_is_told_with_who_brought_them(db: SyncDatabase) -> None:
    room_id = ROOMS[0]
    early = WaitingEvent(EventID("$a"), b"{}", Form.FULL, ServerName("one.example"), NOW_MS)
    late = WaitingEvent(EventID("$b"), b"{}", Form.FULL, None, NOW_MS + 1)
    db.write(insert_waiting, room_id, early, [EventID("$x"), EventID("$y")])
    db.write(insert_waiting, room_id, late, [EventID("$a"), EventID("$z")])
    db.write(insert_gaps, room_id, EventID("$stored"), [EventID("$older")])

    assert db.read(lambda tx: gaps_of_waiting(tx, room_id, limit=10)) == [
        Gap(EventID("$z"), EventID("$b"), None),
        Gap(EventID("$x"), EventID("$a"), ServerName("one.example")),
        Gap(EventID("$y"), EventID("$a"), ServerName("one.example")),
    ]
    assert len(db.read(lambda tx: gaps_of_waiting(tx, room_id, limit=2))) == 2
    assert db.read(rooms_with_waiting) == [room_id]
    assert db.read(find_waiting, room_id, EventID("$a")) == early
    assert db.read(find_waiting, ROOMS[1], EventID("$a")) is None


def test_an_event_that_lacks_nothing_more_is_ready(db: SyncDatabase) -> None:
    room_id = ROOMS[0]
    waiting = WaitingEvent(EventID("$a"), b"{}", Form.FULL, None, NOW_MS)
    db.write(insert_waiting, room_id, waiting, [EventID("$x"), EventID("$y")])

    db.write(lacks_not, room_id, EventID("$a"), [EventID("$x")])
    assert db.read(lambda tx: ready_events(tx, room_id, limit=10)) == []
    db.write(lacks_not, room_id, EventID("$a"), [EventID("$y")])

    assert db.read(lambda tx: ready_events(tx, room_id, limit=10)) == [waiting]


JUDGE = "UPDATE events SET place = :place, verdict = :verdict, root_before = :root WHERE event_nid = :nid"


def judged(tx: Transaction, nid: int, event_id: str, *, verdict: Verdict, place: int | None, on: Iterable[int]) -> None:
    """An event of the first room, built on others by their numbers."""
    insert_bare_event(tx, nid, event_id, ROOMS[0])
    tx.run(JUDGE, nid=nid, place=place, verdict=int(verdict), root=b"root")
    insert_edges(tx, ROOMS[0], EventNid(nid), prev=[EventNid(one) for one in on], auth=())


def test_where_history_breaks_off_is_told_from_the_newest_gap_on(db: SyncDatabase) -> None:
    room_id = ROOMS[0]

    def fill(tx: Transaction) -> None:
        judged(tx, 1, "$low", verdict=Verdict.ACCEPTED, place=10, on=())
        judged(tx, 2, "$refused", verdict=Verdict.REJECTED, place=None, on=())
        judged(tx, 3, "$over", verdict=Verdict.SOFT_FAILED, place=15, on=[2])
        judged(tx, 4, "$high", verdict=Verdict.ACCEPTED, place=30, on=[3])
        judged(tx, 5, "$higher", verdict=Verdict.ACCEPTED, place=40, on=[3])
        judged(tx, 6, "$alone", verdict=Verdict.SOFT_FAILED, place=50, on=())
        insert_bare_event(tx, 7, "$outlier", room_id)
        insert_waiting(tx, room_id, WaitingEvent(EventID("$w"), b"{}", Form.FULL, None, NOW_MS), [EventID("$x")])
        for event_id in ("$low", "$refused", "$alone", "$outlier"):
            insert_gaps(tx, room_id, EventID(event_id), [EventID(f"{event_id}0"), EventID("$x")])

    db.write(fill)

    low = [OpenGap(EventID(one), EventID("$low"), 10) for one in ("$low0", "$x")]
    under_refused = [OpenGap(EventID(one), EventID("$refused"), 30) for one in ("$refused0", "$x")]
    assert db.read(lambda tx: open_gaps(tx, room_id, upto=100, limit=10)) == [*under_refused, *low]
    assert db.read(lambda tx: open_gaps(tx, room_id, upto=29, limit=10)) == low
    assert db.read(lambda tx: open_gaps(tx, room_id, upto=100, limit=1)) == under_refused[:1]
    assert db.read(lambda tx: open_gaps(tx, ROOMS[1], upto=100, limit=10)) == []
    assert db.read(place_over_gaps, room_id, [EventID("$refused0"), EventID("$nowhere")]) == 30
    assert db.read(place_over_gaps, room_id, [EventID("$x")]) == 10
    assert db.read(place_over_gaps, room_id, [EventID("$alone0"), EventID("$outlier0")]) is None
    assert db.read(place_over_gaps, room_id, []) is None
    assert db.read(lambda tx: rooms_with_open_gaps(tx, after="", limit=10)) == [room_id]
    assert db.read(lambda tx: rooms_with_open_gaps(tx, after=room_id, limit=10)) == []
    db.write(insert_bare_room, room_id, root=b"root")
    assert db.read(lambda tx: rooms_with_open_gaps(tx, after="", limit=10)) == [room_id]
    db.write(lambda tx: tx.run("UPDATE rooms SET is_partial = :yes", yes=True))
    assert db.read(lambda tx: rooms_with_open_gaps(tx, after="", limit=10)) == []
