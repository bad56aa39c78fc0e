"""When sliding syncs answer, what they wait for, and that they cost nothing for what does not concern them."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.errors import UnknownPosition
from homeserver.services.rooms.receipts import READ, Marker
from homeserver.services.sync.sliding_request import Extensions, Scope, SlidingAnswer, ToDeviceWish
from homeserver.storage.devices import insert_device
from tests.budgets.costs import NOTHING, ONE_READ, Cost, cost_of
from tests.services.sync.sliding import Phone, Sliding, config, lost, said, window
from tests.services.world import ALICE, BOB, PHONE, World, now

ENCRYPTION = Extensions(to_device=ToDeviceWish(0, 100), e2ee=True)
ALL = Extensions(ToDeviceWish(0, 100), True, Scope(), Scope(), Scope())  # noqa: FBT003 - e2ee
AND_NOTED = Cost(writes=1, reads=1, batches=1, hops=2)


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room of Alice and Bob in which something was said."""
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    world.send(ALICE, room_id, "before")
    return room_id


@pytest.fixture
def sliding(world: World) -> Sliding:
    return Sliding(world)


def test_the_first_answer_is_a_read_and_noted_and_the_next_that_is_empty_costs_nothing(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    phone = Phone(sliding, BOB, lists=window(), extensions=ALL)

    first = cost_of(world.sync_database.counts, phone.ask)
    second = cost_of(world.sync_database.counts, phone.ask)

    assert (first, second) == (AND_NOTED, NOTHING)
    assert shown_rooms(phone) == []


def test_a_message_in_a_room_in_sight_costs_nothing_and_nothing_is_noted(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    phone = Phone(sliding, BOB, lists=window(), extensions=ALL)
    phone.ask()
    world.send(ALICE, room_id, "hello")

    assert cost_of(world.sync_database.counts, phone.ask) == NOTHING
    assert shown_rooms(phone) == [room_id]


def test_a_connection_for_encryption_sleeps_through_what_is_said(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    world.sync_database.write(insert_device, BOB, PHONE, display_name=None, now_ms=0)
    phone = Phone(sliding, BOB, "encryption", extensions=ENCRYPTION)
    phone.ask()
    waiting = phone.wait()

    def say() -> None:
        world.send(ALICE, room_id, "hello")
        world.clock.advance(0)

    assert cost_of(world.sync_database.counts, say).reads == 0
    assert not waiting.called
    now(world.to_device.send(ALICE, PHONE, "m.test", "1", {BOB: {PHONE: {"a": 1}}}))
    world.clock.advance(0)
    assert waiting.called


def test_who_waits_is_answered_in_the_end_and_then_without_a_read(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    phone = Phone(sliding, BOB, lists=window(), extensions=ALL)
    phone.ask()

    def wait() -> None:
        waiting = phone.wait(10_000)
        assert not waiting.called
        world.clock.advance(10)
        assert waiting.called

    assert cost_of(world.sync_database.counts, wait) == NOTHING


def test_receipts_of_others_wake_who_wants_to_hear_of_them_and_ones_own_everybody(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    event_id = world.send(ALICE, room_id, "read this")
    phone = Phone(sliding, BOB, lists=window(), extensions=ALL)
    other = Phone(sliding, BOB, "other", lists=window())
    phone.ask()
    other.ask()
    waiting, asleep = phone.wait(), other.wait()

    now(world.receipts.mark(ALICE, room_id, [Marker(READ, event_id)]))
    world.clock.advance(0)
    assert waiting.called
    assert not asleep.called
    now(world.receipts.mark(BOB, room_id, [Marker(READ, event_id)]))
    world.clock.advance(0)

    assert asleep.called


def test_typing_wakes_who_wants_to_hear_of_it(world: World, sliding: Sliding, room_id: RoomID) -> None:
    phone = Phone(sliding, BOB, lists=window(), extensions=ALL)
    other = Phone(sliding, BOB, "other", lists=window())
    phone.ask()
    other.ask()
    waiting, asleep = phone.wait(), other.wait()

    now(world.typing.set_typing(ALICE, ALICE, room_id, is_typing=True))
    world.clock.advance(0)

    assert not asleep.called
    answers: list[SlidingAnswer] = []
    waiting.addCallback(answers.append)
    typing = answers[0].body["extensions"]["typing"]["rooms"][room_id]
    assert typing["content"] == {"user_ids": [ALICE]}


def test_a_request_that_was_given_up_spoils_nothing_for_the_one_after_it(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    phone = Phone(sliding, BOB, lists=window(0, 0))
    phone.ask()
    given_up = phone.wait()
    other = world.create_room(BOB)
    answer = phone.ask()

    world.clock.advance(0)

    assert given_up.called
    assert set(answer["rooms"]) == {other}
    world.send(ALICE, room_id, "hello")
    assert set(phone.ask()["rooms"]) == {room_id}


def test_an_answer_that_was_lost_is_told_again_with_what_came_since(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    phone = Phone(sliding, BOB, lists=window(0, 0))
    other = world.create_room(BOB)
    phone.ask()
    world.send(ALICE, room_id, "one")
    lost(phone).ask()
    world.send(ALICE, room_id, "two")

    answer = phone.ask()

    assert set(answer["rooms"]) == {room_id}
    assert said(answer["rooms"][room_id]) == ["before", "one", "two"]
    world.send(BOB, other, "three")
    assert "initial" not in phone.ask()["rooms"][other]


def test_a_position_that_is_older_than_the_answer_before_the_last_is_not_known(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    phone = Phone(sliding, BOB, lists=window(0, 0))
    phone.ask()
    old = lost(phone)
    for _ in range(3):
        world.create_room(BOB)
        phone.ask()

    # What is in memory does not outlive the server.
    started_again = Phone(Sliding(world), BOB, lists=window(0, 0), last=old.last)
    with pytest.raises(UnknownPosition):
        started_again.ask()


def test_who_asks_for_too_many_rooms_at_once_gets_them_in_several_answers(world: World) -> None:
    rooms = {world.create_room(ALICE) for _ in range(5)}
    phone = Phone(Sliding(world, most_fresh=3), ALICE, lists=window(0, 999, limit=1))

    first, second, third = phone.ask(), phone.ask(), phone.ask()

    assert len(first["rooms"]) == 3
    assert set(first["rooms"]) | set(second["rooms"]) == rooms
    assert len(second["rooms"]) == 2
    assert third["rooms"] == {}
    assert first["lists"] == third["lists"] == {"all": {"count": 5}}


def test_a_connection_that_asks_for_no_room_is_not_noted(world: World, sliding: Sliding) -> None:
    phone = Phone(sliding, BOB, "encryption", extensions=ENCRYPTION)

    assert cost_of(world.sync_database.counts, phone.ask) == ONE_READ


def test_a_subscription_to_a_room_out_of_sight_is_woken_by_it_alone(
    world: World, sliding: Sliding, room_id: RoomID
) -> None:
    other = world.create_room(BOB)
    phone = Phone(sliding, BOB, subscriptions={room_id: config()})
    phone.ask()
    waiting = phone.wait()

    world.send(BOB, other, "elsewhere")
    world.clock.advance(0)
    assert not waiting.called
    world.send(ALICE, room_id, "here")
    world.clock.advance(0)

    assert waiting.called


def shown_rooms(phone: Phone) -> list[str]:
    """The rooms of the newest answer."""
    assert phone.last is not None
    return list(phone.last.body["rooms"])
