"""Sending into rooms: messages, state, redactions, and their transaction IDs."""

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.errors import Forbidden, InvalidParameter
from tests.services.world import ALICE, BOB, World, now


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

    with pytest.raises(AuthRejected):
        world.send(BOB, room_id)

    assert [event["type"] for event in world.history(ALICE, room_id)].count("m.room.message") == 0


def test_a_room_that_does_not_exist_is_forbidden_like_one_that_one_is_not_in(world: World) -> None:
    with pytest.raises(Forbidden):
        world.send(BOB, "!nowhere:example.org")  # type: ignore[arg-type]  # any text may come


def test_a_redaction_takes_the_content_away(world: World) -> None:
    room_id = world.create_room()
    event_id = world.send(ALICE, room_id, "secret")

    now(world.sending.redact(ALICE, room_id, event_id, {"reason": "oops"}, None))

    redaction, message = world.history(ALICE, room_id)[:2]
    assert redaction["redacts"] == event_id
    assert message["content"] == {}
    assert message["unsigned"]["redacted_because"]["event_id"] == redaction["event_id"]


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
