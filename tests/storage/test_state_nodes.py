"""The nodes of state maps on both databases: stored, loaded, verified, collected."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core import state_map
from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.core.state_nodes import encode
from homeserver.core.state_verification import verify
from homeserver.storage.database import Transaction
from homeserver.storage.state_nodes import (
    collect,
    collect_surveyed,
    delete_nodes,
    load_bodies,
    load_nodes,
    load_subtree,
    load_subtree_bodies,
    store_nodes,
    survey_nodes,
)
from tests.conftest import examples
from tests.databases import SyncDatabase

ROOM = RoomID("!room:example.org")
OTHER_ROOM = RoomID("!other:example.org")


def event_id(seed: object) -> EventID:
    return EventID("$" + hashlib.sha256(repr(seed).encode()).hexdigest())


def members(count: int, mark: str = "") -> dict[StateKey, EventID]:
    return {("m.room.member", f"@user{number}:example.org"): event_id((number, mark)) for number in range(count)} | {
        ("m.room.create", ""): event_id("create")
    }


def change(tx: Transaction, room_id: RoomID, root: bytes, changes: Mapping[StateKey, EventID | None]) -> bytes:
    nodes = load_subtree(tx, room_id, root)
    updated = state_map.update(nodes.get, root, changes)
    store_nodes(tx, room_id, updated.new_nodes)
    return updated.root


def entries(tx: Transaction, room_id: RoomID, root: bytes) -> dict[StateKey, EventID]:
    nodes = load_subtree(tx, room_id, root)
    return dict(state_map.items(nodes.get, root))


def count(tx: Transaction) -> int:
    row = tx.one("SELECT count(*) FROM state_nodes")
    assert row is not None
    return int(row[0])


def test_a_map_that_was_stored_is_read_again(db: SyncDatabase) -> None:
    root = db.write(change, ROOM, EMPTY_ROOT, members(300))
    later = db.write(change, ROOM, root, {("m.room.member", "@user7:example.org"): None})

    assert db.read(entries, ROOM, root) == members(300)
    assert len(db.read(entries, ROOM, later)) == 300
    assert verify(db.read(load_subtree_bodies, ROOM, later).get, later) is None


def test_nodes_are_there_for_the_same_transaction(db: SyncDatabase) -> None:
    def write(tx: Transaction) -> dict[StateKey, EventID]:
        return entries(tx, ROOM, change(tx, ROOM, EMPTY_ROOT, members(20)))

    assert db.write(write) == members(20)


class CountingTransaction(Transaction):
    """Passes queries on, and counts them."""

    def __init__(self, tx: Transaction) -> None:
        super().__init__(tx.dialect)
        self.tx = tx
        self.queries = 0

    def all(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # Any: as in Transaction
        self.queries += 1
        return self.tx.all(sql, **parameters)

    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...] | None:  # Any: as in Transaction
        self.queries += 1
        return self.tx.one(sql, **parameters)

    def run(self, sql: str, **parameters: Any) -> int:  # Any: as in Transaction
        return self.tx.run(sql, **parameters)

    def run_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: as in Transaction
        self.tx.run_many(sql, rows)

    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: as in Transaction
        self.tx.insert_many(sql, rows)

    def next_ids(self, counter: str, count: int = 1) -> int:
        return self.tx.next_ids(counter, count)

    def at_position(self, tables: tuple[str, ...], fn: Callable[[Transaction, int], None]) -> None:
        self.tx.at_position(tables, fn)

    @property
    def log_position(self) -> int:
        return self.tx.log_position


def test_a_whole_map_is_loaded_by_a_query_per_level(db: SyncDatabase) -> None:
    root = db.write(change, ROOM, EMPTY_ROOT, members(2_000))

    def load(tx: Transaction) -> tuple[int, int]:
        counting = CountingTransaction(tx)
        return len(load_subtree(counting, ROOM, root)), counting.queries

    nodes, queries = db.read(load)

    assert nodes == db.read(count) > 500
    assert queries <= 10


def test_a_node_stored_twice_is_there_once(db: SyncDatabase) -> None:
    updated = state_map.update(lambda _: None, EMPTY_ROOT, members(5))

    def twice(tx: Transaction) -> None:
        store_nodes(tx, ROOM, updated.new_nodes)
        store_nodes(tx, ROOM, updated.new_nodes)

    db.write(twice)
    db.write(store_nodes, ROOM, updated.new_nodes)

    assert db.read(count) == len(updated.new_nodes)
    assert db.read(load_bodies, ROOM, updated.new_nodes) == updated.new_nodes
    assert db.read(load_nodes, ROOM, updated.new_nodes) == updated.parsed


def test_the_nodes_of_a_room_are_its_own(db: SyncDatabase) -> None:
    root = db.write(change, ROOM, EMPTY_ROOT, members(5))
    assert db.write(change, OTHER_ROOM, EMPTY_ROOT, members(5)) == root

    deleted = db.write(collect, ROOM, [], 1_000)

    assert deleted == db.read(count)
    assert db.read(load_subtree, ROOM, root) == {}
    assert db.read(entries, OTHER_ROOM, root) == members(5)


def test_what_no_kept_root_reaches_is_collected_in_batches(db: SyncDatabase) -> None:
    first = db.write(change, ROOM, EMPTY_ROOT, members(100))
    kept = db.write(change, ROOM, first, members(100, "again"))

    deleted = [db.write(collect, ROOM, [kept], 20)]
    while deleted[-1]:
        deleted.append(db.write(collect, ROOM, [kept], 20))

    assert deleted[0] == 20
    assert max(deleted) == 20
    assert db.read(count) == len(db.read(load_subtree, ROOM, kept))
    assert db.read(entries, ROOM, kept) == members(100, "again")


def test_a_root_that_comes_back_after_the_survey_is_not_collected(db: SyncDatabase) -> None:
    first = db.write(change, ROOM, EMPTY_ROOT, members(100))
    second = db.write(change, ROOM, first, members(50, "again"))
    third = db.write(change, ROOM, second, members(60, "once more"))
    survey = db.read(survey_nodes, ROOM, [third])

    assert db.write(change, ROOM, third, members(100)) == first
    deleted = db.write(collect_surveyed, ROOM, survey, survey.garbage, [third, first])

    assert 0 < deleted < len(survey.garbage)
    assert db.read(entries, ROOM, first) == members(100)
    assert db.read(entries, ROOM, third) == members(100) | members(50, "again") | members(60, "once more")
    assert db.read(survey_nodes, ROOM, [first, third]).garbage == ()


def test_a_kept_root_that_is_not_whole_stops_the_collection(db: SyncDatabase) -> None:
    root = db.write(change, ROOM, EMPTY_ROOT, members(100))
    db.write(change, ROOM, root, members(50, "again"))
    lost = sorted(db.read(load_subtree, ROOM, root).keys() - {root})[0]
    db.write(delete_nodes, ROOM, [lost])
    before = db.read(count)

    with pytest.raises(MissingNodes) as missing:
        db.write(collect, ROOM, [root], 1_000)

    assert missing.value.digests == {lost}
    assert db.read(count) == before


def test_a_damaged_node_is_found(db: SyncDatabase) -> None:
    root = db.write(change, ROOM, EMPTY_ROOT, members(30))
    digest, node = sorted(db.read(load_subtree, ROOM, root).items())[0]
    damaged = encode(node)[:-1] + b"?"
    db.write(delete_nodes, ROOM, [digest])
    db.write(store_nodes, ROOM, {digest: damaged})

    fault = verify(db.read(load_subtree_bodies, ROOM, root).get, root)

    assert fault is not None
    assert fault.digest == digest


CHANGES = st.dictionaries(
    st.tuples(
        st.sampled_from(("m.room.member", "a", "b")), st.text(st.characters(exclude_categories=["Cs"]), max_size=2)
    ),
    st.none() | st.integers(0, 9).map(event_id),
    max_size=15,
)


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CHANGES, min_size=1, max_size=6), st.data())
def test_kept_roots_survive_any_collection(
    db: SyncDatabase, batches: list[dict[StateKey, EventID | None]], data: st.DataObject
) -> None:
    db.write(collect, ROOM, [], 100_000)
    maps: list[tuple[bytes, dict[StateKey, EventID]]] = [(EMPTY_ROOT, {})]
    for changes in batches:
        root, before = maps[-1]
        merged = {**before, **changes}
        after = {key: event for key, event in merged.items() if event is not None}
        maps.append((db.write(change, ROOM, root, changes), after))
    kept = data.draw(st.lists(st.sampled_from(maps)))

    db.write(collect, ROOM, [root for root, _ in kept], 100_000)

    assert all(db.read(entries, ROOM, root) == model for root, model in kept)
    assert db.read(survey_nodes, ROOM, [root for root, _ in kept]).garbage == ()
