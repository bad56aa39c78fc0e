"""What has expired is removed from the database."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.retention import RetentionPolicy
from homeserver.services.admin.audits import RoomAudits
from homeserver.services.events.creation import Draft
from homeserver.services.events.expiry import Expiry
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, events_forwards
from homeserver.storage.room_lifetimes import find_expired
from tests.services.admin.own_keys import OwnKeys
from tests.services.world import ALICE, BOB, SERVER, World, now

DAY_S = 86_400
POLICY = RetentionPolicy(is_enabled=True, default_ms=DAY_S * 1000)
PDUS = "SELECT pdu FROM events WHERE room_id = :room_id AND type = 'm.room.message' ORDER BY place"


class Immediate:
    """A clock of which nobody waits for anything."""

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def sleep(self, _: float) -> None:
        """Go on."""


def expiry_of(world: World, events_per_step: int = 3) -> Expiry:
    clock: Any = Immediate(world)
    return Expiry(world.database, world.lifetimes, world.states.events, clock, events_per_step)


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room of a server that keeps things for a day."""
    world.lifetimes.policy = POLICY
    found = world.create_room(ALICE, preset="public_chat", name="Room")
    world.join(BOB, found)
    return found


def stored(world: World, room_id: RoomID) -> list[bytes]:
    return [bytes(row[0]) for row in world.sync_database.read(lambda tx: tx.all(PDUS, room_id=room_id))]


def removed(world: World, room_id: RoomID) -> int:
    return world.sync_database.read(find_expired, room_id).removed


def test_what_has_expired_is_gone_from_the_database_and_nothing_else_is(world: World, room_id: RoomID) -> None:
    for number in range(7):
        world.send(ALICE, room_id, f"secret {number}")
    world.clock.advance(DAY_S / 2)
    world.send(ALICE, room_id, "kept")
    world.clock.advance(DAY_S / 2 + 1)

    now(expiry_of(world).work())

    pdus = stored(world, room_id)
    assert [b"secret" in pdu for pdu in pdus] == [False] * 8
    assert b"kept" in pdus[-1]
    assert removed(world, room_id) == 7
    events = world.sync_database.read(events_forwards, room_id, place=0, limit=100)
    assert {one.form for one in events if one.event.state_key is not None} == {Form.FULL}
    assert now(world.timeline.state_event(world.viewer(BOB), room_id, "m.room.name", "", whole_event=False))


def test_the_room_goes_on_and_what_expires_later_is_removed_later(world: World, room_id: RoomID) -> None:
    expiry = expiry_of(world)
    for day in range(3):
        world.send(ALICE, room_id, f"day {day}")
        now(expiry.work())
        world.clock.advance(DAY_S + 1)

    assert removed(world, room_id) == 2
    world.send(BOB, room_id, "still here")
    assert [b"day" in pdu for pdu in stored(world, room_id)] == [False, False, True, False]


def test_what_is_removed_is_found_by_no_search_and_counts_for_nothing(world: World, room_id: RoomID) -> None:
    world.send(ALICE, room_id, "elephants")
    index = "SELECT COUNT(*) FROM class_notifications WHERE room_id = :room_id"
    before = world.sync_database.read(lambda tx: tx.all(index, room_id=room_id))[0][0]
    world.clock.advance(DAY_S + 1)

    now(expiry_of(world).work())

    assert before == 1
    assert world.sync_database.read(lambda tx: tx.all(index, room_id=room_id))[0][0] == 0


def dated(world: World, room_id: RoomID, body: str, at_ms: int) -> None:
    """Say something that is said to be of another time."""

    def write(tx: Transaction) -> None:
        opened = world.event_creation.writer.open(tx, room_id)
        assert opened is not None
        content = {"msgtype": "m.text", "body": body}
        world.event_creation.add(opened, Draft("m.room.message", ALICE, content, origin_server_ts=at_ms))
        opened.finish()

    now(world.event_creation.write(write))


def test_who_dates_something_wrongly_keeps_nobody_elses_words(world: World, room_id: RoomID) -> None:
    now_ms = world.clock.now_ms()
    for number in range(5):
        dated(world, room_id, f"of the future {number}", now_ms + 1_000 * DAY_S * 1000)
    dated(world, room_id, "of the past", 0)
    world.send(ALICE, room_id, "honest")

    now(expiry_of(world).work())
    first = stored(world, room_id)
    world.clock.advance(DAY_S + 1)
    now(expiry_of(world).work())

    assert b"of the past" not in first[-2]
    assert b"honest" in first[-1]
    assert b"honest" not in stored(world, room_id)[-1]


def test_rooms_are_left_alone_where_nothing_expires(world: World, room_id: RoomID) -> None:
    world.lifetimes.policy = replace(POLICY, default_ms=None)
    world.send(ALICE, room_id, "kept")
    world.clock.advance(100 * DAY_S)
    writes = world.database.counts.writes

    now(expiry_of(world).work())

    assert world.database.counts.writes == writes
    assert b"kept" in stored(world, room_id)[-1]


def test_a_room_from_which_something_was_removed_is_sound(world: World, room_id: RoomID) -> None:
    thread = world.send(ALICE, room_id, "a thread begins")
    reply = {"msgtype": "m.text", "body": "reply", "m.relates_to": {"rel_type": "m.thread", "event_id": thread}}
    now(world.sending.send_message(BOB, room_id, "m.room.message", reply, None))
    world.clock.advance(DAY_S + 1)
    world.send(BOB, room_id, "new")

    now(expiry_of(world).work())
    audits = RoomAudits(world.database, OwnKeys(SERVER, world.key), world.clock, world.randomness, SERVER)
    report = now(audits.verify(room_id))

    assert removed(world, room_id) == 2
    assert report.fault is None
