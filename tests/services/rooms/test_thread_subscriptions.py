"""Subscribing to threads: by a user's wish, by a client's, and when that comes too late."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.sliding_tokens import parse_thread_subscriptions_token
from homeserver.services.errors import ConflictingUnsubscription, NotFound, NotInThread
from homeserver.services.rooms.thread_subscriptions import SubscriptionChanges
from tests.services.rooms.related import react, reply
from tests.services.world import ALICE, BOB, CAROL, World, now

# Any: JSON, throughout.


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room of Alice and Bob."""
    room_id = world.create_room(ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, None))
    world.join(BOB, room_id)
    return room_id


@pytest.fixture
def root(world: World, room_id: RoomID) -> EventID:
    """A thread begins here."""
    return world.send(ALICE, room_id)


def subscribe(world: World, user_id: UserID, room_id: RoomID, root: EventID, cause: EventID | None = None) -> None:
    now(world.thread_subscriptions.subscribe(user_id, room_id, root, cause))


def unsubscribe(world: World, user_id: UserID, room_id: RoomID, root: EventID) -> None:
    now(world.thread_subscriptions.unsubscribe(user_id, room_id, root))


def is_automatic(world: World, user_id: UserID, room_id: RoomID, root: EventID) -> bool | None:
    """How the user is subscribed; None for one who is not."""
    try:
        return now(world.thread_subscriptions.find(user_id, room_id, root)).is_automatic
    except NotFound:
        return None


def changes(world: World, user_id: UserID, after: int = 0, **asked: Any) -> SubscriptionChanges:
    return now(
        world.thread_subscriptions.changed(user_id, after=after, upto=asked.get("upto"), limit=asked.get("limit"))
    )


def test_a_user_subscribes_and_unsubscribes(world: World, room_id: RoomID, root: EventID) -> None:
    before = is_automatic(world, BOB, room_id, root)

    subscribe(world, BOB, room_id, root)
    subscribed = is_automatic(world, BOB, room_id, root)
    unsubscribe(world, BOB, room_id, root)

    assert (before, subscribed, is_automatic(world, BOB, room_id, root)) == (None, False, None)
    assert is_automatic(world, ALICE, room_id, root) is None


def test_what_the_user_wants_takes_precedence_over_what_a_client_does(
    world: World, room_id: RoomID, root: EventID
) -> None:
    mention = reply(world, ALICE, room_id, root)

    found = []
    for cause in (mention, None, mention):
        subscribe(world, BOB, room_id, root, cause)
        found.append(is_automatic(world, BOB, room_id, root))

    assert found == [True, False, False]


def test_a_client_subscribes_no_more_for_what_came_before_its_user_unsubscribed(
    world: World, room_id: RoomID, root: EventID
) -> None:
    old = reply(world, ALICE, room_id, root)
    subscribe(world, BOB, room_id, root, old)
    unsubscribe(world, BOB, room_id, root)
    new = reply(world, ALICE, room_id, root)

    with pytest.raises(ConflictingUnsubscription):
        subscribe(world, BOB, room_id, root, old)
    refused = is_automatic(world, BOB, room_id, root)
    subscribe(world, BOB, room_id, root, new)

    assert (refused, is_automatic(world, BOB, room_id, root)) == (None, True)


def test_a_user_may_subscribe_again_at_any_time(world: World, room_id: RoomID, root: EventID) -> None:
    subscribe(world, BOB, room_id, root)
    unsubscribe(world, BOB, room_id, root)

    subscribe(world, BOB, room_id, root)

    assert is_automatic(world, BOB, room_id, root) is False


def test_only_an_event_of_the_thread_makes_a_client_subscribe(world: World, room_id: RoomID, root: EventID) -> None:
    other = world.send(ALICE, room_id)
    elsewhere = world.create_room(BOB)
    inside = reply(world, ALICE, room_id, root)
    causes = [root, other, reply(world, ALICE, room_id, other), reply(world, BOB, elsewhere, root), EventID("$none")]

    for cause in causes:
        with pytest.raises(NotInThread):
            subscribe(world, BOB, room_id, root, cause)

    subscribe(world, BOB, room_id, root, react(world, ALICE, room_id, inside))
    assert is_automatic(world, BOB, room_id, root) is True


def test_a_thread_that_the_user_may_not_see_is_not_found(world: World, room_id: RoomID, root: EventID) -> None:
    asked = [(CAROL, room_id, root), (BOB, room_id, EventID("$none")), (BOB, RoomID("!none:example.org"), root)]

    for user_id, where, thread in asked:
        for action in (subscribe, unsubscribe):
            with pytest.raises(NotFound):
                action(world, user_id, where, thread)

    assert changes(world, CAROL).changed == []


def test_changes_are_told_the_newest_first_and_page_by_page(world: World, room_id: RoomID, root: EventID) -> None:
    mention = reply(world, ALICE, room_id, root)
    second, third = world.send(ALICE, room_id), world.send(ALICE, room_id)
    subscribe(world, BOB, room_id, root, mention)
    subscribe(world, BOB, room_id, second)
    begun = world.database.position
    subscribe(world, BOB, room_id, third)
    unsubscribe(world, BOB, room_id, second)
    unsubscribe(world, BOB, room_id, second)  # once more: nothing

    first = changes(world, BOB, limit=2)
    assert first.before is not None
    rest = changes(world, BOB, upto=parse_thread_subscriptions_token(first.before))

    assert [(one.root_id, one.is_subscribed) for one in first.changed] == [(second, False), (third, True)]
    assert [one.root_id for one in rest.changed] == [root]
    assert rest.before is None
    stamps = [one.log_position for one in (*first.changed, *rest.changed)]
    assert first.shown == {
        "subscribed": {room_id: {third: {"automatic": False, "bump_stamp": stamps[1]}}},
        "unsubscribed": {room_id: {second: {"bump_stamp": stamps[0]}}},
    }
    assert rest.shown["subscribed"] == {room_id: {root: {"automatic": True, "bump_stamp": stamps[2]}}}
    assert [one.root_id for one in changes(world, BOB, begun).changed] == [second, third]
    assert changes(world, ALICE).shown == {"subscribed": {}, "unsubscribed": {}}


def test_the_users_devices_are_told_of_a_change(world: World, room_id: RoomID, root: EventID) -> None:
    position = world.database.position
    world.news.follow(BOB, position)

    subscribe(world, BOB, room_id, root)
    subscribe(world, BOB, room_id, root)

    told = world.news.since(BOB, position)
    assert told is not None
    assert len(told) == 1
