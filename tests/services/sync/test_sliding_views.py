"""Answers of sliding sync from memory: the same that the database gives, and none where memory does not know."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.sliding_tokens import parse_to_device_token
from homeserver.services.events.news import CHANGES_PER_USER
from homeserver.services.rooms.receipts import READ, Marker
from homeserver.services.sync.sliding_request import Extensions, Scope, SlidingAnswer, ToDeviceWish
from homeserver.storage.devices import insert_device
from tests.budgets.costs import NOTHING, ONE_READ, Cost, cost_of
from tests.services.sync.sliding import Phone, Sliding, said, window
from tests.services.world import ALICE, BOB, CAROL, PHONE, World, now, shown

ALL = Extensions(ToDeviceWish(0, 100), True, Scope(), Scope(), Scope())  # noqa: FBT003 - e2ee
PAIRS = (("m.room.name", ""), ("m.room.member", "$LAZY"), ("m.room.member", "$ME"))

# Any: JSON.


@pytest.fixture
def rooms(world: World) -> list[RoomID]:
    """Rooms of Alice and Bob, the newest last."""
    made = [world.create_room(ALICE, preset="public_chat", name=f"Room {number}") for number in range(3)]
    for room_id in made:
        world.join(BOB, room_id)
        world.send(ALICE, room_id, "before")
    return made


def phone_of_bob(world: World, last: int = 19, **wishes: Any) -> Phone:
    """A phone that was told all there is."""
    phone = Phone(Sliding(world), BOB, lists=window(0, last, *PAIRS, user_id=BOB), extensions=ALL, **wishes)
    phone.ask()
    phone.ask()
    return phone


def from_database(phone: Phone) -> Any:
    """What the database would answer now."""
    sliding, request = phone.sliding, phone.request()
    answer = sliding.world.sync_database.read(sliding.assembling.read, request, sliding.connections.known(request))
    return shown(answer.body)


def cost(phone: Phone) -> Cost:
    """What the next answer costs."""
    return cost_of(phone.sliding.world.sync_database.counts, phone.ask)


def body(phone: Phone) -> Any:
    """The newest answer."""
    assert phone.last is not None
    return shown(phone.last.body)


def test_what_is_said_in_sight_is_told_from_memory_as_the_database_has_it(world: World, rooms: list[RoomID]) -> None:
    phone = phone_of_bob(world)
    for text, room_id in (("one", rooms[0]), ("two", rooms[2]), ("three", rooms[0])):
        world.send(ALICE, room_id, text)
    event_id = world.send(ALICE, rooms[1], "read this")
    now(world.receipts.mark(ALICE, rooms[1], [Marker(READ, event_id)]))
    now(world.typing.set_typing(ALICE, ALICE, rooms[2], is_typing=True))
    expected = from_database(phone)

    spent = cost(phone)

    assert spent == NOTHING
    assert body(phone) == expected
    assert said(expected["rooms"][rooms[0]]) == ["one", "three"]
    assert expected["rooms"][rooms[0]]["notification_count"] == 3
    assert list(expected["extensions"]["receipts"]["rooms"]) == [rooms[1]]
    assert list(expected["extensions"]["typing"]["rooms"]) == [rooms[2]]


def test_who_waits_is_woken_without_a_read_time_and_again(world: World, rooms: list[RoomID]) -> None:
    phone, answers = phone_of_bob(world), list[SlidingAnswer]()

    def wakes() -> None:
        for number in range(5):
            phone.wait().addCallback(answers.append)
            assert len(answers) == number
            world.send(ALICE, rooms[number % 3], f"number {number}")
            world.clock.advance(0)
            phone.last = answers[number]
            assert said(body(phone)["rooms"][rooms[number % 3]]) == [f"number {number}"]

    assert cost_of(world.sync_database.counts, wakes).reads == 0


def test_a_client_that_shows_which_messages_it_has_is_told_from_memory_as_well(
    world: World, rooms: list[RoomID]
) -> None:
    phone = phone_of_bob(world)

    def ask() -> None:
        assert phone.last is not None
        told = parse_to_device_token(phone.last.body["extensions"]["to_device"]["next_batch"])
        phone.extensions = replace(ALL, to_device=ToDeviceWish(told, 100))
        phone.ask()

    for number in range(3):
        world.send(ALICE, rooms[0], f"number {number}")
        assert cost_of(world.sync_database.counts, ask) == NOTHING
        assert said(body(phone)["rooms"][rooms[0]]) == [f"number {number}"]
        assert cost_of(world.sync_database.counts, ask) == NOTHING
        assert body(phone)["rooms"] == {}


def test_a_client_that_has_lost_messages_is_told_them_again(world: World, rooms: list[RoomID]) -> None:
    world.sync_database.write(insert_device, BOB, PHONE, display_name=None, now_ms=0)
    before = world.database.position
    now(world.to_device.send(ALICE, PHONE, "m.test", "1", {BOB: {PHONE: {"a": 1}}}))
    phone = phone_of_bob(world)
    phone.extensions = replace(ALL, to_device=ToDeviceWish(world.database.position, 100))
    phone.ask()
    phone.ask()

    phone.extensions = replace(ALL, to_device=ToDeviceWish(before, 100))
    phone.ask()

    assert len(body(phone)["extensions"]["to_device"]["events"]) == 1


def test_a_room_that_comes_into_sight_is_looked_up(world: World, rooms: list[RoomID]) -> None:
    phone = phone_of_bob(world, last=0)
    world.send(ALICE, rooms[2], "in sight")

    assert cost(phone) == NOTHING
    world.send(ALICE, rooms[0], "out of sight until now")
    assert cost(phone).reads == 1
    assert list(body(phone)["rooms"]) == [rooms[0]]


def test_what_is_said_where_somebody_came_or_the_name_changed_is_looked_up(world: World, rooms: list[RoomID]) -> None:
    phone = phone_of_bob(world)
    world.join(CAROL, rooms[0])
    world.send(CAROL, rooms[0], "here I am")

    assert cost(phone) == ONE_READ
    assert said(body(phone)["rooms"][rooms[0]]) == ["here I am"]
    assert body(phone)["rooms"][rooms[0]]["joined_count"] == 3


def test_what_is_redacted_is_looked_up(world: World, rooms: list[RoomID]) -> None:
    phone = phone_of_bob(world)
    event_id = world.send(ALICE, rooms[0], "a slip")
    now(world.sending.redact(ALICE, rooms[0], event_id, {}, None))
    expected = from_database(phone)

    assert cost(phone) == ONE_READ
    assert body(phone) == expected


def test_ones_own_receipt_ends_the_count(world: World, rooms: list[RoomID]) -> None:
    phone = phone_of_bob(world)
    event_id = world.send(ALICE, rooms[0], "read this")
    now(world.receipts.mark(BOB, rooms[0], [Marker(READ, event_id)]))
    world.send(ALICE, rooms[0], "and this")

    assert cost(phone) == ONE_READ
    assert body(phone)["rooms"][rooms[0]]["notification_count"] == 1


def test_what_was_said_long_ago_counts_in_a_room_of_which_memory_has_lost_nothing(
    world: World, rooms: list[RoomID]
) -> None:
    phone = phone_of_bob(world)
    for number in range(CHANGES_PER_USER + 1):
        world.send(ALICE, rooms[0], f"number {number}")
        if number % 10 == 0:
            phone.ask()
    phone.ask()
    world.send(ALICE, rooms[1], "here")

    assert cost(phone) == NOTHING
    assert body(phone)["rooms"][rooms[1]]["notification_count"] == 2
