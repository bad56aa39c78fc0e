"""What is not kept in a room, typing and receipts: it is seen on the other server, and ends there."""

import pytest

from tests.federation.peers import Peer
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
