"""The way back through the graph, and what stands on heads without being one: always as if searched anew."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import (
    auth_followers,
    events_above,
    forget_heads,
    heads_under,
    insert_edges,
    insert_shadows,
    next_events,
)
from homeserver.storage.events import EventNid
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty, insert_bare_event

ROOMS = (RoomID("!room:example.org"), RoomID("!other:example.org"))
EVENTS = 12
NIDS = st.integers(1, EVENTS).map(EventNid)
WITH_DATABASE = settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])


def room_of(nid: int) -> RoomID:
    """Most events are of one room; what they name may be of another, and then is nothing to follow."""
    return ROOMS[nid % 4 == 0]


def id_of(nid: int) -> EventID:
    return EventID(f"${nid}")


@dataclass(frozen=True)
class Named:
    """What an event names of what is here."""

    source: EventNid
    prev: tuple[EventNid, ...]
    auth: tuple[EventNid, ...]

    def insert(self, tx: Transaction) -> None:
        insert_edges(tx, room_of(self.source), self.source, prev=self.prev, auth=self.auth)


NAMED = st.builds(
    Named, NIDS, st.lists(NIDS, max_size=4).map(tuple), st.lists(NIDS, max_size=4).map(tuple)
)  # twice the same, too
PURGE = "DELETE FROM event_edges WHERE room_id = :room_id"


@WITH_DATABASE
@given(before=st.lists(NAMED, max_size=15), purged=st.none() | st.sampled_from(ROOMS), after=st.lists(NAMED))
def test_followers_are_those_that_name_an_event(
    db: SyncDatabase, before: list[Named], purged: RoomID | None, after: list[Named]
) -> None:
    kept = [named for named in before if room_of(named.source) != purged] + after

    def write(tx: Transaction) -> None:
        empty(tx, ("events", "event_edges"))
        for nid in range(1, EVENTS + 1):
            insert_bare_event(tx, nid, id_of(nid), room_of(nid))
        for named in before:
            named.insert(tx)
        if purged is not None:
            tx.run(PURGE, room_id=purged)
        for named in after:
            named.insert(tx)

    db.write(write)

    for target in range(1, EVENTS + 1):
        of_room = [named for named in kept if room_of(named.source) == room_of(target)]
        built_on_it = sorted({named.source for named in of_room if target in named.prev})
        listing_it = sorted({named.source for named in of_room if target in named.auth})
        assert db.read(next_events, id_of(target), limit=EVENTS) == [id_of(nid) for nid in built_on_it]
        assert db.read(next_events, id_of(target), limit=2) == [id_of(nid) for nid in built_on_it[:2]]
        for size in (1, 2, EVENTS):
            pages = db.read(pages_of_followers, id_of(target), size)
            assert [each for page in pages for each in page] == [(nid, id_of(nid)) for nid in listing_it]
            assert all(len(page) == size for page in pages[:-1])
    assert db.read(auth_followers, EventID("$unknown"), limit=1) == []


@WITH_DATABASE
@given(st.lists(NAMED, max_size=20), st.frozensets(NIDS, max_size=3), st.frozensets(NIDS))
def test_events_above_others_are_those_that_a_walk_finds(
    db: SyncDatabase, names: list[Named], begun: frozenset[EventNid], among: frozenset[EventNid]
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("events", "event_edges"))
        for nid in range(1, EVENTS + 1):
            insert_bare_event(tx, nid, id_of(nid), room_of(nid))
        for named in names:
            named.insert(tx)

    db.write(write)

    for room_id in ROOMS:
        of_room = [named for named in names if room_of(named.source) == room_id]
        reached = {nid for nid in begun if room_of(nid) == room_id}
        while above := {named.source for named in of_room if not reached.isdisjoint(named.prev)} - reached:
            reached |= above
        found = db.read(events_above, room_id, map(id_of, begun), among=map(id_of, among))
        assert found == {id_of(nid) for nid in reached & among}


def pages_of_followers(tx: Transaction, event_id: EventID, size: int) -> list[list[tuple[EventNid, EventID]]]:
    """All pages, each begun where the last one ended."""
    pages: list[list[tuple[EventNid, EventID]]] = []
    after = 0
    while page := auth_followers(tx, event_id, after=after, limit=size):
        pages.append(page)
        after = page[-1][0]
    return pages


Shadows = set[tuple[RoomID, EventID, EventID]]
IDS = NIDS.map(id_of)


@dataclass(frozen=True)
class Stand:
    """An event that is no head stands on some."""

    room_id: RoomID
    event_id: EventID
    heads: frozenset[EventID] = field(default_factory=frozenset)

    def apply(self, db: SyncDatabase, shadows: Shadows) -> None:
        db.write(insert_shadows, self.room_id, self.event_id, self.heads)
        shadows |= {(self.room_id, self.event_id, head) for head in self.heads}


@dataclass(frozen=True)
class Leave:
    """Some events are heads no more."""

    room_id: RoomID
    heads: frozenset[EventID]

    def apply(self, db: SyncDatabase, shadows: Shadows) -> None:
        db.write(forget_heads, self.room_id, self.heads)
        shadows -= {one for one in shadows if one[0] == self.room_id and one[2] in self.heads}


ROOM_IDS = st.sampled_from(ROOMS)
SOME_IDS = st.frozensets(IDS, max_size=4)
CHANGES: st.SearchStrategy[Stand | Leave] = st.one_of(
    st.builds(Stand, ROOM_IDS, IDS, SOME_IDS), st.builds(Leave, ROOM_IDS, SOME_IDS)
)


@WITH_DATABASE
@given(st.lists(CHANGES, max_size=20), st.lists(SOME_IDS, min_size=1, max_size=3))
def test_heads_under_events_are_those_noted_and_not_forgotten(
    db: SyncDatabase, changes: list[Stand | Leave], asked: list[frozenset[EventID]]
) -> None:
    db.write(empty, ("shadowed_heads",))
    shadows: Shadows = set()

    for change in changes:
        change.apply(db, shadows)

        for room_id in ROOMS:
            for event_ids in asked:
                expected = {head for room, event, head in shadows if room == room_id and event in event_ids}
                assert db.read(heads_under, room_id, sorted(event_ids)) == expected
    assert db.read(all_shadows) == sorted(shadows)


def all_shadows(tx: Transaction) -> list[tuple[Any, ...]]:  # Any: see Transaction
    return tx.all("SELECT room_id, event_id, head_id FROM shadowed_heads ORDER BY 1, 2, 3")
