"""State nodes are collected when no root names them any more, and never before: the disk follows what is alive."""

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

import pytest

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import V12
from homeserver.core.state_map import FIXED_NODES
from homeserver.core.state_nodes import child_digests
from homeserver.services.events.collection import (
    MOST_SURVEYS,
    NODES_PER_WRITE,
    StateCollection,
    delete_surveyed,
    survey_room,
)
from homeserver.services.events.intake import Outcome
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.collectable_rooms import find_collectable
from homeserver.storage.database import Conflict, Database, Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS, find_head, swap_head, sweep_roots
from homeserver.storage.state_nodes import delete_nodes
from tests.forked_rooms import ALICE as HERE
from tests.forked_rooms import BOB as THERE
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.world import ALICE, BOB, World, now

P = ParamSpec("P")
T = TypeVar("T")

FORGET_HISTORY = """
    UPDATE events SET root_before = NULL, root_after = NULL
     WHERE room_id = :room_id AND place < (SELECT MAX(place) FROM events WHERE room_id = :room_id)"""
FORGET_POSITIONS = """
    DELETE FROM room_roots WHERE room_id = :room_id
       AND log_position < (SELECT MAX(log_position) FROM room_roots WHERE room_id = :room_id)"""
NODES = "SELECT digest, body FROM state_nodes WHERE room_id = :room_id"
ROOTS = (
    "SELECT root_before FROM events WHERE room_id = :room_id AND root_before IS NOT NULL",
    "SELECT root_after FROM events WHERE room_id = :room_id AND root_after IS NOT NULL",
    "SELECT root FROM room_roots WHERE room_id = :room_id",
    "SELECT current_root FROM rooms WHERE room_id = :room_id",
)


def set_topic(world: World, room_id: RoomID, topic: str) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": topic}))


def forget_roots(tx: Transaction, room_id: RoomID) -> None:
    """What a purge of history does to a room's roots: those of the newest event and of the present stay."""
    tx.run(FORGET_HISTORY, room_id=room_id)
    tx.run(FORGET_POSITIONS, room_id=room_id)


def nodes_on_disk(tx: Transaction, room_id: RoomID) -> dict[bytes, bytes]:
    """All that is kept of a room's states."""
    return {bytes(digest): bytes(body) for digest, body in tx.all(NODES, room_id=room_id)}


def nodes_alive(tx: Transaction, room_id: RoomID) -> dict[bytes, bytes]:
    """What anything in the room names, directly or not. Fails when it is not all there."""
    disk = nodes_on_disk(tx, room_id)
    alive: dict[bytes, bytes] = {}
    named = {bytes(root) for statement in ROOTS for (root,) in tx.all(statement, room_id=room_id)}
    while named := named - FIXED_NODES.keys() - alive.keys():
        assert named <= disk.keys(), "nodes that are named were collected"
        alive.update({digest: disk[digest] for digest in named})
        named = {child for digest in named for child in child_digests(disk[digest])}
    return alive


def is_all_alive(world: World, room_id: RoomID) -> bool:
    """Whether nothing is kept that nothing names."""
    read = world.sync_database.read
    return read(nodes_alive, room_id) == read(nodes_on_disk, room_id)


def count_nodes(world: World, room_id: RoomID) -> int:
    return len(world.sync_database.read(nodes_on_disk, room_id))


def collection_of(world: World) -> StateCollection:
    return StateCollection(world.database, world.clock)


def wait_for_sweep(world: World) -> None:
    """Let the log of states forget what was replaced."""
    world.clock.advance(SYNC_HORIZON_MS / 1000 + 1)
    world.sync_database.write(sweep_roots, world.clock.now_ms(), 10_000)


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room whose state changed often."""
    state = [InitialState("org.example.count", str(number), {"n": number}) for number in range(60)]
    room_id = world.create_room(preset="public_chat", initial_state=state)
    for number in range(20):
        set_topic(world, room_id, str(number))
    return room_id


def test_nothing_is_collected_of_a_room_that_keeps_its_events(world: World, room_id: RoomID) -> None:
    before = count_nodes(world, room_id)

    collected = now(collection_of(world).collect(room_id))

    assert collected == 0
    assert count_nodes(world, room_id) == before
    assert is_all_alive(world, room_id)


def test_what_only_forgotten_roots_reach_is_collected(world: World, room_id: RoomID) -> None:
    other = world.create_room(BOB)
    nodes, others = count_nodes(world, room_id), count_nodes(world, other)
    world.sync_database.write(forget_roots, room_id)
    writes = world.sync_database.counts.writes

    collected = now(collection_of(world).collect(room_id))

    assert 0 < collected == nodes - count_nodes(world, room_id)
    assert world.sync_database.counts.writes - writes == -(-collected // NODES_PER_WRITE)
    assert is_all_alive(world, room_id)
    assert count_nodes(world, other) == others
    assert now(collection_of(world).collect(room_id)) == 0
    world.send(ALICE, room_id, "the room lives on")
    set_topic(world, room_id, "after the collection")
    assert is_all_alive(world, room_id)


def test_a_state_that_comes_back_after_the_survey_stays(world: World, room_id: RoomID) -> None:
    set_topic(world, room_id, "again")
    world.sync_database.write(forget_roots, room_id)
    surveyed = world.sync_database.read(survey_room, room_id)
    assert surveyed is not None

    set_topic(world, room_id, "meanwhile")
    world.send(ALICE, room_id)
    collected = world.sync_database.write(delete_surveyed, room_id, surveyed, surveyed.nodes.garbage)

    assert collected
    assert is_all_alive(world, room_id)


def test_a_writer_who_read_the_room_before_a_collection_begins_anew(world: World, room_id: RoomID) -> None:
    world.sync_database.write(forget_roots, room_id)
    surveyed = world.sync_database.read(survey_room, room_id)
    assert surveyed is not None

    def write_while_collecting(tx: Transaction) -> None:
        head = find_head(tx, room_id)
        assert head is not None
        delete_surveyed(tx, room_id, surveyed, surveyed.nodes.garbage)
        swap_head(tx, head)

    with pytest.raises(Conflict):
        world.sync_database.write(write_while_collecting)


def test_a_damaged_room_is_left_alone(world: World, room_id: RoomID) -> None:
    def damage(tx: Transaction) -> None:
        root = bytes(tx.all("SELECT current_root FROM rooms WHERE room_id = :room_id", room_id=room_id)[0][0])
        forget_roots(tx, room_id)
        delete_nodes(tx, room_id, [root])

    world.sync_database.write(damage)
    before = count_nodes(world, room_id)

    collected = now(collection_of(world).collect(room_id))

    assert collected == 0
    assert count_nodes(world, room_id) == before


# --- Merged states ---


class ForkingRoom:
    """A room of another server in which two users change the state side by side, again and again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scene = Scene(V12, users={THERE: 100})
        self.last = self.scene.member(THERE, "join", after=[self.scene.last])
        for number in range(40):
            self.last = self.scene.send(HERE, "org.example.thing", {}, str(number), after=[self.last])
        self.room_id = self.scene.create.room_id
        self.take(*self.scene.history.events.values())
        self.changes = 0

    def take(self, *events: Event) -> dict[EventID, Outcome]:
        """Receive events one by one."""
        outcomes: dict[EventID, Outcome] = {}
        for event in events:
            outcomes |= now(self.world.intake.take(self.room_id, V12, [received(event)], received_from=None))
        return outcomes

    def fork(self, steps: int = 1) -> tuple[Event, Event]:
        """Both go on for so many steps without hearing of each other: the two heads that come of it."""
        here = there = self.last
        for _ in range(steps):
            self.changes += 1
            here = self.scene.send(HERE, "m.room.topic", {"topic": str(self.changes)}, after=[here])
            there = self.scene.send(THERE, "m.room.name", {"name": str(self.changes)}, after=[there])
            self.take(here, there)
        return here, there

    def join(self, *heads: Event) -> Event:
        """Somebody speaks on top of these."""
        self.last = self.scene.say(HERE, after=heads)
        self.take(self.last)
        return self.last


def test_merged_states_are_collected_when_the_log_of_states_has_forgotten_them(world: World) -> None:
    room = ForkingRoom(world)
    room.join(*room.fork(steps=2))
    before = count_nodes(world, room.room_id)

    assert now(collection_of(world).collect_due()) == 0

    wait_for_sweep(world)
    collected = now(collection_of(world).collect_due())

    assert 0 < collected == before - count_nodes(world, room.room_id)
    assert is_all_alive(world, room.room_id)
    assert world.sync_database.read(find_collectable, world.clock.now_ms()) is None


def test_a_merged_state_has_its_turn_when_it_was_replaced_long_ago(world: World) -> None:
    room = ForkingRoom(world)
    room.fork()
    wait_for_sweep(world)
    now(collection_of(world).collect_due())
    assert is_all_alive(world, room.room_id)

    here = room.scene.send(HERE, "m.room.topic", {"topic": "of two heads still"}, after=[room.last])
    room.take(here)
    wait_for_sweep(world)
    collected = now(collection_of(world).collect_due())

    assert collected > 0
    assert is_all_alive(world, room.room_id)


def test_a_room_is_not_forgotten_while_its_log_of_states_is_not_swept(world: World) -> None:
    room = ForkingRoom(world)
    room.join(*room.fork(steps=2))
    world.clock.advance(SYNC_HORIZON_MS / 1000 + 1)

    assert now(collection_of(world).collect_due()) == 0

    world.sync_database.write(sweep_roots, world.clock.now_ms(), 10_000)
    assert now(collection_of(world).collect_due()) > 0
    assert is_all_alive(world, room.room_id)


def late_events(room: ForkingRoom, count: int) -> list[Event]:
    """Events in a merged state that is garbage now, known so far without the graph around them."""
    heads = room.fork()
    room.join(*room.fork())
    wait_for_sweep(room.world)
    late = [room.scene.say(THERE, f"late {number}", after=heads) for number in range(count)]
    now(room.world.intake.take_outliers(room.room_id, V12, [received(event) for event in late]))
    return late


def test_a_state_stays_that_an_event_names_which_was_known_without_one(world: World) -> None:
    room = ForkingRoom(world)
    (late,) = late_events(room, 1)
    surveyed = world.sync_database.read(survey_room, room.room_id)
    assert surveyed is not None

    assert set(room.take(late).values()) == {Outcome.ACCEPTED}
    collected = world.sync_database.write(delete_surveyed, room.room_id, surveyed, surveyed.nodes.garbage)

    assert collected is None
    world.sync_database.read(nodes_alive, room.room_id)
    assert now(collection_of(world).collect(room.room_id)) > 0
    assert is_all_alive(world, room.room_id)


class Interrupted(Database):
    """A database in which something happens after each read."""

    def __init__(self, world: World, happens: Callable[[], object]) -> None:
        self.inner = world.database
        self.happens = happens

    async def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result = self.inner.read_now(fn, *args, **kwargs)
        self.happens()
        return result

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self.inner.write_now(fn, *args, **kwargs)


def test_a_room_that_does_not_keep_still_gets_another_turn(world: World) -> None:
    room = ForkingRoom(world)
    late = late_events(room, MOST_SURVEYS)
    interrupted = StateCollection(Interrupted(world, lambda: room.take(late.pop())), world.clock)

    assert now(interrupted.collect(room.room_id)) == 0
    assert late == []
    assert world.sync_database.read(find_collectable, world.clock.now_ms() + 1) == room.room_id

    wait_for_sweep(world)
    assert now(collection_of(world).collect_due()) > 0
    assert is_all_alive(world, room.room_id)


# --- The disk ---

ROUNDS: Final = 12
FIRST_ROUNDS: Final = 4  # after which the database has the size that it needs
STEPS: Final = 10
PURGE_EVENTS = """
    DELETE FROM events WHERE room_id = :room_id AND type IN ('m.room.topic', 'm.room.name', 'm.room.message')
       AND place < (SELECT MAX(place) FROM events WHERE room_id = :room_id) AND event_id NOT IN :kept[text]"""
PURGE_EDGES = """
    DELETE FROM event_edges WHERE room_id = :room_id
       AND (source_nid NOT IN (SELECT event_nid FROM events) OR target_nid NOT IN (SELECT event_nid FROM events))"""


def purge_history(tx: Transaction, room_id: RoomID, kept: list[EventID]) -> None:
    """Keep of a room's history what its state consists of, and its newest event."""
    tx.run(PURGE_EVENTS, room_id=room_id, kept=kept)
    tx.run(PURGE_EDGES, room_id=room_id)
    forget_roots(tx, room_id)


def pages_of(tx: Transaction) -> int:
    """How large the file is."""
    pages: int = tx.all("PRAGMA page_count")[0][0]
    return pages


def bytes_of(nodes: dict[bytes, bytes]) -> int:
    return sum(len(digest) + len(body) for digest, body in nodes.items())


def test_the_disk_follows_what_is_alive(world: World) -> None:
    room = ForkingRoom(world)
    sizes: list[int] = []
    pages: list[int] = []
    collected = 0

    for _ in range(ROUNDS):
        heads = room.fork(STEPS)
        newest = room.join(*heads)
        wait_for_sweep(world)
        world.sync_database.write(purge_history, room.room_id, list(room.scene.after(newest).values()))
        collected += now(collection_of(world).collect(room.room_id))
        assert now(collection_of(world).collect_due()) == 0

        alive = world.sync_database.read(nodes_alive, room.room_id)
        assert bytes_of(world.sync_database.read(nodes_on_disk, room.room_id)) == bytes_of(alive)
        sizes.append(bytes_of(alive))
        if world.backend.dialect.name == "sqlite":
            pages.append(world.sync_database.read(pages_of))

    assert collected > ROUNDS * STEPS
    assert max(sizes[FIRST_ROUNDS:]) <= 1.1 * max(sizes[:FIRST_ROUNDS])
    assert not pages or max(pages[FIRST_ROUNDS:]) == max(pages[:FIRST_ROUNDS])
