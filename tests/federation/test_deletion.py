"""Rooms, and history of rooms, that the administrators of one server delete: what the other server notices of it."""

import json
from typing import Any

import pytest

from tests.federation.peers import COLUMBA, Peer
from tests.federation.scenes import agree, people, shared_room
from tests.server import Server

pytestmark = pytest.mark.peers


def administer(peer: Peer, *words: str) -> Any:  # Any: JSON
    """What a command for administrators tells of Columba."""
    server = peer.contestant.server
    assert isinstance(server, Server)
    done = server.command("admin", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture
def deleting(sides: tuple[Peer, Peer]) -> Peer:
    """The side that is a Columba."""
    return next(peer for peer in sides if peer.kind == COLUMBA)


@pytest.fixture
def other(sides: tuple[Peer, Peer], deleting: Peer) -> Peer:
    """The side that is not that one."""
    return next(peer for peer in sides if peer is not deleting)


async def test_a_room_that_was_deleted_is_left_for_all_to_see_and_can_be_joined_again(
    other: Peer, deleting: Peer
) -> None:
    alice, bob = await people(other, deleting)
    room_id = await shared_room(alice, bob)
    await alice.say(room_id, "before")
    await bob.hears(room_id, "before")

    done = administer(deleting, "room", "delete", room_id, "--yes", "--json")
    await alice.sees_membership(room_id, bob, "leave")
    await alice.say(room_id, "while nobody of the other server listens")
    await bob.join(room_id, alice)

    assert done["outcome"]["failed_to_kick_users"] == []
    await alice.sees_membership(room_id, bob, "join")
    await agree(room_id, alice, bob)
    administer(deleting, "room", "verify", room_id)


async def test_a_room_goes_on_after_its_history_was_deleted(other: Peer, deleting: Peer) -> None:
    alice, bob = await people(other, deleting)
    room_id = await shared_room(alice, bob)
    for number in range(5):
        await alice.say(room_id, str(number))
    last = await alice.say(room_id, "last of old")
    await bob.sees(room_id, last)

    told = administer(deleting, "room", "purge-history", room_id, "--upto", last, "--local", "--yes")

    assert told == f"{room_id}: 5 events were deleted.\n"
    await agree(room_id, alice, bob)
    administer(deleting, "room", "verify", room_id)
