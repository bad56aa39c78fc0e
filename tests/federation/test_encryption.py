"""An encrypted conversation of two people with matrix-nio, each on a server of their own."""

import secrets
from pathlib import Path
from typing import Final

import pytest

from tests.clients.test_nio import make_room, person
from tests.federation.peers import Peer

pytestmark = pytest.mark.peers
MESSAGES_EACH: Final = 5


async def test_two_people_on_two_servers_read_each_other_in_an_encrypted_room(
    host: Peer, guest: Peer, tmp_path: Path
) -> None:
    names = [f"{name}-{secrets.token_hex(4)}" for name in ("alice", "bob")]
    for name in names:
        (tmp_path / name).mkdir()
    async with (
        person(host.url, names[0], tmp_path / names[0]) as alice,
        person(guest.url, names[1], tmp_path / names[1]) as bob,
    ):
        room_id = await make_room(alice, bob)

        for _ in range(MESSAGES_EACH):
            for speaker, listener in ((alice, bob), (bob, alice)):
                text = f"nobody else may read {secrets.token_hex(16)}"
                await speaker.say(room_id, text)
                assert await listener.heard.get() == (speaker.client.user_id, text, True)

        assert not alice.undecrypted
        assert not bob.undecrypted
