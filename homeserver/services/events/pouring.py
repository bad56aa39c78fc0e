"""Takes in events that lie in a file: of any rooms, in any order, one PDU a line.

How each event is judged is in receipt.py and intake.py.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from homeserver.core.canonical_json import decode_lenient
from homeserver.core.errors import BadIdentifier, ProtocolError
from homeserver.core.event import is_create
from homeserver.core.event_graph import topological_order
from homeserver.core.hashing import room_id_of_create
from homeserver.core.identifiers import EventID, RoomID, ServerName, parse_room_id
from homeserver.core.room_versions import RoomVersion, room_version_of_create
from homeserver.core.slices import slices
from homeserver.services.events.receipt import Receipt, Received, Refused
from homeserver.storage.events import Form

BATCH: Final = 100  # events

Pdu = Mapping[str, Any]  # decoded JSON
FindVersion = Callable[[RoomID], Awaitable[RoomVersion | None]]


class Taking(Protocol):
    """What takes events into rooms."""

    async def take(
        self, room_id: RoomID, version: RoomVersion, received: Sequence[Received], *, received_from: ServerName | None
    ) -> Mapping[EventID, Enum]:
        """Judge events of one room and keep them. Says what came of them, and of others that they set free."""


@dataclass(frozen=True, slots=True)
class PouringReport:
    """What became of the lines."""

    unreadable: int  # no JSON object, or of no room
    of_unknown_rooms: int  # of rooms that are not known, and whose m.room.create is not among the lines
    refused: Mapping[str, int]  # events that were dropped before they met their room, by reason
    outcomes: Mapping[Enum, int]  # events by what came of them at last; each counts once however often it stands


async def pour(
    intake: Taking, receipt: Receipt, find_version: FindVersion, lines: Iterable[bytes], *, batch: int = BATCH
) -> PouringReport:
    """Take in PDUs, each a line of JSON; empty lines are skipped. They are all held in memory.

    The version of a room is the one that `find_version` knows, else that of the first m.room.create among the lines
    that is well formed and signed. Ancestors go before their descendants, as far as they are among the lines.
    """
    rooms, unreadable = _by_room(lines)
    of_unknown_rooms = 0
    refused: Counter[str] = Counter()
    outcomes: dict[tuple[RoomID, EventID], Enum] = {}
    for room_id, pdus in rooms.items():
        version = await find_version(room_id) or await _version_among(receipt, room_id, pdus)
        if version is None:
            of_unknown_rooms += len(pdus)
            continue
        received: dict[EventID, Received] = {}
        for some in slices(pdus, batch):
            for judged in await receipt.check(some, version):
                if isinstance(judged, Refused):
                    refused[judged.reason] += 1
                else:
                    _keep_better(received, judged)
        ordered = _ancestors_first(received)
        for part in slices(ordered, batch):
            taken = await intake.take(room_id, version, part, received_from=None)
            outcomes.update({(room_id, event_id): outcome for event_id, outcome in taken.items()})
    return PouringReport(unreadable, of_unknown_rooms, refused, Counter(outcomes.values()))


def _by_room(lines: Iterable[bytes]) -> tuple[dict[RoomID, list[Pdu]], int]:
    """The PDUs of each room, and how many lines are none."""
    rooms: dict[RoomID, list[Pdu]] = {}
    unreadable = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            pdu = decode_lenient(line)
            rooms.setdefault(_room_of(pdu), []).append(pdu)
        except ProtocolError:
            unreadable += 1
    return rooms, unreadable


def _room_of(pdu: object) -> RoomID:
    """The room that a PDU says to be of, or that it begins. Raises ProtocolError kinds."""
    if not isinstance(pdu, dict):
        raise BadIdentifier("an event is a JSON object")
    room_id = pdu.get("room_id")
    if isinstance(room_id, str):
        return parse_room_id(room_id)
    version = _created_version(pdu)
    if version is None or not version.room_id_is_create_hash:
        raise BadIdentifier("the event is of no room")
    return room_id_of_create({key: value for key, value in pdu.items() if key != "unsigned"}, version)


def _created_version(pdu: Pdu) -> RoomVersion | None:
    """The version of the room that the PDU begins; None if it begins none. Raises UnsupportedRoomVersion."""
    content = pdu.get("content")
    if not is_create(pdu.get("type"), pdu.get("state_key")) or not isinstance(content, dict) or pdu.get("prev_events"):
        return None
    return room_version_of_create(content)


async def _version_among(receipt: Receipt, room_id: RoomID, pdus: Iterable[Pdu]) -> RoomVersion | None:
    """The version in the first m.room.create that is what its server has signed."""
    for pdu in pdus:
        try:
            version = _created_version(pdu)
        except ProtocolError:
            continue
        if version is None:
            continue
        (judged,) = await receipt.check([pdu], version)
        if isinstance(judged, Received) and judged.form is Form.FULL and judged.encoded.event.room_id == room_id:
            return version
    return None


def _keep_better(received: dict[EventID, Received], other: Received) -> None:
    """Add an event, unless it stands there as good: in full is better than redacted."""
    event_id = other.encoded.event.event_id
    known = received.get(event_id)
    if known is None or (known.form is not Form.FULL and other.form is Form.FULL):
        received[event_id] = other


def _ancestors_first(received: Mapping[EventID, Received]) -> list[Received]:
    """The events in an order in which they can be judged, then those on circles, which never can."""
    graph = {
        event_id: (*one.encoded.event.prev_event_ids, *one.encoded.event.auth_event_ids)
        for event_id, one in received.items()
    }
    order = topological_order(graph, lambda event_id: (received[event_id].encoded.event.depth, event_id))
    placed = set(order)
    return [received[event_id] for event_id in (*order, *(each for each in received if each not in placed))]
