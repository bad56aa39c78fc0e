"""The states that a room had: found by position, and swept so that no sync token that is still good misses one."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import (
    SYNC_HORIZON_MS,
    insert_root,
    published_among,
    roots_at,
    set_published,
    sweep_roots,
    sync_horizon,
)
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty, insert_bare_room

ROOMS = (RoomID("!room:example.org"), RoomID("!other:example.org"), RoomID("!third:example.org"))
FAR = 1_000  # further than any position here
STEP_MS = SYNC_HORIZON_MS // 4


@dataclass(frozen=True)
class Change:
    """A room's state became another one; the position is the place in the list."""

    room_id: RoomID
    root: bytes
    written_ms: int


@dataclass(frozen=True)
class Sweep:
    """What is older than the horizon goes, at most so many rows."""

    now_ms: int
    limit: int


Rows = dict[tuple[RoomID, int], Change]

# Times may go back: a clock was set.
TIMES = st.integers(0, 10).map(lambda steps: steps * STEP_MS)
CHANGES = st.builds(Change, st.sampled_from(ROOMS), st.integers(0, 3).map(lambda n: bytes([n]) * 32), TIMES)
SWEEPS = st.builds(Sweep, TIMES.map(lambda ms: ms + SYNC_HORIZON_MS), st.integers(0, 5))
NEW_HORIZON = "UPDATE sync_horizon SET log_position = 0"


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(CHANGES, CHANGES, SWEEPS), max_size=25))
def test_states_are_found_at_any_position_that_no_sweep_has_passed(
    db: SyncDatabase, steps: list[Change | Sweep]
) -> None:
    def clear(tx: Transaction) -> None:
        empty(tx, ("room_roots",))
        tx.run(NEW_HORIZON)

    db.write(clear)
    written: Rows = {}
    kept: Rows = {}
    horizon = 0

    for position, step in enumerate(steps, 1):
        if isinstance(step, Change):
            db.write(insert_root, step.room_id, log_position=position, root=step.root, written_ms=step.written_ms)
            written[step.room_id, position] = kept[step.room_id, position] = step
        else:
            swept = db.write(sweep_roots, step.now_ms, step.limit)
            old = {key for key, change in kept.items() if change.written_ms < step.now_ms - SYNC_HORIZON_MS}
            newest = {max(key for key in old if key[0] == room_id) for room_id, _ in old}
            gone = kept.keys() - db.read(all_rows)
            assert gone <= old - newest
            assert swept == len(gone) == min(step.limit, len(old - newest))
            kept = {key: change for key, change in kept.items() if key not in gone}
            horizon = max([horizon, *(at for _, at in old)])

        assert db.read(sync_horizon) == horizon
        for at in (*range(horizon, position + 1), FAR):
            assert db.read(roots_at, ROOMS, at=at) == newest_roots(written, at)
        assert db.read(roots_at, ROOMS[:1], at=FAR).keys() == newest_roots(written, FAR).keys() & set(ROOMS[:1])


def newest_roots(rows: Mapping[tuple[RoomID, int], Change], at: int) -> dict[RoomID, bytes]:
    """Of each room the last of its roots up to a position."""
    return {room_id: rows[room_id, position].root for room_id, position in sorted(rows) if position <= at}


def all_rows(tx: Transaction) -> set[tuple[RoomID, int]]:
    return {(RoomID(row[0]), row[1]) for row in tx.all("SELECT room_id, log_position FROM room_roots")}


def test_of_some_rooms_those_that_are_published_are_told(db: SyncDatabase) -> None:
    def fill(tx: Transaction) -> None:
        for room_id in ROOMS:
            insert_bare_room(tx, room_id, root=b"root")
        set_published(tx, ROOMS[0], is_published=True)
        set_published(tx, ROOMS[2], is_published=True)

    db.write(fill)

    assert db.read(published_among, ROOMS[:2]) == {ROOMS[0]}
    assert db.read(published_among, []) == set()
