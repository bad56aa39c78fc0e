"""What is said in a room that is on two servers: it arrives, in both directions, and so does what is done with it."""

import asyncio
from typing import Any

import pytest

from tests.federation.peers import Peer
from tests.federation.scenes import people, shared_room

# Any: JSON.

pytestmark = pytest.mark.peers


async def test_messages_arrive_in_their_order(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    for number in range(10):
        await alice.say(room_id, f"from alice {number}")
        await bob.say(room_id, f"from bob {number}")
    await alice.hears(room_id, "from bob 9")
    await bob.hears(room_id, "from alice 9")

    for somebody in (alice, bob):
        for author in ("alice", "bob"):
            heard = [text for text in somebody.rooms[room_id].texts() if text.startswith(f"from {author}")]
            assert heard == [f"from {author} {number}" for number in range(10)]


async def test_messages_that_cross_all_arrive(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    async def speak(somebody: Any, name: str) -> None:
        for number in range(20):
            await somebody.say(room_id, f"{name} {number}")

    await asyncio.gather(speak(alice, "alice"), speak(bob, "bob"))

    wanted = {f"{name} {number}" for name in ("alice", "bob") for number in range(20)}
    await alice.until(lambda: set(alice.rooms[room_id].texts()) == wanted)
    await bob.until(lambda: set(bob.rooms[room_id].texts()) == wanted)


async def test_an_event_is_the_same_on_both_servers(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    content = {"msgtype": "m.text", "body": 'ä ☃ 𝄞 \\ " \u0000', "nested": {"": [None, True, -1, 2**53 - 1, {}]}}
    event_id = await alice.send(room_id, "m.room.message", content)
    seen = await bob.sees(room_id, event_id)

    own = await alice.get("rooms", room_id, "event", event_id)
    assert seen["content"] == own["content"] == content
    assert (seen["sender"], seen["origin_server_ts"]) == (own["sender"], own["origin_server_ts"])


async def test_a_state_change_is_seen(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    await alice.set_state(room_id, "m.room.topic", {"topic": "the weather"})
    await alice.set_state(room_id, "org.example.thing", {"key": 1}, "a state key")

    await bob.sees_state(room_id, "m.room.topic", {"topic": "the weather"})
    await bob.sees_state(room_id, "org.example.thing", {"key": 1}, "a state key")


async def test_power_that_is_given_can_be_used_on_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    levels = await alice.get("rooms", room_id, "state", "m.room.power_levels", "")

    await alice.set_state(room_id, "m.room.power_levels", {**levels, "users": {**levels["users"], bob.user_id: 50}})
    await bob.until(
        lambda: bob.user_id in bob.rooms[room_id].state["m.room.power_levels", ""]["content"].get("users", {})
    )
    await bob.set_state(room_id, "m.room.topic", {"topic": "bob was here"})

    await alice.sees_state(room_id, "m.room.topic", {"topic": "bob was here"})


@pytest.mark.parametrize("version", ["1", "10", "11", "12"])
async def test_a_redacted_message_is_empty_on_both_servers(host: Peer, guest: Peer, version: str) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob, room_version=version)
    regretted = await bob.say(room_id, "regretted")
    removed = await bob.say(room_id, "removed by the moderator")
    await alice.hears(room_id, "removed by the moderator")

    own = await bob.redact(room_id, regretted)
    await alice.sees(room_id, own)
    moderated = await alice.redact(room_id, removed)
    await bob.sees(room_id, moderated)

    for somebody in (alice, bob):
        for event_id in (regretted, removed):
            event = await somebody.get("rooms", room_id, "event", event_id)
            assert event["content"] == {}


async def test_an_edit_is_seen_on_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    original = await alice.say(room_id, "helo")
    await bob.hears(room_id, "helo")

    replacement = {
        "msgtype": "m.text",
        "body": "* hello",
        "m.new_content": {"msgtype": "m.text", "body": "hello"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": original},
    }
    edit = await alice.send(room_id, "m.room.message", replacement)

    assert (await bob.sees(room_id, edit))["content"]["m.new_content"]["body"] == "hello"


async def test_reactions_and_threads_are_found_on_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    said = await alice.say(room_id, "what do you think?")
    await bob.hears(room_id, "what do you think?")

    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "👍"}}
    reply = {"msgtype": "m.text", "body": "well", "m.relates_to": {"rel_type": "m.thread", "event_id": said}}
    liked = await bob.send(room_id, "m.reaction", reaction)
    replied = await bob.send(room_id, "m.room.message", reply)
    await alice.sees(room_id, replied)

    path = f"/_matrix/client/v1/rooms/{room_id}/relations/{said}"
    related = await alice.user.connection.call("GET", path)
    assert [each["event_id"] for each in related["chunk"]] == [replied, liked]
    shown = await alice.get("rooms", room_id, "event", said)
    assert shown["unsigned"]["m.relations"]["m.thread"]["latest_event"]["event_id"] == replied


async def test_a_large_message_arrives(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    text = "x" * 60_000
    await alice.say(room_id, text)

    await bob.hears(room_id, text)
