"""Servers that were away: what they missed arrives, and after a time apart both hold the same to be true."""

import asyncio

import pytest

from tests.federation.peers import Peer
from tests.federation.people import Person
from tests.federation.scenes import agree, people, shared_room

pytestmark = pytest.mark.peers


async def texts_read_back(person: Person, room_id: str) -> list[str]:
    """What somebody reads in a room from the newest page back, as long as there is another; the oldest first."""
    found: list[str] = []
    query: dict[str, str | int] = {"dir": "b", "limit": 40}
    while True:
        page = await person.get("rooms", room_id, "messages", query=query)
        found += [each["content"]["body"] for each in page["chunk"] if "body" in each["content"]]
        if "end" not in page:
            return found[::-1]
        query["from"] = page["end"]


async def test_what_was_said_while_the_other_server_was_down_arrives(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    guest.stop()
    for number in range(30):
        await alice.say(room_id, f"while you slept {number}")
    await alice.set_state(room_id, "m.room.topic", {"topic": "set meanwhile"})
    await guest.start()
    await alice.say(room_id, "are you back?")

    await bob.hears(room_id, "are you back?")
    await bob.sees_state(room_id, "m.room.topic", {"topic": "set meanwhile"})
    await agree(room_id, alice, bob)


async def test_what_was_said_arrives_without_anybody_speaking_again(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    guest.stop()
    await alice.say(room_id, "the last words")
    await guest.start()

    await bob.hears(room_id, "the last words")  # Synapse looks only once a minute for whom it owes something


async def test_a_server_that_went_down_with_messages_to_send_sends_them(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)

    guest.stop()
    await alice.say(room_id, "before both were down")
    host.stop()
    await guest.start()
    await host.start()
    await bob.say(room_id, "I am here again")  # or else Synapse looks only once a minute for whom it owes something

    await bob.hears(room_id, "before both were down")


async def test_a_change_of_devices_is_learned_after_an_outage(sides: tuple[Peer, Peer]) -> None:
    guest, host = sides
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    phone = await alice.another_device()
    await bob.until(lambda: alice.user_id in bob.changed_devices)
    bob.changed_devices.clear()

    guest.stop()
    await phone.post("logout")
    await guest.start()
    await bob.say(room_id, "I am here again")  # as above

    await bob.until(lambda: alice.user_id in bob.changed_devices)


async def test_a_message_to_a_device_waits_for_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await shared_room(alice, bob)

    guest.stop()
    body = {"messages": {bob.user_id: {bob.user.device_id: {"text": "kept for you"}}}}
    await alice.put("sendToDevice", "org.example.test", "t1", body=body)
    await guest.start()

    await bob.until(lambda: bob.messages_to_device)
    assert [each["content"] for each in bob.messages_to_device] == [{"text": "kept for you"}]


async def test_somebody_new_reads_what_was_said_before(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    wanted = [f"history {number}" for number in range(60)]
    for text in wanted:
        await alice.say(room_id, text)

    await bob.join(room_id, alice)

    assert await texts_read_back(bob, room_id) == wanted
    await agree(room_id, alice, bob)


async def test_what_was_missed_for_long_is_read_back(sides: tuple[Peer, Peer]) -> None:
    guest, host = sides  # what Synapse does about a gap is its own affair
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    await bob.say(room_id, "before")

    guest.stop()
    missed = [f"while you slept long {number}" for number in range(150)]
    for text in missed:
        await alice.say(room_id, text)
    await alice.set_state(room_id, "m.room.topic", {"topic": "set meanwhile"})
    await alice.say(room_id, "good night")
    await guest.start()
    await alice.say(room_id, "are you back?")
    await bob.hears(room_id, "are you back?")

    assert await texts_read_back(bob, room_id) == ["before", *missed, "good night", "are you back?"]
    await agree(room_id, alice, bob)
    await bob.sees_state(room_id, "m.room.topic", {"topic": "set meanwhile"})


async def test_what_was_redacted_before_somebody_came_is_not_told_to_them(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await alice.create_room(preset="public_chat")
    secret = await alice.say(room_id, "a secret")
    await alice.redact(room_id, secret)
    late = await alice.say(room_id, "another secret")

    await bob.join(room_id, alice)
    await alice.redact(room_id, late)
    await alice.say(room_id, "nothing to be seen")
    await bob.hears(room_id, "nothing to be seen")

    assert await texts_read_back(bob, room_id) == ["nothing to be seen"]


async def test_history_that_newcomers_may_not_read_is_not_told(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    hidden = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = await alice.create_room(preset="public_chat", initial_state=[hidden])
    await alice.say(room_id, "not for bob")

    await bob.join(room_id, alice)
    page = await bob.get("rooms", room_id, "messages", query={"dir": "b", "limit": 100})

    assert "not for bob" not in [each["content"].get("body") for each in page["chunk"]]


async def test_changes_made_while_each_was_alone_end_in_one_state(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(
        alice, bob, room_version="11", power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}}
    )
    await agree(room_id, alice, bob)

    guest.stop()  # before it hears anything of what follows
    await alice.set_state(room_id, "m.room.topic", {"topic": "alice's"})
    await alice.set_state(room_id, "m.room.name", {"name": "alice's"})
    await alice.say(room_id, "alone, alice")
    host.stop()
    await guest.start()
    await bob.set_state(room_id, "m.room.topic", {"topic": "bob's"})
    await bob.set_state(room_id, "m.room.join_rules", {"join_rule": "invite"})
    await bob.say(room_id, "alone, bob")
    await host.start()

    await agree(room_id, alice, bob)
    await alice.hears(room_id, "alone, bob")
    await bob.hears(room_id, "alone, alice")
    assert (await alice.get("rooms", room_id, "state", "m.room.join_rules", ""))["join_rule"] == "invite"


async def test_a_ban_beats_what_the_banned_did_while_apart(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    carol = await guest.person("carol")
    room_id = await shared_room(
        alice,
        bob,
        carol,
        room_version="11",
        power_level_content_override={"users": {alice.user_id: 100, carol.user_id: 50}},
    )
    await agree(room_id, alice, bob)

    guest.stop()
    await alice.post("rooms", room_id, "ban", body={"user_id": carol.user_id})
    host.stop()
    await guest.start()
    await carol.set_state(room_id, "m.room.topic", {"topic": "carol's"})
    await host.start()

    await agree(room_id, alice, bob)
    await bob.sees_membership(room_id, carol, "ban")
    assert ("m.room.topic", "") not in await bob.current_state(room_id)


async def test_changes_made_at_the_same_moment_end_in_one_state(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(
        alice, bob, room_version="11", power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}}
    )
    await agree(room_id, alice, bob)

    for number in range(10):
        await asyncio.gather(
            alice.set_state(room_id, "m.room.topic", {"topic": f"alice's {number}"}),
            bob.set_state(room_id, "m.room.topic", {"topic": f"bob's {number}"}),
            alice.user.another_connection().say(room_id, f"alice {number}"),
            bob.user.another_connection().say(room_id, f"bob {number}"),
        )

    await agree(room_id, alice, bob)


async def test_a_server_that_stood_still_takes_up_where_it_was(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(
        alice, bob, room_version="11", power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}}
    )
    await agree(room_id, alice, bob)

    guest.pause()
    changing = asyncio.create_task(bob.set_state(room_id, "m.room.topic", {"topic": "bob's"}))
    await alice.set_state(room_id, "m.room.topic", {"topic": "alice's"})
    for number in range(20):
        await alice.say(room_id, f"into the silence {number}")
    guest.resume()
    await changing

    await agree(room_id, alice, bob)
    await bob.hears(room_id, "into the silence 19")
