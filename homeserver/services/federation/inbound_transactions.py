"""Transactions of other servers: what is in them is kept, and answered for before it is judged.

Each counts once, by its server and its ID. Its events are put where receiver.py finds them; what else is
in it goes to incoming_edus.py. A server sends one transaction after the other; what it sends at once is taken one after
the other.
Spec: server-server-api/#transactions
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.errors import BadIdentifier, ProtocolError
from homeserver.core.event_format import PDU_LIMIT_BYTES
from homeserver.core.hashing import event_id_of
from homeserver.core.identifiers import EventID, RoomID, ServerName, parse_room_id
from homeserver.core.room_versions import RoomVersion
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.errors import LimitExceeded, MalformedRequest
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.incoming_edus import IncomingEdus, IncomingMessage
from homeserver.services.federation.receiver import Receiver
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.services.rooms.remote_invites import RemoteInvites
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import judged_events
from homeserver.storage.inbound_transactions import NewPDU, find_answer, insert_answer
from homeserver.storage.rooms import find_head

MOST_PDUS: Final = 50
MOST_EDUS: Final = 100
MOST_AT_ONCE: Final = 5  # transactions of one server that wait for each other
RETRY_AFTER_MS: Final = 1_000

Json = Mapping[str, Any]  # of another server: nobody has looked at it


@dataclass(frozen=True, slots=True)
class _PDU:
    """An event as it came, and as it is kept."""

    room_id: RoomID
    pdu: Json
    pdu_json: bytes


@dataclass(frozen=True, slots=True)
class _Transaction:
    """What is in a transaction."""

    pdus: Sequence[_PDU]
    edus: Sequence[Json]


@dataclass(frozen=True, slots=True)
class _Room:
    """What is to be known of a room before an event of it is kept: its version, or why none is."""

    version: RoomVersion
    refusal: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known beforehand: what was answered to the same transaction, and what of it is known here."""

    answer: bytes | None
    rooms: Mapping[RoomID, _Room]
    event_ids: Sequence[EventID | None] = ()  # of each event; None where it cannot be told
    judged: Set[EventID] = frozenset()


class InboundTransactions:
    """Takes transactions."""

    def __init__(
        self,
        database: Database,
        acls: ServerAcls,
        receiver: Receiver,
        edus: IncomingEdus,
        invites: RemoteInvites,
        limits: RateLimits,
        clock: Clock,
    ) -> None:
        self._database = database
        self._acls = acls
        self._receiver = receiver
        self._edus = edus
        self._invites = invites
        self._limits = limits
        self._clock = clock
        self._locks: KeyedLocks[ServerName] = KeyedLocks()
        self._under_way: Counter[ServerName] = Counter()

    async def receive(self, origin: ServerName, transaction_id: str, body: object) -> bytes:
        """Take what a server sends; the JSON to answer: of each event whether it was kept, by its ID.

        What is durable when this returns need not be sent again. Raises MalformedRequest, LimitExceeded.
        """
        transaction = _read(origin, body)
        if self._under_way[origin] >= MOST_AT_ONCE:
            raise LimitExceeded(RETRY_AFTER_MS, "Send one transaction after the other")
        self._under_way[origin] += 1
        try:
            async with self._locks(origin):
                return await self._take(origin, transaction_id, transaction)
        finally:
            self._under_way[origin] -= 1
            if not self._under_way[origin]:
                del self._under_way[origin]

    async def _take(self, origin: ServerName, transaction_id: str, transaction: _Transaction) -> bytes:
        known = await self._database.read(self._look_up, origin, transaction_id, transaction.pdus)
        if known.answer is not None:
            return known.answer
        for one in transaction.pdus:
            await self._invites.hear(one.room_id, one.pdu)
        kept, results = self._sort(transaction.pdus, known)
        self._receiver.check_amount(origin, sum(len(one.pdu) for one in kept))
        # Who must wait keeps the transaction, and sends it again: nothing is lost, and what is known does not count.
        self._limits.draw(
            *(
                Draw(Counted.EVENTS_BY_SERVER, f"{origin} {room_id}", number, server=origin)
                for room_id, number in Counter(one.room_id for one in kept).items()
            )
        )
        # Devices before the messages that they sent. Whatever is not durable may be done twice.
        await self._edus.take(origin, transaction.edus)
        messages = self._edus.messages(origin, transaction.edus)
        answer = orjson.dumps({"pdus": results})
        if kept or messages:
            await self._database.write(self._keep, origin, transaction_id, kept, messages, answer)
        return answer

    def _look_up(self, tx: Transaction, origin: ServerName, transaction_id: str, pdus: Sequence[_PDU]) -> _Known:
        answer = find_answer(tx, origin, transaction_id)
        if answer is not None:
            return _Known(answer, {})
        rooms = {}
        for room_id in {one.room_id for one in pdus}:
            head = find_head(tx, room_id)
            if head is not None:
                refusal = None
                if head.is_blocked:
                    refusal = "This server takes no events of the room"
                elif not self._acls.allows(tx, room_id, origin):
                    refusal = "Your server may not take part in the room"
                rooms[room_id] = _Room(head.version, refusal)
        event_ids = [_find_id(one.pdu, rooms.get(one.room_id)) for one in pdus]
        by_room: dict[RoomID, list[EventID]] = {}
        for one, event_id in zip(pdus, event_ids, strict=True):
            if event_id is not None:
                by_room.setdefault(one.room_id, []).append(event_id)
        judged = {found for room_id, some in by_room.items() for found in judged_events(tx, room_id, some)}
        return _Known(None, rooms, event_ids, judged)

    def _sort(self, pdus: Sequence[_PDU], known: _Known) -> tuple[list[NewPDU], dict[str, dict[str, str]]]:
        """The events to be kept, and what is said of each. Of one whose ID cannot be told, nothing is."""
        kept: list[NewPDU] = []
        results: dict[str, dict[str, str]] = {}
        for one, event_id in zip(pdus, known.event_ids, strict=True):
            room = known.rooms.get(one.room_id)
            if room is None:
                self._receiver.outcomes["unknown room"] += 1
                continue  # its ID depends on the room's version
            if event_id is None:
                self._receiver.outcomes["refused"] += 1
                continue
            if room.refusal is None and event_id in known.judged:
                # To verify and judge it again would cost this server much more than it costs the other to send it.
                self._receiver.outcomes["known"] += 1
                results[event_id] = {}
                continue
            refusal = room.refusal
            if refusal is None and len(one.pdu_json) > PDU_LIMIT_BYTES:
                refusal = f"An event must not be larger than {PDU_LIMIT_BYTES} bytes"
            if refusal is None and self._receiver.is_full(one.room_id):
                refusal = "Too many events of the room wait to be judged"
            if refusal is None:
                kept.append(NewPDU(one.room_id, one.pdu_json))
                results[event_id] = {}
            else:
                self._receiver.outcomes["refused"] += 1
                results[event_id] = {"error": refusal}
        return kept, results

    def _keep(
        self,
        tx: Transaction,
        origin: ServerName,
        transaction_id: str,
        kept: Sequence[NewPDU],
        messages: Sequence[IncomingMessage],
        answer: bytes,
    ) -> None:
        now_ms = self._clock.now_ms()
        self._receiver.stage(tx, origin, kept, now_ms)
        self._edus.deliver(tx, origin, messages, now_ms=now_ms)
        insert_answer(tx, origin, transaction_id, answer, now_ms=now_ms)


def _read(origin: ServerName, body: object) -> _Transaction:
    """Raises MalformedRequest."""
    if not isinstance(body, dict):
        raise MalformedRequest("A transaction is a JSON object")
    if body.get("origin", origin) != origin:
        raise MalformedRequest("The transaction says to be of another server than the one that signed the request")
    pdus = _objects(body.get("pdus", []), "pdus", MOST_PDUS)
    edus = _objects(body.get("edus", []), "edus", MOST_EDUS)
    return _Transaction([read for pdu in pdus if (read := _read_pdu(pdu)) is not None], edus)


def _objects(value: object, name: str, most: int) -> list[Json]:
    """The objects in a list; whatever else is in it is passed over. Raises MalformedRequest."""
    if not isinstance(value, list):
        raise MalformedRequest(f"{name} must be a list")
    if len(value) > most:
        raise MalformedRequest(f"A transaction has at most {most} {name}")
    return [one for one in value if isinstance(one, dict)]


def _find_id(pdu: Json, room: _Room | None) -> EventID | None:
    """An event's ID, which depends on the version of its room; None where there is none."""
    try:
        return None if room is None else event_id_of(pdu, room.version)
    except ProtocolError:
        return None


def _read_pdu(pdu: Json) -> _PDU | None:
    """None for an event that says of no room to be of it, or that JSON cannot carry."""
    room_id = pdu.get("room_id")
    signed = {key: value for key, value in pdu.items() if key != "unsigned"}
    try:
        parsed = parse_room_id(room_id) if isinstance(room_id, str) else None
        return None if parsed is None else _PDU(parsed, signed, encode_lenient(signed))
    except (BadIdentifier, ProtocolError):
        return None
