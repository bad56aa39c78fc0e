"""Sending into rooms: messages, state, redactions, and their transaction IDs."""

from typing import Any

import pytest

from homeserver.core.errors import AuthRejected, ProtocolError
from homeserver.core.identifiers import DeviceID, EventID, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.errors import Forbidden, InvalidParameter, InviteBlocked, MissingParameter, NestedThread
from homeserver.services.rooms.creation import InitialState, RoomWishes
from homeserver.services.rooms.sending import ClientTransaction
from homeserver.storage.profiles import Profile, store_profile
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, PHONE, World, now

# Any: JSON, throughout.


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_message_is_read_back_in_a_room_of_any_version(world: World, version: str) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version=version)
    world.join(BOB, room_id)

    event_id = world.send(ALICE, room_id, "hello")

    newest = world.history(BOB, room_id)[0]
    assert newest["event_id"] == event_id
    assert newest["content"] == {"msgtype": "m.text", "body": "hello"}
    assert newest["sender"] == ALICE
    assert newest["room_id"] == room_id


def test_a_transaction_id_sends_once(world: World) -> None:
    room_id = world.create_room()

    first = world.send(ALICE, room_id, "hello", "1")
    again = world.send(ALICE, room_id, "hello", "1")
    other = world.send(ALICE, room_id, "hello", "2")

    assert first == again != other
    assert [event["type"] for event in world.history(ALICE, room_id)].count("m.room.message") == 2


def test_who_is_not_in_the_room_may_not_send(world: World) -> None:
    room_id = world.create_room()

    with pytest.raises(Forbidden):
        world.send(BOB, room_id)

    assert [event["type"] for event in world.history(ALICE, room_id)].count("m.room.message") == 0


def test_a_room_that_does_not_exist_is_forbidden_like_one_that_one_is_not_in(world: World) -> None:
    refusals = []
    for room_id in (world.create_room(), "!nowhere:example.org"):
        with pytest.raises(Forbidden) as refused:
            world.send(BOB, room_id)  # type: ignore[arg-type]  # any text may come
        refusals.append(str(refused.value))

    assert refusals[0] == refusals[1]


def test_a_redaction_takes_the_content_away(world: World) -> None:
    room_id = world.create_room()
    event_id = world.send(ALICE, room_id, "secret")

    now(world.sending.redact(ALICE, room_id, event_id, {"reason": "oops"}, None))

    redaction, message = world.history(ALICE, room_id)[:2]
    assert redaction["redacts"] == event_id
    assert message["content"] == {}
    assert message["unsigned"]["redacted_because"]["event_id"] == redaction["event_id"]
    assert message["unsigned"]["redacted_by"] == redaction["event_id"]


def test_setting_the_state_that_is_set_returns_the_event_that_set_it(world: World) -> None:
    room_id = world.create_room()

    first = now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "one"}))
    again = now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "one"}))
    other = now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "two"}))

    assert first == again != other
    newest = world.history(ALICE, room_id)[0]
    assert newest["unsigned"]["prev_content"] == {"name": "one"}
    assert newest["unsigned"]["replaces_state"] == first


def test_a_member_without_power_redacts_nobody_elses_event_by_any_endpoint(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id, "kept")
    content = {"redacts": event_id}

    with pytest.raises(Forbidden):
        now(world.sending.redact(BOB, room_id, event_id, {}, None))
    with pytest.raises(Forbidden):
        now(world.sending.send_message(BOB, room_id, "m.room.redaction", content, None))

    assert world.history(ALICE, room_id)[0]["content"]["body"] == "kept"


def test_power_for_state_is_not_power_to_redact(world: World) -> None:
    levels = {"users": {BOB: 50}, "state_default": 10, "redact": 60}
    room_id = world.create_room(ALICE, preset="public_chat", power_levels=levels)
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id, "kept")

    with pytest.raises(Forbidden):
        now(world.sending.set_state(BOB, room_id, "m.room.redaction", "", {"redacts": event_id}))


def test_nobody_authorises_their_own_restricted_join_by_setting_state(world: World) -> None:
    door = world.create_room(ALICE, preset="public_chat")
    room_id = world.create_room(ALICE)
    allow = [{"type": "m.room_membership", "room_id": door}]
    rules = {"join_rule": "restricted", "allow": allow}
    now(world.sending.set_state(ALICE, room_id, "m.room.join_rules", "", rules))
    forged = {"membership": "join", "join_authorised_via_users_server": ALICE}

    with pytest.raises(Forbidden):
        now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, forged))

    assert now(world.membership.joined_rooms(BOB)) == []


@pytest.mark.parametrize("state_key", ["garbage", "", "@x"])
def test_a_member_event_is_about_a_user(world: World, state_key: str) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises(InvalidParameter):
        now(world.sending.set_state(ALICE, room_id, "m.room.member", state_key, {"membership": "invite"}))


@pytest.mark.parametrize("version", ["1", "3", "10", "11", "12"])
def test_a_redaction_sent_like_a_message_redacts(world: World, version: str) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version=version)
    event_id = world.send(ALICE, room_id, "secret")
    content = {"redacts": event_id, "reason": "rude"}

    redaction = now(world.sending.send_message(ALICE, room_id, "m.room.redaction", content, None))

    events = {event["event_id"]: event for event in world.history(ALICE, room_id)}
    assert events[event_id]["content"] == {}
    assert events[redaction]["content"] == {"redacts": event_id, "reason": "rude"}
    assert events[redaction]["redacts"] == event_id


@pytest.mark.parametrize("version", ["1", "3", "11", "12"])
def test_nobody_redacts_the_events_of_others_without_power(world: World, version: str) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version=version)
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id, "hers")

    for attempt in (
        world.sending.redact(BOB, room_id, event_id, {}, None),
        world.sending.send_message(BOB, room_id, "m.room.redaction", {"redacts": event_id}, None),
        world.sending.set_state(BOB, room_id, "m.room.redaction", "", {"redacts": event_id}),
    ):
        with pytest.raises((Forbidden, AuthRejected)):
            now(attempt)

    assert world.history(ALICE, room_id)[0]["content"]["body"] == "hers"


@pytest.mark.parametrize("content", [{}, {"redacts": 1}, {"redacts": "no event"}])
def test_a_redaction_of_nothing_is_refused(world: World, content: dict[str, Any]) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises((InvalidParameter, MissingParameter)):
        now(world.sending.send_message(ALICE, room_id, "m.room.redaction", content, None))


@pytest.mark.parametrize("event_type", ["m.room.create", "m.room.member"])
def test_what_only_state_can_be_is_no_message(world: World, event_type: str) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises(AuthRejected):
        now(world.sending.send_message(ALICE, room_id, event_type, {"membership": "join"}, None))


@pytest.mark.parametrize("state_key", ["", "x", ALICE])
def test_a_room_begins_once(world: World, state_key: str) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises(AuthRejected):
        now(world.sending.set_state(ALICE, room_id, "m.room.create", state_key, {"creator": ALICE}))


def test_state_of_a_users_own_key_is_that_users_alone(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", power_levels={"state_default": 0})
    world.join(BOB, room_id)

    now(world.sending.set_state(BOB, room_id, "org.example.animal", BOB, {"animal": "cat"}))
    for state_key in (ALICE, "@nobody"):
        with pytest.raises(AuthRejected):
            now(world.sending.set_state(BOB, room_id, "org.example.animal", state_key, {"animal": "dog"}))


def test_a_thread_inside_a_thread_is_refused(world: World) -> None:
    room_id = world.create_room(ALICE)
    root = world.send(ALICE, room_id)

    def in_thread(of: EventID) -> EventID:
        content = {"body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": of}}
        return now(world.sending.send_message(ALICE, room_id, "m.room.message", content, None))

    inside = in_thread(root)

    with pytest.raises(NestedThread):
        in_thread(inside)


def test_who_joins_by_setting_state_shows_their_profile(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.sync_database.write(store_profile, BOB, Profile("Bob", "mxc://example.org/bob"))

    now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, {"membership": "join", "displayname": "Robert"}))

    member = world.history(ALICE, room_id)[0]["content"]
    assert member == {"membership": "join", "displayname": "Robert", "avatar_url": "mxc://example.org/bob"}


def test_nobody_says_themselves_who_let_them_in(world: World) -> None:
    club = world.create_room(ALICE)
    rules = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": club}]}
    room_id = world.create_room(ALICE, initial_state=[InitialState("m.room.join_rules", "", rules)])
    content = {"membership": "join", "join_authorised_via_users_server": ALICE}

    with pytest.raises(Forbidden):
        now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, content))


@pytest.mark.parametrize("target", ["", "bob", "@bob", "bob:example.org"])
def test_only_users_are_members(world: World, target: str) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises(InvalidParameter):
        now(world.sending.set_state(ALICE, room_id, "m.room.member", target, {"membership": "invite"}))


def test_a_user_who_accepts_no_invites_is_not_invited_in_any_way(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, None))
    now(world.account_data.put(BOB, BOB, None, "m.invite_permission_config", {"default_action": "block"}))
    other = world.create_room(ALICE)

    for attempt in (
        world.membership.invite(ALICE, other, BOB, None),
        world.sending.set_state(ALICE, other, "m.room.member", BOB, {"membership": "invite"}),
        world.rooms.create_room(ALICE, RoomWishes(invite=[BOB])),
    ):
        with pytest.raises(InviteBlocked):
            now(attempt)
    blocked = sync(world, BOB)
    now(world.account_data.put(BOB, BOB, None, "m.invite_permission_config", {}))

    assert "rooms" not in blocked
    assert room_id in sync(world, BOB)["rooms"]["invite"]


def test_whose_invites_are_blocked_is_told_so_and_whose_are_ignored_is_not(world: World) -> None:
    dave = UserID("@dave:example.org")
    filtering = {"allowed_users": [CAROL], "ignored_users": [ALICE], "blocked_servers": ["*"]}
    now(world.account_data.put(BOB, BOB, None, "org.matrix.msc4155.invite_permission_config", filtering))
    since = sync(world, BOB)["next_batch"]
    ignored, shown = world.create_room(ALICE), world.create_room(CAROL)
    blocked = world.create_room(dave)

    now(world.membership.invite(ALICE, ignored, BOB, None))
    now(world.membership.invite(CAROL, shown, BOB, None))
    with pytest.raises(InviteBlocked):
        now(world.membership.invite(dave, blocked, BOB, None))

    assert set(sync(world, BOB)["rooms"]["invite"]) == {shown}
    assert set(sync(world, BOB, since)["rooms"]["invite"]) == {shown}
    world.join(BOB, ignored)  # of which Bob heard in another way
    assert set(sync(world, BOB)["rooms"]["join"]) == {ignored}


def test_a_transaction_id_belongs_to_a_path_and_a_device(world: World) -> None:
    room_id = world.create_room(ALICE)
    content = {"body": "once"}
    transactions = [
        ClientTransaction(PHONE, "send/a", "1"),
        ClientTransaction(PHONE, "send/b", "1"),
        ClientTransaction(DeviceID("LAPTOP"), "send/a", "1"),
        ClientTransaction(DeviceID(""), "send/a", "1"),
    ]

    first = [now(world.sending.send_message(ALICE, room_id, "m.room.message", content, one)) for one in transactions]
    again = [now(world.sending.send_message(ALICE, room_id, "m.room.message", content, one)) for one in transactions]

    assert len(set(first)) == 4
    assert again == first


@pytest.mark.parametrize(
    ("event_type", "state_key", "content"),
    [
        ("m.room.topic", "with a \0", {}),
        ("with.a.\0", "", {}),
        ("m.room.topic", "k" * 256, {}),
        ("t" * 256, "", {}),
        ("m.room.topic", "", {"number": 1.5}),
        ("m.room.topic", "", {"number": 2**53}),
        ("m.room.topic", "", {"text": "x" * 65_536}),
    ],
)
def test_what_no_event_can_hold_is_refused_and_changes_nothing(
    world: World, event_type: str, state_key: str, content: dict[str, Any]
) -> None:
    room_id = world.create_room(ALICE)
    before, position = world.history(ALICE, room_id), world.sync_database.position

    with pytest.raises(ProtocolError):
        now(world.sending.set_state(ALICE, room_id, event_type, state_key, content))

    assert len(world.history(ALICE, room_id)) == len(before)
    assert world.sync_database.position == position
    world.send(ALICE, room_id, "still here")
