"""A room that is purged: nothing is left of it, in whatever table, and nothing of another goes.

The tables are those of the schema: one that gets rows of rooms and is forgotten by a purge is found here.
"""

from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.storage.purged_rooms import LARGE, close_room, count_events, forget_departed, locals_in_room, purge_some
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.schema import sweep_all, tables_of
from homeserver.storage.tables import Owner
from tests.databases import SyncDatabase
from tests.growth.rows import columns_that_name
from tests.growth.workload import Workload
from tests.services.world import ALICE, BOB, CAROL, World, now

# Their users' keys, and what administrators had done.
KEPT: Final = {("admin_jobs", "subject"), ("backed_up_keys", "room_id"), ("client_transactions", "scope")}
# How users got out, until every client of theirs has heard of it, or never will.
KEPT_FOR_A_WHILE: Final = {
    ("membership_changes", "room_id"),
    ("memberships", "room_id"),
    ("remote_memberships", "room_id"),
    ("remote_memberships", "pdu"),
    ("sliding_rooms", "room_id"),
}


def empty(world: World, room_id: RoomID) -> None:
    """Let everybody leave."""
    for user_id in world.sync_database.read(locals_in_room, room_id, limit=100):
        now(world.anywhere.leave(user_id, room_id, None))


def purge(db: SyncDatabase, room_id: RoomID, limit: int) -> int:
    """How many writes it took to delete the rows."""
    after = ""
    while some := db.write(forget_departed, room_id, after=after, limit=limit):
        after = some[-1]
    assert db.write(close_room, room_id)
    writes = 1
    while db.write(purge_some, room_id, limit=limit)[0]:
        writes += 1
    return writes


def sweep(world: World) -> None:
    """Let the time pass for which an old client is told of what it missed."""
    world.clock.advance(2 * SYNC_HORIZON_MS / 1000)
    while world.sync_database.write(sweep_all, now_ms=world.clock.now_ms(), limit=1_000):
        pass


def test_nothing_is_left_of_a_room_in_any_table(world: World) -> None:
    workload = Workload(world)
    workload.run()
    room_id = workload.room_id
    before = world.sync_database.read(columns_that_name, room_id)
    empty(world, room_id)

    writes = purge(world.sync_database, room_id, 5)
    at_once = world.sync_database.read(columns_that_name, room_id)
    sweep(world)

    assert before >= {(table.name, table.owners[Owner.ROOM]) for table in tables_of(Owner.ROOM)}
    assert at_once - KEPT_FOR_A_WHILE == KEPT
    assert world.sync_database.read(columns_that_name, room_id) - KEPT == set()
    assert writes > len(LARGE)


def test_a_room_is_not_closed_while_somebody_has_to_do_with_it(world: World) -> None:
    room_id = world.create_room(ALICE, invite=(CAROL,))
    now(world.anywhere.leave(ALICE, room_id, None))

    assert not world.sync_database.write(close_room, room_id)
    assert world.sync_database.read(count_events, room_id) > 0


def test_another_room_stays_as_it_is(world: World) -> None:
    room_id, other = world.create_room(ALICE, name="one"), world.create_room(BOB, name="other")
    world.send(ALICE, room_id)
    world.send(BOB, other)
    before = world.history(BOB, other)
    empty(world, room_id)

    purge(world.sync_database, room_id, 1_000)
    purge(world.sync_database, room_id, 1_000)

    assert world.history(BOB, other) == before
