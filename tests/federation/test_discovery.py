"""What servers find out of each other: who and what is there, where a room went, and who is kept out."""

import pytest

from tests.connection import Refused
from tests.federation.peers import Peer
from tests.federation.scenes import agree, people, shared_room

pytestmark = pytest.mark.peers


async def test_a_profile_is_looked_up(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await alice.put("profile", alice.user_id, "displayname", body={"displayname": "Alice ☃"})
    await alice.put("profile", alice.user_id, "avatar_url", body={"avatar_url": "mxc://example.org/abc"})

    profile = await bob.get("profile", alice.user_id)
    name = await bob.get("profile", alice.user_id, "displayname")

    assert profile["displayname"] == name["displayname"] == "Alice ☃"
    assert profile["avatar_url"] == "mxc://example.org/abc"


async def test_the_profile_of_nobody_is_not_found(host: Peer, guest: Peer) -> None:
    _, bob = await people(host, guest)

    with pytest.raises(Refused) as refusal:
        await bob.get("profile", f"@nobody-{bob.localpart}:{host.server_name}")

    assert refusal.value.status == 404


async def test_public_rooms_of_the_other_server_are_listed(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(
        preset="public_chat", visibility="public", name=f"Room of {alice.localpart}", topic="to be found"
    )
    hidden = await alice.create_room(preset="private_chat", name=f"Hidden {alice.localpart}")

    body = {"filter": {"generic_search_term": alice.localpart}}
    found = await bob.post("publicRooms", body=body, query={"server": host.server_name})

    (entry,) = (each for each in found["chunk"] if alice.localpart in each.get("name", ""))
    assert (entry["room_id"], entry["topic"], entry["num_joined_members"]) == (room_id, "to be found", 1)
    assert hidden not in [each["room_id"] for each in found["chunk"]]


async def test_a_new_name_is_seen_in_shared_rooms(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    await alice.put("profile", alice.user_id, "displayname", body={"displayname": "Alice anew"})

    await bob.until(
        lambda: bob.rooms[room_id].state["m.room.member", alice.user_id]["content"].get("displayname") == "Alice anew"
    )


@pytest.mark.parametrize(("old", "new"), [("6", "10"), ("10", "11"), ("11", "12")])
async def test_an_upgraded_room_is_followed(host: Peer, guest: Peer, old: str, new: str) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob, room_version=old, name="Moved")

    replacement = (await alice.post("rooms", room_id, "upgrade", body={"new_version": new}))["replacement_room"]
    await bob.until(lambda: ("m.room.tombstone", "") in bob.rooms[room_id].state)
    tombstone = bob.rooms[room_id].state["m.room.tombstone", ""]
    await bob.join(replacement, alice)

    assert tombstone["content"]["replacement_room"] == replacement
    create = await bob.get("rooms", replacement, "state", "m.room.create", "")
    assert create["predecessor"]["room_id"] == room_id
    await bob.sees_state(replacement, "m.room.name", {"name": "Moved"})


async def test_a_server_that_the_acl_denies_is_heard_no_more(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id, other = await shared_room(alice, bob), await shared_room(alice, bob)
    await bob.say(room_id, "before")
    await alice.hears(room_id, "before")

    # The specification has the port removed from a name before it is compared; Synapse compares the whole.
    denied = {"allow": ["*"], "deny": [guest.host, f"{guest.host}:*"], "allow_ip_literals": True}
    await alice.set_state(room_id, "m.room.server_acl", denied)
    await bob.sees_state(room_id, "m.room.server_acl", denied)
    await bob.say(room_id, "denied")
    await bob.say(other, "sent after it, and heard")
    await alice.hears(other, "sent after it, and heard")

    assert "denied" not in alice.rooms[room_id].texts()


async def test_a_server_that_was_denied_is_heard_when_the_acl_is_lifted(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    denied = {"allow": ["*"], "deny": [guest.host, f"{guest.host}:*"], "allow_ip_literals": True}
    await alice.set_state(room_id, "m.room.server_acl", denied)
    await bob.sees_state(room_id, "m.room.server_acl", denied)
    allowed = {"allow": ["*"], "deny": [], "allow_ip_literals": True}

    await alice.set_state(room_id, "m.room.server_acl", allowed)
    await bob.sees_state(room_id, "m.room.server_acl", allowed)
    await bob.say(room_id, "allowed again")

    await alice.hears(room_id, "allowed again")
    await agree(room_id, alice, bob)


async def test_an_event_of_a_time_before_somebody_came_is_found(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    early = await alice.say(room_id, "early")
    for number in range(30):
        await alice.say(room_id, f"later {number}")
    written = await alice.get("rooms", room_id, "event", early)

    await bob.join(room_id, alice)
    query = f"ts={written['origin_server_ts']}&dir=b"
    path = f"/_matrix/client/v1/rooms/{room_id}/timestamp_to_event?{query}"
    found = await bob.user.connection.call("GET", path)

    assert found["origin_server_ts"] == written["origin_server_ts"]
    assert (await bob.get("rooms", room_id, "event", found["event_id"]))["room_id"] == room_id


async def test_a_server_that_the_acl_denies_is_not_let_in(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    denied = {"allow": ["*"], "deny": [guest.host, f"{guest.host}:*"], "allow_ip_literals": True}
    acl = {"type": "m.room.server_acl", "state_key": "", "content": denied}
    room_id = await alice.create_room(preset="public_chat", initial_state=[acl])

    with pytest.raises(Refused) as refusal:
        await bob.join(room_id, alice)

    assert refusal.value.status == 403
    assert alice.rooms[room_id].membership(bob.user_id) is None
