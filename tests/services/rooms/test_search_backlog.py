"""What was here before it could be searched: it is indexed step by step, and goes on after a restart."""

from twisted.internet.defer import Deferred

from homeserver.services.rooms.search import SearchWish
from homeserver.services.rooms.search_backlog import PAUSE_S
from homeserver.storage.database import Transaction
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, World, now


def forget_indexes(tx: Transaction) -> None:
    """Let the database be as one that has never had them."""
    for table in ("search_index", "user_words", "room_words"):
        tx.run(f"DELETE FROM {table}")
    tx.run("UPDATE room_index SET is_public = NULL")
    tx.run("UPDATE search_progress SET users_after = '', rooms_after = ''")
    tx.run("UPDATE search_progress SET below_nid = (SELECT MAX(event_nid) + 1 FROM events)")


def found(world: World) -> tuple[int, int, int]:
    """How many events, users and rooms Alice finds."""
    events = now(world.search.search(world.viewer(ALICE), SearchWish("apple")))
    users = now(world.user_directory.search(ALICE, "bob", None))
    return events.count, len(users.users), now(world.directory.search(term="orchard")).total


def fill(world: World) -> None:
    for name in ("alice", "bob"):
        register(world, name)
    room_id = world.create_room(BOB, preset="public_chat", is_public=True, name="Orchard")
    world.join(ALICE, room_id)
    for _ in range(250):
        world.send(ALICE, room_id, "apple")


def test_all_that_was_here_is_found_in_the_end(world: World) -> None:
    fill(world)
    world.sync_database.write(forget_indexes)
    assert found(world) == (0, 0, 0)

    done = Deferred.fromCoroutine(world.search_backlog.work_off())
    while not done.called:
        world.clock.advance(PAUSE_S)

    assert found(world) == (250, 1, 1)
    assert Deferred.fromCoroutine(world.search_backlog.work_off()).called


def test_it_stops_and_goes_on_where_it_was_left(world: World) -> None:
    fill(world)
    world.sync_database.write(forget_indexes)

    stopped = Deferred.fromCoroutine(world.search_backlog.work_off())
    world.search_backlog.stop()
    world.clock.advance(PAUSE_S)
    assert stopped.called
    assert found(world)[0] == 0

    again = World(world.backend, boot=2)
    done = Deferred.fromCoroutine(again.search_backlog.work_off())
    while not done.called:
        again.clock.advance(PAUSE_S)
    assert found(again) == (250, 1, 1)
    again.close()
