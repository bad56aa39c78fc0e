"""What is not kept in a room (typing, receipts, presence): it is seen on the other server, and ends there."""

from functools import partial
from typing import Any

import pytest

from tests.federation.peers import Peer
from tests.federation.people import Person
from tests.federation.scenes import people, shared_room

pytestmark = pytest.mark.peers


async def test_typing_is_seen_and_ends(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    await alice.put("rooms", room_id, "typing", alice.user_id, body={"typing": True, "timeout": 60_000})
    await bob.until(lambda: bob.rooms[room_id].typing == {alice.user_id})
    await alice.put("rooms", room_id, "typing", alice.user_id, body={"typing": False})

    await bob.until(lambda: bob.rooms[room_id].typing == set())


async def test_a_receipt_is_seen(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    event_id = await alice.say(room_id, "read this")
    await bob.hears(room_id, "read this")

    await bob.post("rooms", room_id, "receipt", "m.read", event_id)

    await alice.until(lambda: alice.rooms[room_id].read.get(bob.user_id) == event_id)


async def test_a_private_receipt_is_not_told_to_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    first = await alice.say(room_id, "one")
    second = await alice.say(room_id, "two")
    await bob.hears(room_id, "two")

    await bob.post("rooms", room_id, "receipt", "m.read.private", second)
    await bob.post("rooms", room_id, "receipt", "m.read", first)

    await alice.until(lambda: bob.user_id in alice.rooms[room_id].read)
    assert alice.rooms[room_id].read[bob.user_id] == first


async def test_presence_is_seen_in_both_directions(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await shared_room(alice, bob)

    for speaker, listener in ((alice, bob), (bob, alice)):
        for presence, words in (("online", "here"), ("unavailable", "away")):
            body = {"presence": presence, "status_msg": words}
            await speaker.put("presence", speaker.user_id, "status", body=body)
            told = await listener.until(partial(_says, listener, speaker, body))

            assert told["last_active_ago"] >= 0
            assert (await listener.get("presence", speaker.user_id, "status"))["status_msg"] == words


def _says(listener: Person, speaker: Person, expected: dict[str, str]) -> Any:
    told = listener.presence.get(speaker.user_id, {})
    return told if expected.items() <= told.items() else None
