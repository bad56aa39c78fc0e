"""What rooms said before it was kept: it is found once, step by step, and nothing expires until it is known."""

from twisted.internet.defer import Deferred

from homeserver.core.identifiers import RoomID
from homeserver.core.retention import RetentionPolicy
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.events.older_lifetimes import PAUSE_S, OlderLifetimes
from homeserver.storage.database import Transaction
from homeserver.storage.room_lifetimes import all_lifetimes, find_expired
from tests.services.events.test_expiry import expiry_of
from tests.services.world import ALICE, World, now

DAY_S = 86_400
DAY_MS = DAY_S * 1000


def forget_lifetimes(tx: Transaction) -> None:
    """Let the database be as one that has never kept them."""
    tx.run("DELETE FROM room_lifetimes")
    tx.run("UPDATE lifetimes_progress SET rooms_after = ''")


def older(world: World, lifetimes: Lifetimes) -> OlderLifetimes:
    return OlderLifetimes(world.database, world.states, lifetimes, world.clock)


def room_that_keeps(world: World, lifetime_ms: int) -> RoomID:
    room_id = world.create_room(ALICE)
    now(world.sending.set_state(ALICE, room_id, "m.room.retention", "", {"max_lifetime": lifetime_ms}))
    return room_id


def test_rooms_that_said_so_before_are_known_and_nothing_expires_until_then(world: World) -> None:
    world.lifetimes.policy = RetentionPolicy(is_enabled=True, default_ms=DAY_MS)
    long, short = room_that_keeps(world, 30 * DAY_MS), room_that_keeps(world, DAY_MS)
    world.send(ALICE, long, "kept")
    world.send(ALICE, short, "gone")
    world.sync_database.write(forget_lifetimes)
    for room_id in (long, short):
        world.lifetimes.forget_room(room_id)
    world.clock.advance(2 * DAY_S)

    now(expiry_of(world).work())
    before = [world.sync_database.read(find_expired, room_id).removed for room_id in (long, short)]
    done = Deferred.fromCoroutine(older(world, world.lifetimes).work_off())
    while not done.called:
        world.clock.advance(PAUSE_S)
    now(expiry_of(world).work())

    assert before == [0, 0]
    assert world.sync_database.read(all_lifetimes) == {long: 30 * DAY_MS, short: DAY_MS}
    assert world.lifetimes.said_by(long) == 30 * DAY_MS
    assert [world.sync_database.read(find_expired, room_id).removed for room_id in (long, short)] == [0, 1]


def test_it_stops_and_goes_on_where_it_was_left(world: World) -> None:
    room_id = room_that_keeps(world, DAY_MS)
    world.sync_database.write(forget_lifetimes)
    lifetimes = Lifetimes()

    stopped = older(world, lifetimes)
    stopped.stop()
    now(stopped.work_off())
    assert lifetimes.said_by(room_id) is None

    done = Deferred.fromCoroutine(older(world, lifetimes).work_off())
    while not done.called:
        world.clock.advance(PAUSE_S)
    assert lifetimes.said_by(room_id) == DAY_MS
