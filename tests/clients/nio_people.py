"""People with matrix-nio."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nio

from tests.api.client import PASSWORD

IS_ENCRYPTED: Final = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


class Person:
    """Somebody with one device, who listens all the time. Any: matrix-nio has no type information."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.events: dict[str, Any] = {}  # of rooms, by their IDs
        self.heard: asyncio.Queue[tuple[str, str, bool]] = asyncio.Queue()  # sender, text, whether it was encrypted
        self.undecrypted: list[str] = []
        self._changed = asyncio.Condition()
        client.add_event_callback(self._keep, nio.Event)
        client.add_event_callback(self._hear, nio.RoomMessageText)
        client.add_event_callback(self._fail_to_hear, nio.MegolmEvent)
        client.add_response_callback(self._note)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Return when something holds; looked at after each response."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(holds()))

    async def say(self, room_id: str, text: str, **more: Any) -> str:
        """Send a message, encrypted where the room is: its ID."""
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **more})

    async def send(self, room_id: str, event_type: str, content: dict[str, Any]) -> str:
        """Send an event, encrypted where the room is: its ID."""
        answer = await self.client.room_send(room_id, event_type, content, ignore_unverified_devices=True)
        assert isinstance(answer, nio.RoomSendResponse), answer
        event_id: str = answer.event_id
        return event_id

    async def join(self, room_id: str) -> None:
        """Go where one is invited."""
        await self.until(lambda: room_id in self.client.invited_rooms)
        joined = await self.client.join(room_id)
        assert isinstance(joined, nio.JoinResponse), joined

    def meets(self, user_id: str, device_id: str, room_id: str) -> bool:
        """True when the room is known to be encrypted, another to be in it, and the keys of the other's device."""
        room = self.client.rooms.get(room_id)
        if room is None or not room.encrypted or user_id not in room.users:
            return False
        return device_id in {device.id for device in self.client.device_store.active_user_devices(user_id)}

    async def _keep(self, _: Any, event: Any) -> None:
        self.events[event.event_id] = event

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
    await asyncio.to_thread(store.mkdir)
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
