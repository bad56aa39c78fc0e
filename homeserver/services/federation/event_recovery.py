"""Asks the servers in a room, one after the other, for one very event that is lost or damaged here.

What a server answers counts only if it is the event with that ID, as its own server signed it. Where nobody has it
whole, a redacted copy will do. Nothing is written here.
Spec: server-server-api/#get_matrixfederationv1eventeventid
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, parse_server_name
from homeserver.core.unpadded_base64 import encode_base64
from homeserver.outbound.errors import RemoteError
from homeserver.runtime.clock import Clock
from homeserver.services.events.receipt import Receipt, Received, Refused
from homeserver.services.federation.event_fetching import MIB, REQUEST_S, Budget, EventSource, Exhausted
from homeserver.storage.database import Database
from homeserver.storage.events import Form
from homeserver.storage.room_servers import largest_servers
from homeserver.storage.rooms import RoomHead, find_head

RECOVERY_S: Final = 600.0  # for all events of a repair
MOST_REQUESTS: Final = 1_000
MOST_SERVERS: Final = 10


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of asking: the event and who gave it, or who was asked in vain, and why."""

    event_id: EventID
    received: Received | None
    server: ServerName | None
    refusals: Sequence[str]

    @property
    def is_whole(self) -> bool:
        """Whether it is as it was sent."""
        return self.received is not None and self.received.form is Form.FULL


class EventRecovery:
    """The one that asks."""

    def __init__(
        self, database: Database, source: EventSource, receipt: Receipt, clock: Clock, server_name: ServerName
    ) -> None:
        self._database = database
        self._source = source
        self._receipt = receipt
        self._clock = clock
        self._server_name = server_name

    def budget(self) -> Budget:
        """What one repair may use."""
        return Budget(self._clock, self._clock.seconds() + RECOVERY_S, MOST_REQUESTS)

    async def recover(self, room_id: RoomID, event_id: EventID, hashes: frozenset[str], budget: Budget) -> Recovered:
        """The event with this ID. `hashes`: where IDs are none, those of it that events here name it by."""
        head = await self._database.read(find_head, room_id)
        if head is None:
            return Recovered(event_id, None, None, ())
        servers = await self._database.read(largest_servers, room_id, but=self._server_name, limit=MOST_SERVERS)
        refusals: list[str] = []
        redacted: Recovered | None = None
        for server in _first(event_id, servers):
            answered = await self._ask(head, event_id, server, budget)
            if isinstance(answered, str):
                refusals.append(f"{server}: {answered}")
            elif hashes and _hash_of(answered) not in hashes:
                refusals.append(f"{server}: it answered an event with another hash")
            elif answered.form is Form.FULL:
                return Recovered(event_id, answered, server, refusals)
            elif redacted is None:
                redacted = Recovered(event_id, answered, server, refusals)
        return redacted or Recovered(event_id, None, None, refusals)

    async def _ask(self, room: RoomHead, event_id: EventID, server: ServerName, budget: Budget) -> Received | str:
        """The event, or why a server has not given it."""
        try:
            timeout_s = budget.spend(REQUEST_S)
            pdu = await self._source.event(server, event_id, timeout_s=timeout_s, most_bytes=MIB)
        except RemoteError as error:
            return error.reason
        except Exhausted:
            return "there is no more time to ask it"
        [judged] = await self._receipt.check([pdu], room.version)
        if isinstance(judged, Refused):
            return f"it answered something that is not an event of its sender's server: {judged.reason}"
        event = judged.encoded.event
        if event.event_id != event_id or event.room_id != room.room_id:
            return "it answered another event"
        return judged


def _first(event_id: EventID, servers: Sequence[ServerName]) -> list[ServerName]:
    """The servers, that first which made the event, where its ID says so."""
    _, has_server, name = event_id.partition(":")
    if has_server:
        try:
            maker = parse_server_name(name)
        except BadIdentifier:
            return list(servers)
        return sorted(servers, key=lambda server: server != maker)
    return list(servers)


def _hash_of(received: Received) -> str:
    event = received.encoded.event
    return encode_base64(reference_hash(event.pdu, event.version))
