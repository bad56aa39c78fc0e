"""Rooms that are joined before all of their members are known: the other server leaves them out when it is asked to."""

import pytest

from tests.federation.peers import Peer
from tests.federation.people import Person
from tests.federation.scenes import agree, people

pytestmark = pytest.mark.peers

MEMBERS = 8


async def crowd(host: Peer) -> tuple[Person, str]:
    """A public room of several users of one server, and its creator."""
    alice = await host.person("alice")
    room_id = await alice.create_room(preset="public_chat", name="Large")
    for number in range(MEMBERS - 1):
        member = await host.person(f"member{number}")
        await member.join(room_id, alice)
    return alice, room_id


async def joined_members(person: Person, room_id: str) -> set[str]:
    """Who is in the room, as the person's server says once it knows."""
    return set((await person.get("rooms", room_id, "joined_members"))["joined"])


async def test_who_joins_speaks_at_once_and_knows_everybody_soon(host: Peer, guest: Peer) -> None:
    alice, room_id = await crowd(host)
    bob = await guest.person("bob")

    await bob.post("join", room_id, query={"via": alice.server_name})
    await bob.say(room_id, "here I am")

    await alice.hears(room_id, "here I am")
    everybody = await joined_members(alice, room_id)
    assert len(everybody) == MEMBERS + 1
    assert await joined_members(bob, room_id) == everybody
    await bob.until(lambda: room_id in bob.rooms)
    assert await bob.current_state(room_id) == await alice.current_state(room_id)
    await agree(room_id, alice, bob)


async def test_what_is_said_and_changed_meanwhile_is_the_same_for_both(host: Peer, guest: Peer) -> None:
    alice, room_id = await crowd(host)
    bob = await guest.person("bob")

    await bob.post("join", room_id, query={"via": alice.server_name})
    first = await bob.say(room_id, "first")
    await alice.set_state(room_id, "m.room.topic", {"topic": "for Bob"})
    await alice.say(room_id, "welcome")

    await bob.until(lambda: room_id in bob.rooms)
    await bob.hears(room_id, "welcome")
    await bob.sees_state(room_id, "m.room.topic", {"topic": "for Bob"})
    await alice.sees(room_id, first)
    await agree(room_id, alice, bob)


async def test_one_who_leaves_at_once_may_come_back(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    await bob.post("join", room_id, query={"via": alice.server_name})
    await bob.post("rooms", room_id, "leave")
    await alice.sees_membership(room_id, bob, "leave")

    await bob.join(room_id, alice)

    await alice.sees_membership(room_id, bob, "join")
    await agree(room_id, alice, bob)


async def test_a_second_user_of_a_server_that_has_just_come_joins_too(host: Peer, guest: Peer) -> None:
    alice, room_id = await crowd(host)
    bob, dora = await guest.person("bob"), await guest.person("dora")

    await bob.post("join", room_id, query={"via": alice.server_name})
    await dora.post("join", room_id, query={"via": alice.server_name})

    await alice.sees_membership(room_id, dora, "join")
    assert await joined_members(dora, room_id) == await joined_members(alice, room_id)
