"""What an audit reads of a room's graph: all of its rows, each once, and none of another room's."""

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage import graph_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.early_redactions import note_early_redaction
from homeserver.storage.event_edges import insert_edges, insert_shadows
from homeserver.storage.events import EventNid, Form
from homeserver.storage.graph_audit import EdgeRow, WaitingRow
from homeserver.storage.waiting_events import WaitingEvent, insert_gaps, insert_waiting
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty, insert_bare_event

T = TypeVar("T")
ROOMS = (RoomID("!room:example.org"), RoomID("!other:example.org"))
ROOM, OTHER = ROOMS
EVENTS = 8
NIDS = st.integers(1, EVENTS)
IDS = NIDS.map(lambda nid: EventID(f"${nid}"))
ROOM_IDS = st.sampled_from(ROOMS)
PAIRS = st.sets(st.tuples(ROOM_IDS, IDS, IDS), max_size=10)
SIZES = st.integers(1, 4)
WITH_DATABASE = settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
GIVE = """
    UPDATE events SET root_given_by = 'elsewhere.example', place = event_nid, verdict = :verdict
     WHERE event_nid = :nid"""


def room_of(nid: int) -> RoomID:
    """Most events are of one room."""
    return ROOMS[nid % 4 == 0]


def pages(db: SyncDatabase, read: Callable[[Transaction, T | None], list[T]]) -> list[T]:
    """All rows, page by page; each page is asked for with the last row of the one before."""
    found: list[T] = []
    while page := db.read(read, found[-1] if found else None):
        found += page
    return found


@WITH_DATABASE
@given(st.sets(st.tuples(NIDS, NIDS, st.booleans()), max_size=14), st.sets(NIDS, max_size=3), SIZES)
def test_edges_are_read_in_their_order_with_the_events_that_there_are(
    db: SyncDatabase, edges: set[tuple[int, int, bool]], lost: set[int], size: int
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("events", "event_edges"))
        for nid in {*range(1, EVENTS + 1)} - lost:
            insert_bare_event(tx, nid, f"${nid}", room_of(nid))
        for source, target, is_auth in edges:
            prev, auth = ([], [EventNid(target)]) if is_auth else ([EventNid(target)], [])
            insert_edges(tx, ROOM, EventNid(source), prev=prev, auth=auth)

    db.write(write)

    def read(tx: Transaction, last: EdgeRow | None) -> list[EdgeRow]:
        return rows.edge_rows(tx, ROOM, after=rows.BEFORE_EDGES if last is None else last.edge, limit=size)

    def name(nid: int, *, of_room: bool) -> EventID | None:
        return None if nid in lost or (of_room and room_of(nid) != ROOM) else EventID(f"${nid}")

    assert pages(db, read) == [
        EdgeRow((target, kind, source), name(target, of_room=False), name(source, of_room=True))
        for target, kind, source in sorted((target, int(is_auth), source) for source, target, is_auth in edges)
    ]
    assert db.read(rows.edge_rows, OTHER, after=rows.BEFORE_EDGES, limit=size) == []
    for source in range(1, EVENTS + 1):
        named = {(target, int(is_auth)) for one, target, is_auth in edges if one == source and target > 2}
        assert db.read(rows.edges_from, ROOM, source=source, targets=range(3, EVENTS + 1)) == named
    assert db.read(rows.edges_from, ROOM, source=1, targets=[]) == set()


@WITH_DATABASE
@given(st.sets(st.tuples(NIDS, st.booleans()), max_size=8), st.dictionaries(NIDS, st.integers(0, 2)), SIZES)
def test_given_followers_are_accepted_and_were_given_a_state(
    db: SyncDatabase, edges: set[tuple[int, bool]], given_states: dict[int, int], size: int
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("events", "event_edges"))
        for nid in range(1, EVENTS + 1):
            insert_bare_event(tx, nid, f"${nid}", ROOM)
        for nid, verdict in given_states.items():
            tx.run(GIVE, nid=nid, verdict=verdict)
        for source, is_auth in edges:
            prev, auth = ([], [EventNid(1)]) if is_auth else ([EventNid(1)], [])
            insert_edges(tx, ROOM, EventNid(source), prev=prev, auth=auth)

    db.write(write)

    followers = [nid for nid in sorted(given_states) if (nid, False) in edges and given_states[nid] == 0]
    assert db.read(rows.given_followers, ROOM, 1, limit=size) == [f"${nid}" for nid in followers[:size]]
    assert db.read(rows.given_followers, OTHER, 1, limit=size) == []
    assert db.read(rows.given_followers, ROOM, 2, limit=size) == []


@WITH_DATABASE
@given(PAIRS, st.sets(st.tuples(ROOM_IDS, IDS), max_size=4), st.sets(NIDS, max_size=4), SIZES)
def test_gaps_are_those_of_the_room_and_what_is_missing_is_nowhere_here(
    db: SyncDatabase,
    gaps: set[tuple[RoomID, EventID, EventID]],
    waiting: set[tuple[RoomID, EventID]],
    stored: set[int],
    size: int,
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("events", "event_gaps", "waiting_events"))
        for nid in stored:
            insert_bare_event(tx, nid, f"${nid}", room_of(nid))
        for room_id, event_id in waiting:
            insert_waiting(tx, room_id, WaitingEvent(event_id, b"{}", Form.FULL, None, 1), [])
        for room_id, missing_id, event_id in gaps:
            insert_gaps(tx, room_id, event_id, [missing_id])

    db.write(write)

    here = {EventID(f"${nid}") for nid in stored if room_of(nid) == ROOM} | {one for at, one in waiting if at == ROOM}
    asked = [EventID(f"${nid}") for nid in range(1, EVENTS, 2)]
    expected: dict[EventID, set[EventID]] = {}
    for room_id, missing_id, event_id in gaps:
        if room_id == ROOM and event_id in asked:
            expected.setdefault(event_id, set()).add(missing_id)
    assert db.read(rows.gaps_of, ROOM, asked) == expected
    assert db.read(rows.gaps_of, ROOM, []) == {}

    def read(tx: Transaction, last: EventID | None) -> list[EventID]:
        return rows.missing_after(tx, ROOM, last or "", limit=size)

    assert pages(db, read) == sorted({missing for room_id, missing, _ in gaps if room_id == ROOM} - here)


@WITH_DATABASE
@given(
    st.sets(
        st.tuples(ROOM_IDS, IDS, st.sampled_from(list(Form))),
        max_size=8,
    ),
    SIZES,
)
def test_what_waits_is_read_in_the_order_of_the_ids(
    db: SyncDatabase, waiting: set[tuple[RoomID, EventID, Form]], size: int
) -> None:
    kept = {(room_id, event_id): form for room_id, event_id, form in sorted(waiting)}

    def write(tx: Transaction) -> None:
        empty(tx, ("event_gaps", "waiting_events"))
        for (room_id, event_id), form in kept.items():
            insert_waiting(tx, room_id, WaitingEvent(event_id, b"{}" + event_id.encode(), form, None, 1), [])

    db.write(write)

    def read(tx: Transaction, last: WaitingRow | None) -> list[WaitingRow]:
        return rows.waiting_after(tx, ROOM, "" if last is None else last.event_id, limit=size)

    assert pages(db, read) == [
        WaitingRow(event_id, b"{}" + event_id.encode(), int(form), 2 + len(event_id))
        for (room_id, event_id), form in sorted(kept.items())
        if room_id == ROOM
    ]


@WITH_DATABASE
@given(PAIRS, SIZES)
def test_shadows_are_read_by_event_and_in_their_order(
    db: SyncDatabase, shadows: set[tuple[RoomID, EventID, EventID]], size: int
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("shadowed_heads",))
        for room_id, event_id, head in shadows:
            insert_shadows(tx, room_id, event_id, [head])

    db.write(write)

    def read(tx: Transaction, last: rows.Shadow | None) -> list[rows.Shadow]:
        return rows.shadow_rows(tx, ROOM, after=last or rows.BEFORE_SHADOWS, limit=size)

    own = sorted((event_id, head) for room_id, event_id, head in shadows if room_id == ROOM)
    assert pages(db, read) == own
    asked = [EventID("$1"), EventID("$2"), EventID("$unknown")]
    expected: dict[Any, set[EventID]] = {}
    for event_id, head in own:
        if event_id in asked:
            expected.setdefault(event_id, set()).add(head)
    assert db.read(rows.shadows_of, ROOM, asked) == expected


@WITH_DATABASE
@given(PAIRS, SIZES)
def test_early_redactions_are_read_in_their_order(
    db: SyncDatabase, early: set[tuple[RoomID, EventID, EventID]], size: int
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("early_redactions",))
        for room_id, target_id, redaction_id in early:
            note_early_redaction(tx, room_id, target_id=target_id, redaction_id=redaction_id)

    db.write(write)

    def read(tx: Transaction, last: rows.EarlyRedaction | None) -> list[rows.EarlyRedaction]:
        return rows.early_redaction_rows(tx, ROOM, after=last or rows.BEFORE_EARLY_REDACTIONS, limit=size)

    own = sorted((target_id, redaction_id) for room_id, target_id, redaction_id in early if room_id == ROOM)
    assert pages(db, read) == own
    for target in ("$1", "$2"):
        is_noted = db.read(rows.is_noted_early, ROOM, target_id=EventID(target), redaction_id=EventID("$3"))
        assert is_noted == ((target, "$3") in own)
