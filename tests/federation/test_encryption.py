"""An encrypted conversation of two people with matrix-nio, each on a server of their own."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.clients.nio_people import Person, person
from tests.clients.test_nio import make_room
from tests.federation.peers import Peer

pytestmark = pytest.mark.peers
MESSAGES_EACH: Final = 5


@asynccontextmanager
async def two_people(host: Peer, guest: Peer, folder: Path) -> AsyncIterator[tuple[Person, Person]]:
    """Alice and Bob, each with a device that listens."""
    names = [f"{name}-{secrets.token_hex(4)}" for name in ("alice", "bob")]
    async with (
        person(host.url, names[0], folder / names[0]) as alice,
        person(guest.url, names[1], folder / names[1]) as bob,
    ):
        yield alice, bob


async def test_two_people_on_two_servers_read_each_other_in_an_encrypted_room(
    host: Peer, guest: Peer, tmp_path: Path
) -> None:
    async with two_people(host, guest, tmp_path) as (alice, bob):
        room_id = await make_room(alice, bob)

        for _ in range(MESSAGES_EACH):
            for speaker, listener in ((alice, bob), (bob, alice)):
                text = f"nobody else may read {secrets.token_hex(16)}"
                await speaker.say(room_id, text)
                assert await listener.heard.get() == (speaker.client.user_id, text, True)

        assert not alice.undecrypted
        assert not bob.undecrypted


async def test_what_is_said_with_a_new_key_while_the_other_server_stands_still_is_read_later(
    host: Peer, guest: Peer, tmp_path: Path
) -> None:
    async with two_people(host, guest, tmp_path) as (alice, bob):
        room_id = await make_room(alice, bob)
        await alice.say(room_id, "with the old key")
        await bob.heard.get()

        guest.pause()
        alice.client.invalidate_outbound_session(room_id)
        await alice.say(room_id, "with the new key")
        guest.resume()

        assert await bob.heard.get() == (alice.client.user_id, "with the new key", True)
        assert not bob.undecrypted
