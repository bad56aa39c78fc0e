"""Listing what users were notified of."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.sync_tokens import NotificationToken
from homeserver.services.rooms.receipts import READ, Marker
from tests.services.rooms.related import ignore, redact, reply
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON, throughout.


def page(
    world: World,
    user_id: UserID = ALICE,
    begin: NotificationToken | None = None,
    limit: int | None = None,
    *,
    only_highlights: bool = False,
) -> Any:
    return now(
        world.notifications.notifications(
            world.viewer(user_id), begin=begin, limit=limit, only_highlights=only_highlights
        )
    )


def ids(found: Any) -> list[str]:
    return [shown(one.event)["event_id"] for one in found.notifications]


def room_of_both(world: World) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    world.join(CAROL, room_id)
    return room_id


def mention(world: World, sender: UserID, room_id: RoomID, *mentioned: UserID) -> EventID:
    content = {"msgtype": "m.text", "body": "hey", "m.mentions": {"user_ids": list(mentioned)}}
    return now(world.sending.send_message(sender, room_id, "m.room.message", content, None))


def read(world: World, user_id: UserID, room_id: RoomID, event_id: EventID, thread_id: str | None = None) -> None:
    now(world.receipts.mark(user_id, room_id, [Marker(READ, event_id, thread_id)]))


def test_events_of_all_rooms_are_listed_newest_first(world: World) -> None:
    room_id, other = room_of_both(world), room_of_both(world)
    first = world.send(BOB, room_id)
    second = world.send(BOB, other)
    world.send(ALICE, room_id, "one's own")
    third = world.send(CAROL, room_id)

    found = page(world)

    assert ids(found) == [third, second, first]
    assert [one.room_id for one in found.notifications] == [room_id, other, room_id]
    assert found.next_token is None
    assert "room_id" not in shown(found.notifications[0].event)


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_follow_each_other(world: World, limit: int) -> None:
    rooms = [room_of_both(world) for _ in range(3)]
    sent = [world.send(BOB, rooms[index % 3]) for index in range(5)]

    listed: list[str] = []
    token: NotificationToken | None = None
    while token is not None or not listed:
        found = page(world, begin=token, limit=limit)
        assert 0 < len(found.notifications) <= limit
        listed += ids(found)
        token = found.next_token
        world.send(BOB, rooms[0], "after the first page: of no other")

    assert listed == sent[::-1]


def test_those_that_highlight_are_listed_apart(world: World) -> None:
    room_id = room_of_both(world)
    world.send(BOB, room_id)
    mentioned = mention(world, BOB, room_id, ALICE)
    world.send(BOB, room_id)

    found = page(world, only_highlights=True)

    assert ids(found) == [mentioned]
    assert "notify" in found.notifications[0].actions
    assert any(isinstance(one, dict) and one["set_tweak"] == "highlight" for one in found.notifications[0].actions)
    assert len(ids(page(world))) == 3
    assert ids(page(world, CAROL, only_highlights=True)) == []


def test_what_was_read_is_said_to_be(world: World) -> None:
    room_id = room_of_both(world)
    root, later = world.send(BOB, room_id), world.send(BOB, room_id)
    in_thread = reply(world, BOB, room_id, root)

    def flags() -> dict[str, bool]:
        return {shown(one.event)["event_id"]: one.is_read for one in page(world).notifications}

    assert flags() == {root: False, later: False, in_thread: False}
    read(world, ALICE, room_id, later, "main")
    assert flags() == {root: True, later: True, in_thread: False}
    read(world, ALICE, room_id, in_thread)
    assert flags() == {root: True, later: True, in_thread: True}


def test_nothing_is_listed_of_what_is_not_to_be_seen(world: World) -> None:
    room_id, left = room_of_both(world), room_of_both(world)
    redact(world, BOB, room_id, world.send(BOB, room_id))
    world.send(CAROL, room_id)
    world.send(BOB, left)
    now(world.membership.leave(ALICE, left, None))
    ignore(world, ALICE, CAROL)

    assert ids(page(world)) == []


def test_what_was_sent_before_one_came_is_not_listed(world: World) -> None:
    room_id = world.create_room(BOB, preset="public_chat")
    world.join(CAROL, room_id)
    world.send(BOB, room_id)
    world.join(ALICE, room_id)
    after = world.send(BOB, room_id)

    assert ids(page(world)) == [after]


def test_what_rules_no_longer_say_is_still_listed(world: World) -> None:
    room_id = room_of_both(world)
    sent = world.send(BOB, room_id)

    now(world.push_rules.set_enabled(ALICE, "override", ".m.rule.master", enabled=True))

    found = page(world)
    assert ids(found) == [sent]
    assert list(found.notifications[0].actions) == ["notify"]


def test_notifications_outlive_a_restart(world: World) -> None:
    room_id = room_of_both(world)
    sent = world.send(BOB, room_id)

    again = World(world.backend, boot=2)

    assert ids(page(again)) == [sent]
    again.close()
