"""How people come into rooms of another server, and how they leave them."""

from typing import Any

import pytest

from tests.connection import Refused
from tests.federation.peers import Peer
from tests.federation.scenes import people

# Any: JSON.

pytestmark = pytest.mark.peers


async def test_a_room_is_joined_by_its_alias(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat", room_alias_name=alice.localpart)

    joined = await bob.join(f"#{alice.localpart}:{host.server_name}")

    assert joined == room_id
    await alice.sees_membership(room_id, bob, "join")
    await bob.sees_membership(room_id, alice, "join")


async def test_a_room_is_joined_by_its_id_through_a_server_that_is_in_it(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat", name="A room")

    await bob.join(room_id, alice)

    await alice.sees_membership(room_id, bob, "join")
    await bob.sees_state(room_id, "m.room.name", {"name": "A room"})
    assert await bob.current_state(room_id) == await alice.current_state(room_id)


async def test_an_alias_of_another_server_is_resolved(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat", room_alias_name=alice.localpart)

    found = await bob.get("directory", "room", f"#{alice.localpart}:{host.server_name}")

    assert found["room_id"] == room_id
    assert host.server_name in found["servers"]


async def test_an_alias_that_is_not_there_is_not_found(host: Peer, guest: Peer) -> None:
    _, bob = await people(host, guest)

    with pytest.raises(Refused) as refusal:
        await bob.join(f"#nothing-{bob.localpart}:{host.server_name}")

    assert refusal.value.status == 404


async def test_a_private_room_is_not_joined_without_an_invitation(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="private_chat")

    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, alice)

    assert refusal.value.status == 403


async def test_a_second_user_of_a_server_that_is_in_the_room_joins_too(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    carol = await guest.person("carol")
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id, alice)

    await carol.join(room_id)

    await alice.sees_membership(room_id, carol, "join")
    await bob.sees_membership(room_id, carol, "join")


@pytest.mark.parametrize(
    ("version", "join_rule"), [("8", "restricted"), ("10", "knock_restricted"), ("12", "restricted")]
)
async def test_a_member_of_the_other_room_joins_a_restricted_one(
    host: Peer, guest: Peer, version: str, join_rule: str
) -> None:
    alice, bob = await people(host, guest)
    carol = await guest.person("carol")
    club = await alice.create_room(preset="public_chat")
    rule = {"join_rule": join_rule, "allow": [{"type": "m.room_membership", "room_id": club}]}
    room_id = await alice.create_room(
        initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": rule}], room_version=version
    )
    await bob.join(club, alice)
    await alice.sees_membership(club, bob, "join")

    await bob.join(room_id, alice)
    with pytest.raises(Refused) as refusal:
        await carol.join(room_id, alice)

    await alice.sees_membership(room_id, bob, "join")
    member: Any = await bob.get("rooms", room_id, "state", "m.room.member", bob.user_id)
    assert member["join_authorised_via_users_server"] == alice.user_id
    assert refusal.value.status == 403


async def test_a_member_who_left_comes_back_and_sees_what_is_said_then(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id, alice)
    await bob.post("rooms", room_id, "leave")
    await alice.sees_membership(room_id, bob, "leave")
    await alice.set_state(room_id, "m.room.topic", {"topic": "changed meanwhile"})

    await bob.join(room_id, alice)
    await alice.sees_membership(room_id, bob, "join")
    await alice.say(room_id, "welcome back")

    await bob.hears(room_id, "welcome back")
    await bob.sees_state(room_id, "m.room.topic", {"topic": "changed meanwhile"})


@pytest.mark.parametrize(("deed", "membership"), [("kick", "leave"), ("ban", "ban")])
async def test_a_member_is_sent_away(host: Peer, guest: Peer, deed: str, membership: str) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id, alice)
    await alice.sees_membership(room_id, bob, "join")

    await alice.post("rooms", room_id, deed, body={"user_id": bob.user_id, "reason": "enough"})
    left = await bob.until(lambda: bob.left.get(room_id))

    assert left.membership(bob.user_id) == membership
    assert left.state["m.room.member", bob.user_id]["content"]["reason"] == "enough"


async def test_somebody_banned_does_not_come_back_until_the_ban_is_lifted(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id, alice)
    await alice.sees_membership(room_id, bob, "join")
    await alice.post("rooms", room_id, "ban", body={"user_id": bob.user_id})
    await bob.until(lambda: room_id in bob.left)

    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, alice)
    await alice.post("rooms", room_id, "unban", body={"user_id": bob.user_id})
    await bob.join(room_id, alice)

    assert refusal.value.status == 403
    await alice.sees_membership(room_id, bob, "join")


async def test_a_moderator_on_the_other_server_sends_away(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    carol = await host.person("carol")
    room_id = await alice.create_room(
        preset="public_chat",
        power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 50}},
        room_version="11",
    )
    await carol.join(room_id)
    await bob.join(room_id, alice)
    await bob.sees_membership(room_id, carol, "join")

    await bob.post("rooms", room_id, "ban", body={"user_id": carol.user_id})

    await carol.until(lambda: room_id in carol.left)
    await alice.sees_membership(room_id, carol, "ban")
