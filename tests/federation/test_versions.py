"""Every room version, made on either server and joined from the other."""

import pytest

from tests.federation.peers import Peer
from tests.federation.scenes import agree, people, shared_room

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("version", [str(number) for number in range(1, 13)])
async def test_a_room_of_each_version_works_across_servers(host: Peer, guest: Peer, version: str) -> None:
    alice, bob = await people(host, guest)
    carol = await guest.person("carol")

    room_id = await shared_room(alice, bob, room_version=version, name="A room")
    await alice.invite(room_id, carol)
    await carol.until(lambda: room_id in carol.invites)
    await carol.join(room_id)
    await alice.say(room_id, "from alice")
    await bob.hears(room_id, "from alice")
    said = await bob.say(room_id, "from bob")
    await alice.hears(room_id, "from bob")
    redaction = await alice.redact(room_id, said)
    await bob.sees(room_id, redaction)
    await alice.post("rooms", room_id, "kick", body={"user_id": carol.user_id})
    await carol.until(lambda: room_id in carol.left)
    await agree(room_id, alice, bob)

    create = await bob.get("rooms", room_id, "state", "m.room.create", "")
    assert create.get("room_version", "1") == version
    assert (await bob.get("rooms", room_id, "event", said))["content"] == {}
