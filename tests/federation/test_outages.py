"""Servers that were away: what they missed arrives, and after a time apart both hold the same to be true."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import pytest

from tests.federation.apart.devices import names_of_devices
from tests.federation.peers import COLUMBA, Peer
from tests.federation.people import PATIENCE_S, Person
from tests.federation.scenes import agree, people, shared_room
from tests.federation.test_devices import upload_device_keys

pytestmark = pytest.mark.peers

VERY_MUCH: Final = 210  # more than a server that was away is sent in full
# State resolution: the first, the second, and the second as it is where creators have all power.
RESOLUTIONS: Final = ("1", "11", "12")


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


async def reads_in_the_end(person: Person, server: Peer, room_id: str, wanted: Sequence[str]) -> None:
    """What somebody reads back is all this: on Columba at once, on Synapse when they read again.

    With many events of a room before it, Synapse drops all but the newest, and fetches what it lacks when somebody
    reads: while it has a page to show, in the background. It answers the next page with the gap in it when it finds,
    having waited, that this is filled. Between two Synapses it is the same (`FEDERATION_SIDES=synapse,synapse`).
    """
    found = await texts_read_back(person, room_id)
    if server.kind != COLUMBA:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while found != wanted:
                    await person.look(timeout_ms=1000)
                    found = await texts_read_back(person, room_id)
    assert found == wanted


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


async def test_a_change_of_devices_is_learned_after_an_outage(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    phone = await alice.another_device()
    for device in (alice, phone):
        await upload_device_keys(device)
    await names_of_devices(alice, bob, (alice, None), (phone, None))

    guest.stop()
    await phone.post("logout")
    tablet = await alice.another_device()
    await upload_device_keys(tablet)
    await guest.start()
    await bob.say(room_id, "I am here again")  # as above

    await names_of_devices(alice, bob, (alice, None), (tablet, None))


async def test_a_device_that_is_logged_out_during_an_outage_is_gone_after_it(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    phone = await alice.another_device()
    for device in (alice, phone):
        await upload_device_keys(device)
    await names_of_devices(alice, bob, (alice, None), (phone, None))

    guest.stop()
    await phone.post("logout")
    await guest.start()
    await bob.say(room_id, "I am here again")  # as above

    await names_of_devices(alice, bob, (alice, None))


async def test_a_server_that_is_down_is_named_when_its_users_keys_are_asked_for(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await upload_device_keys(bob)

    guest.stop()
    queried = await alice.post("keys", "query", body={"device_keys": {bob.user_id: []}})
    wanted = {bob.user_id: {bob.user.device_id: "signed_curve25519"}}
    claimed = await alice.post("keys", "claim", body={"one_time_keys": wanted})
    await guest.start()

    assert queried["failures"].keys() == claimed["failures"].keys() == {bob.server_name}


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


async def test_what_was_missed_for_long_is_read_back(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id = await shared_room(alice, bob)
    await bob.say(room_id, "before")
    await alice.hears(room_id, "before")

    guest.stop()
    missed = [f"while you slept long {number}" for number in range(VERY_MUCH)]
    for text in missed:
        await alice.say(room_id, text)
    await alice.set_state(room_id, "m.room.topic", {"topic": "set meanwhile"})
    await alice.say(room_id, "good night")
    await guest.start()
    await alice.say(room_id, "are you back?")
    await bob.hears(room_id, "are you back?")

    await reads_in_the_end(bob, guest, room_id, ["before", *missed, "good night", "are you back?"])
    await agree(room_id, alice, bob)
    await bob.sees_state(room_id, "m.room.topic", {"topic": "set meanwhile"})


async def test_who_was_sent_away_during_an_outage_learns_of_it(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    room_id, other = await shared_room(alice, bob), await shared_room(alice, bob)

    guest.stop()
    await alice.post("rooms", room_id, "kick", body={"user_id": bob.user_id, "reason": "while you slept"})
    await guest.start()
    await bob.say(other, "I am here again")  # as above

    left = await bob.until(lambda: bob.left.get(room_id))
    assert left.state["m.room.member", bob.user_id]["content"]["reason"] == "while you slept"


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
    rooms = {}
    for version in RESOLUTIONS:
        levels = {bob.user_id: 100} if version == "12" else {alice.user_id: 100, bob.user_id: 100}
        override = {"users": levels}
        rooms[version] = await shared_room(alice, bob, room_version=version, power_level_content_override=override)
        await agree(rooms[version], alice, bob)

    guest.stop()  # before it hears anything of what follows
    for room_id in rooms.values():
        await alice.set_state(room_id, "m.room.topic", {"topic": "alice's"})
        await alice.set_state(room_id, "m.room.name", {"name": "alice's"})
        await alice.say(room_id, "alone, alice")
    host.stop()
    await guest.start()
    for room_id in rooms.values():
        await bob.set_state(room_id, "m.room.topic", {"topic": "bob's"})
        await bob.set_state(room_id, "m.room.join_rules", {"join_rule": "invite"})
        await bob.say(room_id, "alone, bob")
    await host.start()

    for room_id in rooms.values():
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
