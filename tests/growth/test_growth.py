"""Nothing grows but history: the same work done again leaves no more rows behind, once what has expired is swept."""

from homeserver.storage.access_tokens import EXPIRED_KEPT
from homeserver.storage.schema import TABLES, sweep_all
from tests.growth.rows import count_rows
from tests.growth.workload import CHANGES_OF_STATE, Workload
from tests.services.accounts.people import whose
from tests.services.world import World, now

YEAR_S = 365 * 24 * 3600
ROWS_PER_SWEEP = 7  # small, so that a sweep comes back for more
SWEEPS = 1000

# What a room has said stays until the room is purged; what administrators did, for good.
HISTORY = {"admin_audit", "event_edges", "events", "relations", "search_index", "state_nodes"}
NODES_PER_CHANGE = 4
# Of each session a number of tokens that have ended is remembered.
REMEMBERED = {"refresh_tokens"}
# What is left of a table whose rows expire, because it is still wanted; other tables that expire are empty.
STILL_WANTED = {
    "device_list_changes": 3,  # local users whose devices have changed
    "remote_memberships": 1,  # an invite from elsewhere
    "log_leaps": 1,  # since which no room has changed
    "room_roots": 1,  # a room's newest state
    "room_servers": 1,  # this server, in the room
    "server_keys": 1,  # one by which an event is signed
}


def sweep(world: World) -> None:
    """Let a year pass, and sweep until there is nothing to sweep."""
    world.clock.advance(YEAR_S)
    for _ in range(SWEEPS):
        if not world.sync_database.write(sweep_all, now_ms=world.clock.now_ms(), limit=ROWS_PER_SWEEP):
            return
    raise AssertionError("the sweeps do not come to an end")


def test_the_workload_fills_every_table(world: World) -> None:
    workload = Workload(world)

    workload.run()

    assert {table for table, rows in world.sync_database.read(count_rows).items() if not rows} == set()


def test_the_same_again_leaves_no_more_rows_than_once(world: World) -> None:
    workload = Workload(world)
    workload.run()
    sweep(world)
    once = world.sync_database.read(count_rows)

    workload.run()
    sweep(world)
    twice = world.sync_database.read(count_rows)

    grown = {table: rows - once[table] for table, rows in twice.items() if rows > once[table]}
    assert set(grown) <= HISTORY | REMEMBERED
    assert grown["relations"] <= grown["events"]
    assert grown["state_nodes"] <= CHANGES_OF_STATE * NODES_PER_CHANGE


def test_what_expires_is_gone_in_the_end(world: World) -> None:
    workload = Workload(world)
    for _ in range(3):
        workload.run()

    sweep(world)

    left = world.sync_database.read(count_rows)
    expiring = {table.name for table in TABLES if table.retention.sweep is not None}
    assert {table: left[table] for table in expiring} == dict.fromkeys(expiring, 0) | STILL_WANTED


def test_a_sweep_deletes_no_more_of_a_table_than_it_is_told(world: World) -> None:
    workload = Workload(world)
    for _ in range(3):
        workload.run()
    before = world.sync_database.read(count_rows)

    swept = world.sync_database.write(sweep_all, now_ms=world.clock.now_ms() + YEAR_S * 1000, limit=2)

    after = world.sync_database.read(count_rows)
    gone = {table: before[table] - rows for table, rows in after.items()}
    assert max(gone.values()) == 2
    assert sum(gone.values()) == swept


def test_nothing_is_swept_before_its_time(world: World) -> None:
    workload = Workload(world)
    workload.run()
    before = world.sync_database.read(count_rows)

    world.sync_database.write(sweep_all, now_ms=world.clock.now_ms(), limit=1000)

    after = world.sync_database.read(count_rows)
    assert {table for table, rows in after.items() if rows < before[table]} <= {"login_tokens", "openid_tokens"}


def test_tokens_that_are_never_used_do_not_pile_up(world: World) -> None:
    workload = Workload(world)
    refresh_token = workload.tablet.tokens.refresh_token
    assert refresh_token is not None
    before = world.sync_database.read(count_rows)

    for _ in range(EXPIRED_KEPT * 2):
        now(world.sessions.refresh(refresh_token))
        world.clock.advance(1)

    after = world.sync_database.read(count_rows)
    grown = {table: rows - before[table] for table, rows in after.items() if rows > before[table]}
    assert set(grown) == {"access_tokens", "refresh_tokens"}
    assert grown["access_tokens"] <= EXPIRED_KEPT + 1
    assert grown["refresh_tokens"] == 1
    assert whose(world, now(world.sessions.refresh(refresh_token)).access_token) is not None
