"""What the event stream tells of rooms that one is in, invited to and out of, and of what is no event of a room."""

from typing import Any

import pytest

from homeserver.core.errors import BadToken
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.sync_tokens import SyncToken, parse_sync_token
from homeserver.services.errors import Forbidden
from homeserver.services.rooms.receipts import Marker
from homeserver.storage.accounts import Account, AccountKind, insert_account
from tests.scenes import Scene
from tests.services.rooms.test_remote_invites import invite_of, receive
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON, throughout.


def begin(world: World, user_id: UserID) -> SyncToken:
    """A token of now."""
    return parse_sync_token(sync(world, user_id)["next_batch"])


def follow(world: World, user_id: UserID, since: SyncToken, limit: int | None = None) -> tuple[list[Any], SyncToken]:
    """What the stream tells at once, and where it goes on."""
    viewer = world.viewer(user_id)
    chunk = now(world.event_stream.follow(viewer, since, timeout_ms=0, limit=limit)).chunk
    return [shown(event) for event in chunk.events], chunk.end


def peek(world: World, user_id: UserID, room_id: RoomID, since: SyncToken) -> list[Any]:
    """What the stream of one room tells at once."""
    viewer = world.viewer(user_id)
    chunk = now(world.event_stream.peek(viewer, room_id, since, timeout_ms=0, limit=None)).chunk
    return [shown(event) for event in chunk.events]


def bodies(events: list[Any]) -> list[str]:
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


def test_events_of_all_rooms_come_in_the_order_in_which_they_happened_and_none_twice(world: World) -> None:
    one, two = world.create_room(ALICE), world.create_room(ALICE)
    since = begin(world, ALICE)
    for body, room_id in (("1", one), ("2", two), ("3", one)):
        world.send(ALICE, room_id, body)

    events, end = follow(world, ALICE, since)

    assert [(event["room_id"], event["content"]["body"]) for event in events] == [(one, "1"), (two, "2"), (one, "3")]
    assert {event["user_id"] for event in events} == {ALICE}  # as old clients look for the sender
    assert follow(world, ALICE, end) == ([], end)


def test_a_chunk_holds_no_more_than_was_asked_for_and_the_next_goes_on(world: World) -> None:
    one, two = world.create_room(ALICE), world.create_room(ALICE)
    since = begin(world, ALICE)
    for number in range(5):
        world.send(ALICE, (one, two)[number % 2], str(number))

    told, end = [], since
    for _ in range(3):
        events, end = follow(world, ALICE, end, limit=2)
        told.append(bodies(events))

    assert told == [["0", "1"], ["2", "3"], ["4"]]


def test_what_ignored_users_say_is_left_out_and_does_not_stop_the_stream(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.account_data.put(ALICE, ALICE, None, "m.ignored_user_list", {"ignored_users": {BOB: {}}}))
    since = begin(world, ALICE)
    for _ in range(3):
        world.send(BOB, room_id, "not heard")
    world.send(ALICE, room_id, "heard")

    events, _ = follow(world, ALICE, since, limit=2)

    assert bodies(events) == ["heard"]


def test_who_is_invited_is_told_of_the_invite_alone_and_then_of_the_room(world: World) -> None:
    room_id = world.create_room(ALICE)
    since = begin(world, BOB)
    world.send(ALICE, room_id, "before")
    now(world.membership.invite(ALICE, room_id, BOB, None))
    world.send(ALICE, room_id, "while invited")

    invited, end = follow(world, BOB, since)
    world.join(BOB, room_id)
    world.send(ALICE, room_id, "inside")
    inside, _ = follow(world, BOB, end)

    assert [(event["type"], event["state_key"]) for event in invited] == [("m.room.member", BOB)]
    assert bodies(inside) == ["inside"]


def test_who_ignores_the_inviter_or_wants_no_invites_is_not_told(world: World) -> None:
    now(world.account_data.put(BOB, BOB, None, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}))
    wish = {"ignored_users": ["@ali*"]}
    now(world.account_data.put(CAROL, CAROL, None, "org.matrix.msc4155.invite_permission_config", wish))
    since = begin(world, BOB)
    world.create_room(ALICE, invite=[BOB, CAROL])

    assert follow(world, BOB, since)[0] == []
    assert follow(world, CAROL, since)[0] == []


def test_an_invite_to_a_room_elsewhere_is_told(world: World) -> None:
    world.sync_database.write(insert_account, Account(ALICE, AccountKind.USER, 0))
    scene = Scene(ROOM_VERSIONS["10"], join_rule="invite")
    since = begin(world, ALICE)
    invite = invite_of(scene)
    receive(world, scene, invite)

    events, end = follow(world, ALICE, since)

    assert [(event["event_id"], event["room_id"]) for event in events] == [(invite.event_id, invite.room_id)]
    assert follow(world, ALICE, end)[0] == []


def test_who_was_removed_is_told_so_and_of_nothing_after_it(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = begin(world, BOB)
    world.send(ALICE, room_id, "before")
    now(world.membership.kick(ALICE, room_id, BOB, "enough"))
    world.send(ALICE, room_id, "after")

    events, end = follow(world, BOB, since)
    world.send(ALICE, room_id, "long after")

    assert bodies(events) == ["before"]
    assert events[-1]["content"] == {"membership": "leave", "reason": "enough"}
    assert follow(world, BOB, end)[0] == []


def test_receipts_typing_and_account_data_are_told_with_their_rooms(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id)
    since = begin(world, ALICE)

    now(world.receipts.mark(BOB, room_id, [Marker("m.read", event_id)]))
    now(world.typing.set_typing(BOB, BOB, room_id, is_typing=True))
    now(world.account_data.put(ALICE, ALICE, room_id, "m.tag", {"tags": {"work": {}}}))
    now(world.account_data.put(ALICE, ALICE, None, "org.example", {"a": 1}))
    events, end = follow(world, ALICE, since)

    by_type = {event["type"]: event for event in events}
    assert BOB in by_type["m.receipt"]["content"][event_id]["m.read"]
    assert by_type["m.typing"]["content"] == {"user_ids": [BOB]}
    assert by_type["m.tag"]["content"] == {"tags": {"work": {}}}
    assert by_type["org.example"] == {"type": "org.example", "content": {"a": 1}}
    assert {by_type[name]["room_id"] for name in ("m.receipt", "m.typing", "m.tag")} == {room_id}
    assert follow(world, ALICE, end)[0] == []


def test_a_token_of_a_time_that_is_not_known_is_refused(world: World) -> None:
    room_id = world.create_room(ALICE)

    for position in (10**6, 2**62):
        with pytest.raises(BadToken):
            follow(world, ALICE, SyncToken(position, 0, "other", 0))
        with pytest.raises(BadToken):
            peek(world, ALICE, room_id, SyncToken(position, 0, "other", 0))


def test_a_room_that_all_may_read_is_told_to_those_who_are_not_in_it_from_when_it_was_opened(world: World) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE)
    since = begin(world, BOB)
    world.send(ALICE, room_id, "private")
    now(
        world.sending.set_state(
            ALICE, room_id, "m.room.history_visibility", "", {"history_visibility": "world_readable"}
        )
    )
    world.send(ALICE, other, "elsewhere")
    world.send(ALICE, room_id, "public")

    events = peek(world, BOB, room_id, since)

    assert [event["type"] for event in events] == ["m.room.history_visibility", "m.room.message"]
    assert bodies(events) == ["public"]
    assert follow(world, BOB, since)[0] == []


def test_a_room_that_not_all_may_read_is_told_to_members_alone(world: World) -> None:
    room_id = world.create_room(ALICE)
    since = begin(world, ALICE)
    world.send(ALICE, room_id, "secret")

    with pytest.raises(Forbidden):
        peek(world, BOB, room_id, since)
    with pytest.raises(Forbidden):
        peek(world, BOB, RoomID("!none"), since)
    assert bodies(peek(world, ALICE, room_id, since)) == ["secret"]
