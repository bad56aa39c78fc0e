"""Everything at once: what it says of rooms that one is in, invited to and out of, and of one room to onlookers."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.sync_tokens import parse_pagination_token, parse_sync_token
from homeserver.services.errors import Forbidden
from homeserver.services.rooms.receipts import Marker
from homeserver.storage.accounts import Account, AccountKind, insert_account
from tests.scenes import Scene
from tests.services.federation.large_rooms import LargeRoom
from tests.services.rooms.test_remote_invites import invite_of, receive
from tests.services.sync.asking import timeless
from tests.services.sync.test_stream_chunks import bodies, follow
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON, throughout.


def everything(world: World, user_id: UserID, limit: int | None = None, *, archived: bool = False) -> Any:
    """The answer, its rooms by their IDs."""
    found = shown(now(world.initial_sync.everything(world.viewer(user_id), limit=limit, archived=archived)))
    return {**found, "rooms": {room["room_id"]: room for room in found["rooms"]}}


def one_room(world: World, user_id: UserID, room_id: RoomID, limit: int | None = None) -> Any:
    return shown(now(world.initial_sync.room(world.viewer(user_id), room_id, limit=limit)))


def mark_read(world: World, user_id: UserID, room_id: RoomID, event_id: EventID) -> None:
    now(world.receipts.mark(user_id, room_id, [Marker("m.read", event_id)]))


def state(room: Any) -> dict[tuple[str, str], Any]:
    return {(event["type"], event["state_key"]): event["content"] for event in room["state"]}


def test_a_joined_room_comes_with_its_state_now_its_newest_messages_and_what_belongs_to_it(world: World) -> None:
    room_id = world.create_room(ALICE, is_public=True, name="Room")
    for number in range(3):
        event_id = world.send(ALICE, room_id, str(number))
    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "Other"}))
    now(world.account_data.put(ALICE, ALICE, room_id, "m.tag", {"tags": {}}))
    now(world.account_data.put(ALICE, ALICE, None, "org.example", {"a": 1}))
    mark_read(world, ALICE, room_id, event_id)

    found = everything(world, ALICE, limit=2)

    room = found["rooms"][room_id]
    assert (room["membership"], room["visibility"]) == ("join", "public")
    assert bodies(room["messages"]["chunk"]) == ["2"]
    assert {event["room_id"] for event in [*room["messages"]["chunk"], *room["state"]]} == {room_id}
    assert state(room)["m.room.name", ""] == {"name": "Other"}
    assert room["account_data"] == [{"type": "m.tag", "content": {"tags": {}}}]
    assert found["account_data"] == [{"type": "org.example", "content": {"a": 1}}]
    assert room["messages"]["chunk"][0]["user_id"] == room["state"][0]["user_id"] == ALICE
    assert [(event["room_id"], [*event["content"]]) for event in found["receipts"]] == [(room_id, [event_id])]
    assert found["presence"] == []


def test_the_stream_goes_on_where_the_answer_ends_and_history_where_it_starts(world: World) -> None:
    room_id = world.create_room(ALICE)
    for number in range(4):
        world.send(ALICE, room_id, str(number))

    found = everything(world, ALICE, limit=2)
    world.send(ALICE, room_id, "new")

    assert bodies(follow(world, ALICE, parse_sync_token(found["end"]))[0]) == ["new"]
    start = parse_pagination_token(found["rooms"][room_id]["messages"]["start"])
    page = world.timeline.messages(
        world.viewer(ALICE),
        room_id,
        begin=start,
        end=None,
        backwards=True,
        limit=2,
        event_filter=RoomEventFilter(),
    )
    assert bodies([shown(event) for event in now(page).chunk]) == ["1", "0"]


def test_without_messages_there_are_none(world: World) -> None:
    room_id = world.create_room(ALICE)

    assert everything(world, ALICE, limit=0)["rooms"][room_id]["messages"]["chunk"] == []
    assert one_room(world, ALICE, room_id, limit=0)["messages"]["chunk"] == []


def test_an_invite_is_shown_whole_wherever_the_room_is(world: World) -> None:
    world.sync_database.write(insert_account, Account(ALICE, AccountKind.USER, 0))
    here = world.create_room(BOB, invite=[ALICE])
    scene = Scene(ROOM_VERSIONS["10"], join_rule="invite")
    elsewhere = invite_of(scene)
    receive(world, scene, elsewhere)

    rooms = everything(world, ALICE)["rooms"]

    assert {room["membership"] for room in rooms.values()} == {"invite"}
    assert rooms[here]["invite"]["sender"] == BOB
    assert rooms[elsewhere.room_id]["invite"]["event_id"] == elsewhere.event_id
    assert "state" not in rooms[here]


def test_a_room_that_was_left_is_shown_if_wanted_as_it_was_then(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Then")
    world.join(BOB, room_id)
    world.send(ALICE, room_id, "heard")
    now(world.membership.leave(BOB, room_id, None))
    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "Later"}))
    world.send(ALICE, room_id, "not heard")

    archived = everything(world, BOB, archived=True)["rooms"][room_id]
    alone = one_room(world, BOB, room_id)

    assert room_id not in everything(world, BOB)["rooms"]
    for room in (archived, alone):
        assert room["membership"] == "leave"
        assert state(room)["m.room.name", ""] == {"name": "Then"}
        assert bodies(room["messages"]["chunk"]) == ["heard"]
    assert alone["receipts"] == []


def test_one_room_is_told_to_its_members_as_among_all_of_them(world: World) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE)
    event_id = world.send(ALICE, room_id, "one")
    world.send(ALICE, other, "two")
    mark_read(world, ALICE, room_id, event_id)

    room = one_room(world, ALICE, room_id)

    among_all = everything(world, ALICE)
    assert timeless({**room, "receipts": among_all["receipts"]}) == timeless(
        {**among_all["rooms"][room_id], "presence": room["presence"], "receipts": room["receipts"]}
    )


def test_who_is_there_is_told_at_once_to_those_who_share_a_room(world: World) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE, preset="public_chat")
    world.create_room(CAROL)
    world.join(BOB, other)
    for user_id in (ALICE, BOB, CAROL):
        world.presence.set_status(user_id, None, user_id, "online", "hello")

    seen = [event["content"] for event in everything(world, ALICE)["presence"]]

    assert {one["user_id"]: (one["presence"], one["status_msg"]) for one in seen} == {
        ALICE: ("online", "hello"),
        BOB: ("online", "hello"),
    }
    assert [event["sender"] for event in one_room(world, ALICE, room_id)["presence"]] == [ALICE]
    assert {event["sender"] for event in one_room(world, BOB, other)["presence"]} == {ALICE, BOB}


def test_of_one_room_those_are_told_too_who_are_offline(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    world.presence.set_status(ALICE, None, ALICE, "online", None)

    room = one_room(world, ALICE, room_id)

    seen = {event["sender"]: event["content"]["presence"] for event in room["presence"]}
    assert seen == {ALICE: "online", BOB: "offline"}
    assert [event["sender"] for event in everything(world, ALICE)["presence"]] == [ALICE]


def test_who_is_ignored_is_not_among_those_who_are_there(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.account_data.put(ALICE, ALICE, None, "m.ignored_user_list", {"ignored_users": {BOB: {}}}))
    for user_id in (ALICE, BOB):
        world.presence.set_status(user_id, None, user_id, "online", None)

    seen = [everything(world, ALICE), one_room(world, ALICE, room_id)]

    assert [[event["sender"] for event in one["presence"]] for one in seen] == [[ALICE], [ALICE]]


def test_a_room_that_all_may_read_is_shown_to_onlookers_from_when_it_was_opened(world: World) -> None:
    room_id = world.create_room(ALICE)
    world.send(ALICE, room_id, "private")
    content = {"history_visibility": "world_readable"}
    now(world.sending.set_state(ALICE, room_id, "m.room.history_visibility", "", content))
    world.send(ALICE, room_id, "public")

    room = one_room(world, BOB, room_id)

    assert "membership" not in room
    assert [event["type"] for event in room["messages"]["chunk"]] == ["m.room.history_visibility", "m.room.message"]
    assert ("m.room.member", ALICE) in state(room)
    assert (room["presence"], room["receipts"]) == ([], [])


def test_a_room_that_not_all_may_read_and_one_that_is_not_are_refused_alike(world: World) -> None:
    room_id = world.create_room(ALICE, invite=[BOB])

    for asked in (room_id, RoomID("!none")):
        with pytest.raises(Forbidden):
            one_room(world, BOB, asked)


def test_a_room_that_is_known_in_part_is_named_alone_and_shown_once_it_is_known(world: World) -> None:
    room = LargeRoom(world)
    room.join()
    waiting = Deferred.fromCoroutine(world.initial_sync.room(world.viewer(ALICE), room.room_id, limit=None))
    answers: list[Any] = []
    waiting.addCallback(answers.append)

    at_first = everything(world, ALICE)["rooms"][room.room_id]
    shown_at_first = list(answers)
    room.fetch()

    assert at_first == {"room_id": room.room_id, "membership": "join", "visibility": "private"}
    assert shown_at_first == []
    assert len([1 for event in shown(answers[0])["state"] if event["type"] == "m.room.member"]) > 2
