"""Spaces whose rooms are on another server, or on both."""

import pytest

from tests.federation.peers import Peer
from tests.federation.people import Person
from tests.federation.scenes import people

pytestmark = pytest.mark.peers


async def _child(space: str, room_id: str, keeper: Person) -> None:
    await keeper.set_state(space, "m.space.child", {"via": [keeper.server_name]}, room_id)


async def test_the_rooms_of_a_space_on_the_other_server_are_found(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    space = await alice.create_room(preset="public_chat", name="Space", creation_content={"type": "m.space"})
    inner = await alice.create_room(preset="public_chat", name="Inner", creation_content={"type": "m.space"})
    leaf = await alice.create_room(preset="public_chat", name="Leaf")
    private = await alice.create_room(preset="private_chat", name="Private")
    for parent, child in ((space, inner), (inner, leaf), (space, private)):
        await _child(parent, child, alice)
    await bob.join(space, alice)

    found = await bob.user.connection.call("GET", f"/_matrix/client/v1/rooms/{space}/hierarchy")

    names = {each["room_id"]: each.get("name") for each in found["rooms"]}
    assert names == {space: "Space", inner: "Inner", leaf: "Leaf"}


async def test_a_space_holds_rooms_of_both_servers(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    space = await alice.create_room(preset="public_chat", name="Space", creation_content={"type": "m.space"})
    here = await alice.create_room(preset="public_chat", name="Here")
    there = await bob.create_room(preset="public_chat", name="There")
    await _child(space, here, alice)
    await alice.set_state(space, "m.space.child", {"via": [bob.server_name]}, there)

    found = await alice.user.connection.call("GET", f"/_matrix/client/v1/rooms/{space}/hierarchy")

    assert {each["name"] for each in found["rooms"]} == {"Space", "Here", "There"}
