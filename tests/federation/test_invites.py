"""How people are asked into rooms of another server, and how they ask to be let in."""

from typing import Any

import pytest

from tests.connection import Refused
from tests.federation.peers import Peer
from tests.federation.people import Person
from tests.federation.scenes import people

# Any: JSON.

pytestmark = pytest.mark.peers


async def test_an_invitation_arrives_with_the_rooms_name_and_is_accepted(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="private_chat", name="Come in")

    await alice.invite(room_id, bob)
    stripped = await bob.until(lambda: bob.invites.get(room_id))
    await bob.join(room_id)

    told = {each["type"]: each["content"] for each in stripped if not each.get("state_key")}
    assert told["m.room.name"] == {"name": "Come in"}
    await alice.sees_membership(room_id, bob, "join")


async def test_an_invitation_when_a_room_is_made_arrives(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)

    room_id = await alice.create_room(preset="trusted_private_chat", invite=[bob.user_id], is_direct=True)
    await bob.until(lambda: room_id in bob.invites)

    (member,) = (each for each in bob.invites[room_id] if each.get("state_key") == bob.user_id)
    assert member["content"]["is_direct"] is True
    assert member["sender"] == alice.user_id


async def test_an_invitation_is_rejected(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="private_chat", invite=[bob.user_id])
    await bob.until(lambda: room_id in bob.invites)

    await bob.post("rooms", room_id, "leave")

    await alice.sees_membership(room_id, bob, "leave")
    await bob.until(lambda: room_id not in bob.invites)


async def test_an_invitation_is_taken_back(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="private_chat", invite=[bob.user_id])
    await bob.until(lambda: room_id in bob.invites)

    await alice.post("rooms", room_id, "kick", body={"user_id": bob.user_id})

    await bob.until(lambda: room_id not in bob.invites)
    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, alice)
    assert refusal.value.status == 403


async def knocking_room(alice: Person, version: str) -> str:
    rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    return await alice.create_room(name="Knock here", initial_state=[rule], room_version=version)


async def knock(bob: Person, room_id: str, alice: Person) -> list[Any]:
    """Bob knocks on Alice's room; what he is shown of it."""
    await bob.post("knock", room_id, query={"via": alice.server_name, "server_name": alice.server_name})
    stripped = await bob.until(lambda: bob.knocks.get(room_id))
    await alice.sees_membership(room_id, bob, "knock")
    return stripped


@pytest.mark.parametrize("version", ["7", "11", "12"])
async def test_somebody_who_knocked_is_let_in(host: Peer, guest: Peer, version: str) -> None:
    alice, bob = await people(host, guest)
    room_id = await knocking_room(alice, version)

    stripped = await knock(bob, room_id, alice)
    await alice.invite(room_id, bob)
    await bob.until(lambda: room_id in bob.invites)
    await bob.join(room_id)

    assert {"name": "Knock here"} in [each["content"] for each in stripped if each["type"] == "m.room.name"]
    await alice.sees_membership(room_id, bob, "join")


async def test_somebody_who_knocked_thinks_better_of_it(sides: tuple[Peer, Peer]) -> None:
    guest, host = sides  # Synapse tells nobody that its user withdraws a knock, another Synapse neither
    alice, bob = await people(host, guest)
    room_id = await knocking_room(alice, "11")
    await knock(bob, room_id, alice)

    await bob.post("rooms", room_id, "leave")

    await alice.sees_membership(room_id, bob, "leave")
    await bob.until(lambda: room_id not in bob.knocks)


async def test_a_member_who_leaves_is_seen_to_leave_and_hears_no_more(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id, alice)
    await alice.sees_membership(room_id, bob, "join")

    await bob.post("rooms", room_id, "leave")
    await bob.until(lambda: room_id in bob.left)
    await alice.sees_membership(room_id, bob, "leave")
    await alice.say(room_id, "he is gone")
    await alice.invite(room_id, bob)
    await bob.until(lambda: room_id in bob.invites)

    assert "he is gone" not in bob.left[room_id].texts()
