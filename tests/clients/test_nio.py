"""Two people with matrix-nio: in an encrypted room, of which the server can read nothing, and in one that is not."""

import asyncio
import secrets
from pathlib import Path
from typing import Any, Final

import nio
import pytest

from tests.clients.nio_people import IS_ENCRYPTED, Person, person
from tests.server import Server, running

WHOLE_TEST_S: Final = 150.0
MESSAGES_EACH: Final = 10


async def talk(server: Server, folder: Path) -> list[str]:
    """Let two people write to each other in turn; what they wrote."""
    async with (
        asyncio.timeout(WHOLE_TEST_S),
        person(server.url, "alice", folder / "alice") as alice,
        person(server.url, "bob", folder / "bob") as bob,
    ):
        room_id = await make_room(alice, bob)
        written = []
        for _ in range(MESSAGES_EACH):
            for speaker, listener in ((alice, bob), (bob, alice)):
                text = f"nobody else may read {secrets.token_hex(16)}"
                await speaker.say(room_id, text)
                assert await listener.heard.get() == (speaker.client.user_id, text, True)
                written.append(text)
        assert not alice.undecrypted
        assert not bob.undecrypted
        return written


async def make_room(alice: Person, bob: Person) -> str:
    """An encrypted room of the two, in which each knows the other's device."""
    created = await alice.client.room_create(invite=[bob.client.user_id], initial_state=[IS_ENCRYPTED])
    assert isinstance(created, nio.RoomCreateResponse), created
    room_id: str = created.room_id
    await bob.join(room_id)
    await alice.until(lambda: alice.meets(bob.client.user_id, bob.client.device_id, room_id))
    await bob.until(lambda: bob.meets(alice.client.user_id, alice.client.device_id, room_id))
    return room_id


async def live_a_day(server: Server, folder: Path) -> None:
    """Alice and Bob do in a room that is not encrypted what clients do in rooms, until Bob leaves it."""
    async with (
        asyncio.timeout(WHOLE_TEST_S),
        person(server.url, "alice", folder / "alice") as alice,
        person(server.url, "bob", folder / "bob") as bob,
    ):
        created = await alice.client.room_create(name="Dovecote", topic="Pigeons", invite=[bob.client.user_id])
        room_id: str = created.room_id
        await bob.join(room_id)
        await bob.until(lambda: room_id in bob.client.rooms and bob.client.rooms[room_id].name == "Dovecote")
        assert bob.client.rooms[room_id].topic == "Pigeons"
        await alice.until(lambda: bob.client.user_id in alice.client.rooms[room_id].users)

        root = await relate(alice, bob, room_id)
        await show_attention(alice, bob, room_id, root)
        await look_back(alice, bob, room_id)
        await part(alice, bob, room_id)


async def relate(alice: Person, bob: Person, room_id: str) -> str:
    """Events that relate to another arrive, and are listed by the server: the other."""
    root = await alice.say(room_id, "the root")
    annotation = {"rel_type": "m.annotation", "event_id": root, "key": "\U0001f54a"}
    reaction = await bob.send(room_id, "m.reaction", {"m.relates_to": annotation})
    new = {"m.new_content": {"msgtype": "m.text", "body": "the better root"}}
    replacement = {"rel_type": "m.replace", "event_id": root}
    edit = await alice.say(room_id, "* the better root", **new, **{"m.relates_to": replacement})
    reply = await bob.say(room_id, "in the thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    regretted = await bob.say(room_id, "regretted")
    await bob.client.room_redact(room_id, regretted, reason="a slip")

    await alice.until(lambda: {reaction, reply, regretted} <= alice.events.keys())
    await bob.until(lambda: edit in bob.events)
    assert alice.events[reaction].key == "\U0001f54a"
    assert alice.events[reaction].reacts_to == root
    assert bob.events[edit].source["content"]["m.new_content"]["body"] == "the better root"
    listed = {event.event_id async for event in alice.client.room_get_event_relations(room_id, root)}
    assert listed == {reaction, edit, reply}
    thread = nio.api.RelationshipType.thread
    assert [event.event_id async for event in alice.client.room_get_event_relations(room_id, root, thread)] == [reply]
    shown = (await alice.client.room_get_event(room_id, root)).event.source
    assert shown["unsigned"]["m.relations"]["m.thread"]["count"] == 1
    gone = (await alice.client.room_get_event(room_id, regretted)).event
    assert isinstance(gone, nio.RedactedEvent)
    assert (gone.redacter, gone.reason) == (bob.client.user_id, "a slip")
    return root


async def show_attention(alice: Person, bob: Person, room_id: str, read: str) -> None:
    """Alice sees Bob type, stop typing, and read."""
    seen = alice.client.rooms[room_id]
    me = bob.client.user_id
    await bob.client.room_typing(room_id)
    await alice.until(lambda: seen.typing_users == [me])
    await bob.client.room_typing(room_id, typing_state=False)
    await alice.until(lambda: seen.typing_users == [])
    await bob.client.room_read_markers(room_id, fully_read_event=read, read_event=read)
    await alice.until(lambda: me in seen.read_receipts and seen.read_receipts[me].event_id == read)
    await bob.until(lambda: bob.client.rooms[room_id].fully_read_marker == read)


async def look_back(alice: Person, bob: Person, room_id: str) -> None:
    """Bob pages back through what was said, and finds each message once."""
    said = [await alice.say(room_id, f"message {number}") for number in range(25)]
    await bob.until(lambda: said[-1] in bob.events)
    found: list[Any] = []
    start = None
    while True:
        wanted = {"types": ["m.room.message"], "senders": [alice.client.user_id]}
        page = await bob.client.room_messages(room_id, start, limit=10, message_filter=wanted)
        assert isinstance(page, nio.RoomMessagesResponse), page
        found += page.chunk
        start = page.end
        if start is None:
            break
    assert [event.event_id for event in found][:25] == said[::-1]
    edit, root = found[25:]
    assert (edit.body, root.body) == ("* the better root", "the root")
    assert root.source["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit.event_id


async def part(alice: Person, bob: Person, room_id: str) -> None:
    """Bob leaves: Alice sees it, and he can say nothing more there."""
    left = await bob.client.room_leave(room_id)
    assert isinstance(left, nio.RoomLeaveResponse), left
    await alice.until(lambda: bob.client.user_id not in alice.client.rooms[room_id].users)
    assert (await bob.client.joined_rooms()).rooms == []
    after = await alice.say(room_id, "he is gone")
    refused = await bob.client.room_get_event(room_id, after)
    assert isinstance(refused, nio.RoomGetEventError)
    forgotten = await bob.client.room_forget(room_id)
    assert isinstance(forgotten, nio.RoomForgetResponse), forgotten
    again = await bob.client.join(room_id)
    assert again.status_code == "M_FORBIDDEN"


def test_two_people_read_each_other_in_an_encrypted_room_and_the_server_holds_no_word_of_it(tmp_path: Path) -> None:
    with running() as server:
        written = asyncio.run(talk(server, tmp_path))

        files = [path for path in server.data_dir.rglob("homeserver.db*") if path.is_file()]
        stored = b"".join(path.read_bytes() for path in files)

    assert len(written) == 2 * MESSAGES_EACH
    assert any(path.name.endswith("-wal") for path in files)
    assert stored.count(b"m.megolm.v1.aes-sha2") >= len(written)
    assert not [text for text in written if text.encode() in stored]


@pytest.mark.clients
def test_two_people_live_through_a_day_in_a_room_until_one_leaves_it(tmp_path: Path) -> None:
    with running() as server:
        asyncio.run(live_a_day(server, tmp_path))
