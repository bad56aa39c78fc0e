"""What sliding sync tells beside the rooms."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.sliding_tokens import parse_thread_subscriptions_token
from homeserver.services.sync.sliding_extensions import THREAD_SUBSCRIPTIONS
from homeserver.services.sync.sliding_request import Extensions
from tests.services.sync.sliding import Phone, Sliding
from tests.services.world import ALICE, World, now

NOTHING_CHANGED: dict[str, dict[str, object]] = {"subscribed": {}, "unsubscribed": {}}


@pytest.fixture
def room_id(world: World) -> RoomID:
    return world.create_room(ALICE)


@pytest.fixture
def phone(world: World) -> Phone:
    """A connection that is told of two changes of subscriptions at a time."""
    return Phone(Sliding(world), ALICE, extensions=Extensions(thread_subscriptions=2))


def test_subscriptions_to_threads_are_told_as_they_change(world: World, room_id: RoomID, phone: Phone) -> None:
    root = world.send(ALICE, room_id)
    now(world.thread_subscriptions.subscribe(ALICE, room_id, root, None))

    told = [phone.ask()["extensions"][THREAD_SUBSCRIPTIONS] for _ in range(2)]
    now(world.thread_subscriptions.unsubscribe(ALICE, room_id, root))
    told.append(phone.ask()["extensions"][THREAD_SUBSCRIPTIONS])

    assert told[0]["subscribed"][room_id][root]["automatic"] is False
    assert told[1] == NOTHING_CHANGED
    assert list(told[2]["unsubscribed"][room_id]) == [root]
    assert told[2]["unsubscribed"][room_id][root]["bump_stamp"] > told[0]["subscribed"][room_id][root]["bump_stamp"]


def test_of_many_changes_the_newest_are_told_with_a_token_for_the_others(
    world: World, room_id: RoomID, phone: Phone
) -> None:
    phone.ask()
    before = phone.last
    assert before is not None
    roots = [world.send(ALICE, room_id) for _ in range(3)]
    for root in roots:
        now(world.thread_subscriptions.subscribe(ALICE, room_id, root, None))

    told = phone.ask()["extensions"][THREAD_SUBSCRIPTIONS]
    upto = parse_thread_subscriptions_token(told["prev_batch"])
    after = parse_thread_subscriptions_token(str(before.token))
    rest = now(world.thread_subscriptions.changed(ALICE, after=after, upto=upto, limit=None))

    assert set(told["subscribed"][room_id]) == set(roots[1:])
    assert [one.root_id for one in rest.changed] == [roots[0]]
    assert rest.before is None


def test_a_change_wakes_who_waits_for_it_and_nobody_else(world: World, room_id: RoomID, phone: Phone) -> None:
    root = world.send(ALICE, room_id)
    other = Phone(phone.sliding, ALICE, "other")
    phone.ask()
    other.ask()
    waiting, asleep = phone.wait(), other.wait()

    now(world.thread_subscriptions.subscribe(ALICE, room_id, root, None))
    world.clock.advance(0)

    assert (waiting.called, asleep.called) == (True, False)
    world.clock.advance(30)
    assert asleep.called
