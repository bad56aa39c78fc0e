"""When and from where devices were last heard of: noted in memory, written now and then, never for a single request."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.requester import Requester
from homeserver.storage.database import Database
from homeserver.storage.devices import Sighting, store_sightings

EVERY_MS: Final = 5 * 60 * 1000  # a device is written at most this often
FLUSH_S: Final = 60.0  # how often `flush` is to be called
MOST_KNOWN: Final = 50_000
MOST_PER_WRITE: Final = 500
LONGEST_USER_AGENT: Final = 512


class DeviceActivity:
    """Remembers who was here."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._seen_ms: OrderedDict[tuple[UserID, DeviceID], int] = OrderedDict()  # when a sighting was last noted
        self._waiting: dict[tuple[UserID, DeviceID], Sighting] = {}

    def note(self, requester: Requester, client_ip: str, header: Callable[[str], str | None]) -> None:
        """A request of this device came; `header` gives the values of its headers."""
        if requester.device_id is None:
            return
        key = (requester.user_id, requester.device_id)
        now_ms = self._clock.now_ms()
        if now_ms - self._seen_ms.get(key, -EVERY_MS) < EVERY_MS:
            return
        self._seen_ms[key] = now_ms
        self._seen_ms.move_to_end(key)
        if len(self._seen_ms) > MOST_KNOWN:
            self._seen_ms.popitem(last=False)
        user_agent = (header("User-Agent") or "").replace("\0", "")[:LONGEST_USER_AGENT]
        self._waiting[key] = Sighting(requester.user_id, requester.device_id, now_ms, client_ip, user_agent)

    async def flush(self) -> None:
        """Write what was noted: to be called every FLUSH_S, and before the server stops."""
        while self._waiting:
            keys = list(self._waiting)[:MOST_PER_WRITE]
            await self._database.write(store_sightings, [self._waiting.pop(key) for key in keys])
