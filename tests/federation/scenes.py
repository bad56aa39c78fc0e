"""What most tests begin with: somebody on each server, and a room that they share."""

from typing import Any

from tests.federation.peers import Peer
from tests.federation.people import Person


async def people(host: Peer, guest: Peer) -> tuple[Person, Person]:
    """Alice on one server and Bob on the other, which speak with each other whatever the test before did to them."""
    alice, bob = await host.person("alice"), await guest.person("bob")
    await alice.reaches(bob)
    await bob.reaches(alice)
    return alice, bob


async def shared_room(alice: Person, *others: Person, **wishes: Any) -> str:
    """A public room that Alice made and the others joined; all know of all."""
    room_id = await alice.create_room(**{"preset": "public_chat", **wishes})
    for other in others:
        await other.join(room_id, alice)
    for one in (alice, *others):
        for other in others:
            await one.sees_membership(room_id, other, "join")
    return room_id


async def agree(room_id: str, one: Person, other: Person) -> None:
    """Wait until both servers tell the same state of a room. Raises AssertionError when they come to no agreement."""
    for speaker, listener in ((one, other), (other, one)):
        text = f"can you hear me, {listener.user_id}?"
        await speaker.say(room_id, text)
        await listener.hears(room_id, text)
    for _ in range(AGREEMENT_POLLS):
        theirs = await other.current_state(room_id)
        if await one.current_state(room_id) == theirs:
            return
        await other.look(timeout_ms=1000)
        await one.look(timeout_ms=1000)
    assert await one.current_state(room_id) == await other.current_state(room_id)


AGREEMENT_POLLS = 20
