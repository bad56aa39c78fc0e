"""Moderation policy lists in memory: read, kept up with their rooms, and asked."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.policy_rules import PolicyKind
from homeserver.services.errors import NotFound
from homeserver.services.events.news import Change, RoomWritten
from homeserver.services.rooms.policy_lists import PolicyLists
from homeserver.storage.policy_lists import OnRooms, PolicyList
from tests.services.world import ALICE, BOB, SERVER, World, now

EVE, MALLORY = UserID("@eve:bad.example"), UserID("@mallory:worse.example")
ROOM = RoomID("!room:example.org")


@pytest.fixture
def lists(world: World) -> PolicyLists:
    return PolicyLists(world.database, world.states, SERVER)


def followed(list_id: RoomID, **more: Any) -> PolicyList:
    purpose = {"on_server": False, "on_rooms": OnRooms.ALL, "rooms": frozenset(), **more}
    return PolicyList(list_id, subscribed_by=None, subscribed_ms=1, **purpose)


def new_list(world: World) -> RoomID:
    return world.create_room(ALICE, preset="public_chat", room_version="11")


def rule(world: World, list_id: RoomID, entity: str, kind: str = "user", key: str = "") -> EventID:
    content = {"entity": entity, "recommendation": "m.ban"} if entity else {}
    return now(world.sending.set_state(ALICE, list_id, f"m.policy.rule.{kind}", key or f"rule:{entity}", content))


def test_a_list_is_read_when_it_is_followed_and_again_when_the_server_starts(world: World, lists: PolicyLists) -> None:
    list_id = new_list(world)
    rule(world, list_id, EVE)
    assert lists.is_empty
    assert lists.find_ban(ROOM, EVE) is None

    now(lists.follow(followed(list_id)))
    later = PolicyLists(world.database, world.states, SERVER)
    now(later.load())

    assert lists.act
    assert [lists.bars_join(ROOM, user_id) for user_id in (EVE, BOB)] == [True, False]
    for each in (lists, later):
        verdict = each.find_ban(ROOM, EVE)
        assert verdict is not None
        assert (verdict.list.room_id, verdict.rule.entity) == (list_id, EVE)
        assert each.find_ban(ROOM, BOB) is None
    now(lists.forget(list_id))
    assert lists.is_empty
    assert lists.find_ban(ROOM, EVE) is None


def heard(world: World, lists: PolicyLists) -> list[bool]:
    """Whether the rules may be others, of each change of a room from now on."""
    due: list[bool] = []

    def hear(change: Change) -> None:
        if isinstance(change, RoomWritten):
            due.append(lists.hear(change))

    world.news.listen(hear)
    return due


def test_rules_that_come_change_and_go_are_heard_of(world: World, lists: PolicyLists) -> None:
    list_id, other = new_list(world), new_list(world)
    now(lists.follow(followed(list_id)))
    due = heard(world, lists)
    found = []

    def look() -> None:
        renewed = [each.followed.list.room_id for each in now(lists.renew())]
        found.append((renewed == [list_id], lists.find_ban(ROOM, EVE) is not None))

    rule(world, list_id, "@e*", key="one")
    look()
    rule(world, list_id, MALLORY, key="one")
    look()
    event_id = rule(world, list_id, EVE, key="two")
    look()
    now(world.sending.redact(ALICE, list_id, event_id, {}, None))
    look()
    rule(world, list_id, EVE, key="two")
    look()
    rule(world, list_id, "", key="two")
    look()
    changes = len(due)
    world.send(ALICE, list_id, "a word")
    rule(world, other, EVE)

    assert found == [(True, True), (True, False), (True, True), (True, False), (True, True), (True, False)]
    assert due == [True] * changes + [False] * (len(due) - changes)
    assert lists.find_ban(ROOM, MALLORY) is not None


def test_what_does_not_change_the_rules_renews_nothing(world: World, lists: PolicyLists) -> None:
    list_id = new_list(world)
    now(lists.follow(followed(list_id)))
    due = heard(world, lists)

    now(world.sending.set_state(ALICE, list_id, "m.room.topic", "", {"topic": "rules"}))

    assert due == [True]
    assert now(lists.renew()) == []


def test_a_list_protects_what_it_is_for(world: World, lists: PolicyLists) -> None:
    list_id = new_list(world)
    rule(world, list_id, EVE)
    elsewhere = RoomID("!elsewhere:example.org")

    now(lists.follow(followed(list_id, on_rooms=OnRooms.GIVEN, rooms=frozenset({ROOM}))))
    given = [lists.find_ban(room_id, EVE) is not None for room_id in (ROOM, elsewhere)]
    now(lists.follow(followed(list_id, on_rooms=OnRooms.NONE)))
    watched = lists.find_ban(ROOM, EVE)
    now(lists.follow(followed(list_id, ends=True)))
    ended = lists.find_ban(ROOM, EVE)

    assert given == [True, False]
    assert (watched, ended) == (None, None)


def test_invites_are_barred_by_users_servers_and_rooms_where_a_list_is_for_the_server(
    world: World, lists: PolicyLists
) -> None:
    list_id, bad_room = new_list(world), RoomID("!bad:good.example")
    rule(world, list_id, EVE)
    rule(world, list_id, "*.worse.example", "server")
    rule(world, list_id, SERVER, "server")
    rule(world, list_id, "!b*", "room")
    rule(world, list_id, BOB)

    def asked() -> list[bool]:
        senders = EVE, UserID("@x:very.worse.example:8448"), MALLORY, BOB, ALICE
        return [*(lists.bars_invite(each, ROOM) for each in senders), lists.bars_invite(MALLORY, bad_room)]

    now(lists.follow(followed(list_id)))
    in_rooms = [*asked(), lists.bars_room(bad_room), lists.bars_name(BOB)]
    now(lists.follow(followed(list_id, on_server=True)))

    assert in_rooms == [False] * 8
    assert asked() == [True, True, False, True, False, True]
    assert [lists.bars_name(user_id) for user_id in (BOB, ALICE)] == [True, False]
    assert [lists.bars_room(room_id) for room_id in (bad_room, ROOM)] == [True, False]


def test_all_that_lists_say_of_somebody_is_told_the_oldest_list_first(world: World, lists: PolicyLists) -> None:
    first, second = new_list(world), new_list(world)
    rule(world, first, "@e*")
    rule(world, first, EVE)
    rule(world, second, EVE)
    for list_id in (second, first):
        now(lists.follow(followed(list_id)))

    told = [(verdict.list.room_id, verdict.rule.entity) for verdict in lists.about(PolicyKind.USER, EVE)]

    oldest = lists.all[0].list.room_id
    rest = [(first, EVE), (first, "@e*")]
    assert told == ([*rest, (second, EVE)] if oldest == first else [(second, EVE), *rest])


def test_a_room_that_is_not_known_here_has_no_rules(lists: PolicyLists) -> None:
    with pytest.raises(NotFound):
        now(lists.book_of(ROOM))
    assert now(lists.follow(followed(ROOM))).book.rules == ()


def test_a_list_whose_room_is_deleted_is_followed_no_more(world: World, lists: PolicyLists) -> None:
    list_id = new_list(world)
    rule(world, list_id, EVE)
    now(lists.follow(followed(list_id)))

    lists.forget_room(ROOM)
    before = lists.find_ban(ROOM, EVE)
    lists.forget_room(list_id)

    assert before is not None
    assert lists.is_empty
    assert lists.find_ban(ROOM, EVE) is None


@pytest.mark.parametrize(
    ("replacement", "expected"), [("!new:example.org", "!new:example.org"), ("new", None), (7, None)]
)
def test_it_is_known_where_a_list_has_moved(
    world: World, lists: PolicyLists, replacement: Any, expected: str | None
) -> None:
    list_id = new_list(world)
    before = now(lists.follow(followed(list_id)))
    now(world.sending.set_state(ALICE, list_id, "m.room.tombstone", "", {"replacement_room": replacement}))

    after = now(lists.follow(followed(list_id)))

    assert (before.replaced_by, after.replaced_by) == (None, expected)
