"""The roots that a room names: at its events, at its positions, and now."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.kept_roots import NamedRoots, all_kept_roots, count_stateless, kept_roots
from homeserver.storage.rooms import insert_root
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty, insert_bare_event, insert_bare_room

ROOMS = (RoomID("!room:example.org"), RoomID("!other:example.org"))
ROOM_IDS = st.sampled_from(ROOMS)
ROOTS = st.integers(0, 12).map(lambda number: bytes([number]) * 32)


@dataclass(frozen=True)
class Named:
    """An event, and the roots that it has."""

    room_id: RoomID
    root_before: bytes | None
    root_after: bytes | None


NAMED = st.builds(Named, ROOM_IDS, st.none() | ROOTS, st.none() | ROOTS)
DELETE = "DELETE FROM events WHERE event_nid = :nid"


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(NAMED, max_size=10),
    deleted=st.sets(st.integers(1, 10), max_size=3),
    positions=st.lists(st.tuples(ROOM_IDS, ROOTS), max_size=6),
    current=st.dictionaries(ROOM_IDS, ROOTS),
)
def test_kept_roots_are_all_those_that_anything_in_the_room_names(
    db: SyncDatabase,
    events: list[Named],
    deleted: set[int],
    positions: list[tuple[RoomID, bytes]],
    current: dict[RoomID, bytes],
) -> None:
    numbered = {nid: named for nid, named in enumerate(events, 1) if nid not in deleted}

    def write(tx: Transaction) -> None:
        empty(tx, ("events", "room_roots", "rooms"))
        for nid, named in enumerate(events, 1):
            insert_bare_event(
                tx, nid, f"${nid}", named.room_id, root_before=named.root_before, root_after=named.root_after
            )
        for nid in deleted:
            tx.run(DELETE, nid=nid)
        for position, (room_id, root) in enumerate(positions, 1):
            insert_root(tx, room_id, log_position=position, root=root, written_ms=0)
        for room_id, root in current.items():
            insert_bare_room(tx, room_id, root=root)

    db.write(write)

    for room_id in ROOMS:
        of_room = {nid: named for nid, named in numbered.items() if named.room_id == room_id}
        beside = {root for room, root in (*positions, *current.items()) if room == room_id}
        for after_nid in range(len(events) + 1):
            at_events = {
                root
                for nid, named in of_room.items()
                for root in (named.root_before, named.root_after)
                if nid > after_nid and root is not None
            }
            assert db.read(kept_roots, room_id, after_nid=after_nid) == at_events | beside
            if not after_nid:
                stateless = sum(named.root_before is None for named in of_room.values())
                expected = NamedRoots(frozenset(at_events | beside), max(of_room, default=0), stateless)
                assert db.read(all_kept_roots, room_id) == expected
            until = [named for nid, named in of_room.items() if nid <= after_nid]
            stateless = sum(named.root_before is None for named in until)
            assert db.read(count_stateless, room_id, upto_nid=after_nid) == stateless
