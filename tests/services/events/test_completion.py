"""Rooms become whole step by step: no write is large, each leaves behind what is true, and none has to come again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import pytest

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, UserID
from homeserver.services.admin.room_audit import Fault, RoomAudit
from homeserver.services.events.collection import StateCollection
from homeserver.services.events.completion import Completed, Completion
from homeserver.storage.database import Database
from homeserver.storage.memberships import members_of_room
from homeserver.storage.partial_rooms import PartialRoom, find_partial_room, find_whole_root
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import SYNC_HORIZON_MS, sweep_roots
from tests.databases import fresh_sqlite
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.admin.own_keys import OwnKeys
from tests.services.federation.large_rooms import ALICE, BOB, CAROL, ONE, TWO, LargeRoom
from tests.services.sync.asking import LAZY, sync
from tests.services.watched import TheEnd, Watched
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import SERVER, World, now

P = ParamSpec("P")
T = TypeVar("T")
STEP: Final = 4  # members, or nodes, in a write
NODES: Final = "SELECT digest FROM state_nodes WHERE room_id = :room_id"


class Arriving:
    """A room with some members, into which ours came without them, and of which the rest has arrived."""

    def __init__(self, world: World, members: Sequence[UserID] = (BOB, CAROL)) -> None:
        scene = Scene(users={BOB: 50, OUR_ALICE: 50})
        scene.join_in_turn(*members)
        self.world = world
        self.room = LargeRoom(world, scene=scene)
        self.join: Event = self.room.join()
        self.members = {ALICE, *members}
        partial = world.sync_database.read(find_partial_room, self.room.room_id)
        assert partial is not None
        self.partial: PartialRoom = partial
        self.state: dict[tuple[str, str], EventID] = dict(scene.history.before[self.join.event_id])
        outliers = [received(event) for event in scene.history.events.values() if event is not self.join]
        now(world.intake.take_outliers(self.room.room_id, scene.version, outliers))

    def completion(self, database: Database) -> Completion:
        world = self.world
        return Completion(
            database, world.writer, world.intake, world.partial_rooms, nodes_per_write=STEP, members_per_write=STEP
        )

    def complete(self, *, last: int | None = None, into: list[int] | None = None) -> Completed | None:
        """Put the rest in place, until the end of the server after so many writes: None."""
        watched = Watched(self.world.database, last)
        try:
            return now(self.completion(watched).complete(self.partial, self.state))
        except TheEnd:
            return None
        finally:
            if into is not None:
                into.extend(watched.rows)

    def known(self) -> set[UserID]:
        return {one.user_id for one in self.world.sync_database.read(members_of_room, self.room.room_id)}

    def fault(self) -> Fault | None:
        audit = RoomAudit(self.room.room_id, OwnKeys(SERVER, self.world.key), SERVER)
        while self.world.sync_database.read(audit.go_on):
            pass
        return audit.fault

    def nodes(self) -> int:
        return len(self.room.rows(NODES))


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Iterator[World]]:
    """As many servers as are wanted: all rooms of these tests have the same ID."""
    made: list[World] = []

    def make() -> Iterator[World]:
        while True:
            made.append(World(fresh_sqlite(tmp_path / f"{len(made)}.db")))
            yield made[-1]

    yield make()
    for world in made:
        world.close()


def crowd(count: int) -> list[UserID]:
    return [UserID(f"@member{number}:{(ONE, TWO)[number % 2]}") for number in range(count)]


def writes_of(world: World, members: Sequence[UserID]) -> list[int]:
    """How many rows each write touches in which such a room becomes whole."""
    rows: list[int] = []
    assert Arriving(world, members).complete(into=rows) is Completed.WHOLE
    return rows


def test_however_many_members_a_room_has_no_write_is_larger(worlds: Iterator[World]) -> None:
    few = writes_of(next(worlds), crowd(2 * STEP))
    many = writes_of(next(worlds), crowd(8 * STEP))

    assert len(many) > len(few) + 6
    assert max(many) <= max(few) + 2, "but for the map of a state, which is a little deeper"


def test_wherever_the_server_ends_the_room_is_right_and_is_gone_on_with(worlds: Iterator[World]) -> None:
    members = crowd(STEP + 1)
    writes = len(writes_of(next(worlds), members))
    seen: set[int] = set()

    for last, world in zip(range(writes), worlds, strict=False):
        arriving = Arriving(world, members)
        room = arriving.room
        said = room.add(world.send(OUR_ALICE, room.room_id))
        waits = room.scene.say(members[0], after=[said])
        room.hear(waits)

        assert arriving.complete(last=last) is None

        assert room.head.is_partial
        assert arriving.known() <= arriving.members | {OUR_ALICE}
        assert set(room.state().values()) <= {*arriving.state.values(), arriving.join.event_id}
        assert arriving.fault() is None
        seen.add(len(arriving.known()))
        is_settled = world.sync_database.read(find_whole_root, arriving.partial) is not None
        world.others.asked.clear()
        room.fetch()
        assert (world.others.asked_for("state") == []) is is_settled
        assert not room.head.is_partial
        assert room.state() == dict(room.scene.after(waits))
        assert room.is_whole(room.find(arriving.join.event_id).root_before or b"")
        assert arriving.known() == arriving.members | {OUR_ALICE}
        assert world.sync_database.read(servers_in_room, room.room_id) == {ONE, TWO, SERVER}
        assert arriving.fault() is None
    assert len(seen) > 2, "members become known before the room is whole"


def test_another_state_than_the_one_that_was_begun_with_is_not_believed_any_more(worlds: Iterator[World]) -> None:
    members = crowd(2 * STEP)
    writes = len(writes_of(next(worlds), members))
    arriving = Arriving(next(worlds), members)
    others = dict(arriving.state)
    del others["m.room.member", members[0]]
    arriving.complete(last=writes - 1)

    right, arriving.state = arriving.state, others
    assert arriving.complete() is Completed.WHOLE

    assert arriving.room.state() == {**right, ("m.room.member", OUR_ALICE): arriving.join.event_id}
    assert arriving.known() == arriving.members | {OUR_ALICE}


def test_who_comes_back_before_the_room_was_whole_knows_nobody_again(worlds: Iterator[World]) -> None:
    members = crowd(2 * STEP)
    writes = len(writes_of(next(worlds), members))
    world = next(worlds)
    arriving = Arriving(world, members)
    room = arriving.room
    arriving.complete(last=writes - 2)
    assert len(arriving.known()) > 2
    now(world.anywhere.leave(OUR_ALICE, room.room_id, None))
    room.add(room.head.heads[0])
    room.scene.last = room.scene.member(members[0], "leave", after=[room.scene.last])

    back = room.join()

    assert arriving.known() == {OUR_ALICE}
    assert world.sync_database.read(servers_in_room, room.room_id) == {ONE, TWO, SERVER}
    assert arriving.fault() is None
    room.fetch()
    assert room.state() == dict(room.scene.after(back))
    assert arriving.fault() is None


def test_what_was_stored_of_a_state_is_collected_when_nobody_will_name_it_and_not_before(world: World) -> None:
    arriving = Arriving(world, crowd(8 * STEP))
    room, before = arriving.room, arriving.nodes()
    collection = StateCollection(world.database, world.clock)
    arriving.complete(last=2)
    assert arriving.nodes() > before

    assert now(collection.collect(room.room_id)) == 0
    now(world.anywhere.leave(OUR_ALICE, room.room_id, None))
    now(world.completion.give_up(arriving.partial))
    stored = arriving.nodes()
    world.clock.advance(SYNC_HORIZON_MS / 1000 + 1)
    world.sync_database.write(sweep_roots, world.clock.now_ms(), 1_000)

    assert now(collection.collect_due()) >= 2 * STEP
    assert arriving.nodes() <= stored - 2 * STEP
    assert arriving.fault() is None


def test_nothing_is_stored_of_a_room_that_is_looked_for_no_more(world: World) -> None:
    arriving = Arriving(world)
    now(world.completion.give_up(arriving.partial))
    before = arriving.nodes()

    assert arriving.complete() is Completed.ENDED

    assert arriving.nodes() == before
    assert arriving.known() == {OUR_ALICE}


def test_members_that_are_learned_of_are_named_as_heroes_when_they_can_be_shown(worlds: Iterator[World]) -> None:
    members = crowd(2 * STEP)
    writes = len(writes_of(next(worlds), members))
    world = next(worlds)
    arriving = Arriving(world, members)
    arriving.complete(last=writes - 1)
    assert len(arriving.known()) > 2

    told = sync(world, OUR_ALICE, None, LAZY)["rooms"]["join"][arriving.room.room_id]
    assert told["summary"] == {"m.heroes": []}
    arriving.room.fetch()

    told = sync(world, OUR_ALICE, None, LAZY)["rooms"]["join"][arriving.room.room_id]
    assert told["summary"]["m.joined_member_count"] == len(arriving.members) + 1
    shown = {event["state_key"] for event in told["state"]["events"] if event["type"] == "m.room.member"}
    assert set(told["summary"]["m.heroes"]) <= shown


@pytest.mark.parametrize("membership", ["leave", "ban"])
def test_members_of_this_server_become_known_with_the_whole(world: World, membership: str) -> None:
    """A user whom it had and has forgotten, as after a loss of data."""
    ours = UserID(f"@old:{SERVER}")
    scene = Scene(users={BOB: 50, OUR_ALICE: 50})
    scene.join_in_turn(BOB)
    scene.last = scene.member(ours, membership, sender=ALICE, after=[scene.last])
    room = LargeRoom(world, scene=scene)
    join = room.join()

    room.fetch()

    assert room.state() == dict(scene.after(join))
    rows = {one.user_id: one for one in world.sync_database.read(members_of_room, room.room_id)}
    assert rows[ours].membership == membership
    assert rows[ours].is_local
