"""Two people with matrix-nio in an encrypted room: everything arrives, and the server cannot read it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nio

from tests.api.client import PASSWORD
from tests.server import Server, running

WHOLE_TEST_S: Final = 150.0
MESSAGES_EACH: Final = 10
IS_ENCRYPTED: Final = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


class Person:
    """Somebody with one device, who listens all the time. Any: matrix-nio has no type information."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.heard: asyncio.Queue[tuple[str, str, bool]] = asyncio.Queue()  # sender, text, whether it was encrypted
        self.undecrypted: list[str] = []
        self._changed = asyncio.Condition()
        client.add_event_callback(self._hear, nio.RoomMessageText)
        client.add_event_callback(self._fail_to_hear, nio.MegolmEvent)
        client.add_response_callback(self._note)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Return when something holds; looked at after each response."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(holds()))

    async def say(self, room_id: str, text: str) -> None:
        """Send a message, encrypted where the room is."""
        content = {"msgtype": "m.text", "body": text}
        answer = await self.client.room_send(room_id, "m.room.message", content, ignore_unverified_devices=True)
        assert isinstance(answer, nio.RoomSendResponse), answer

    def meets(self, other: "Person", room_id: str) -> bool:
        """True when the room is known to be encrypted, the other to be in it, and the keys of the other's device."""
        room = self.client.rooms.get(room_id)
        if room is None or not room.encrypted or other.client.user_id not in room.users:
            return False
        devices = self.client.device_store.active_user_devices(other.client.user_id)
        return other.client.device_id in {device.id for device in devices}

    async def _hear(self, _: Any, event: Any) -> None:
        if event.sender != self.client.user_id:
            await self.heard.put((event.sender, event.body, event.decrypted))

    async def _fail_to_hear(self, _: Any, event: Any) -> None:
        self.undecrypted.append(event.event_id)

    async def _note(self, _: Any) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def person(url: str, name: str, store: Path) -> AsyncIterator[Person]:
    """Somebody newly registered with the server at `url`, whose device syncs as long as the context lasts."""
    client = nio.AsyncClient(url, name, device_id=None, store_path=str(store))
    try:
        answer = await client.register(name, PASSWORD)
        assert isinstance(answer, nio.RegisterResponse), answer
        somebody = Person(client)
        syncing = asyncio.create_task(client.sync_forever(timeout=20_000))
        try:
            await somebody.until(lambda: client.next_batch and not client.should_upload_keys)
            yield somebody
        finally:
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)
    finally:
        await client.close()


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
    await bob.until(lambda: room_id in bob.client.invited_rooms)
    joined = await bob.client.join(room_id)
    assert isinstance(joined, nio.JoinResponse), joined
    await alice.until(lambda: alice.meets(bob, room_id))
    await bob.until(lambda: bob.meets(alice, room_id))
    return room_id


def test_two_people_read_each_other_in_an_encrypted_room_and_the_server_holds_no_word_of_it(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        (tmp_path / name).mkdir()

    with running() as server:
        written = asyncio.run(talk(server, tmp_path))

        files = [path for path in server.data_dir.rglob("homeserver.db*") if path.is_file()]
        stored = b"".join(path.read_bytes() for path in files)

    assert len(written) == 2 * MESSAGES_EACH
    assert any(path.name.endswith("-wal") for path in files)
    assert stored.count(b"m.megolm.v1.aes-sha2") >= len(written)
    assert not [text for text in written if text.encode() in stored]
