"""Many events as they were signed, for other servers: the bytes of their PDUs and which auth events these name.

Nothing is parsed of them that is not needed, for a state is as large as its room. Events that are looked into are read
by events.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class Pdu:
    """An event's PDU, who sent it, and the auth events that it names."""

    pdu_json: bytes
    sender: str
    auth_event_ids: tuple[EventID, ...]


@dataclass(frozen=True, slots=True)
class AuthEvents:
    """The auth events that an event names."""

    auth_event_ids: tuple[EventID, ...]


class _Named(msgspec.Struct, frozen=True, gc=False):
    auth_events: list[str | tuple[str, dict[str, str]]]  # in room versions 1 and 2 an ID comes with its hashes
    sender: str = ""


_DECODER: Final = msgspec.json.Decoder(_Named)

PDUS = "SELECT event_id, pdu FROM events WHERE room_id = :room_id AND event_id IN :event_ids[text]"


def pdus_by_id(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> dict[EventID, Pdu]:
    """Those of the events that are in this room, whatever their verdict."""
    if not event_ids:
        return {}
    rows = tx.all(PDUS, room_id=room_id, event_ids=list(event_ids))
    return {EventID(row[0]): _pdu(bytes(row[1])) for row in rows}


def auth_events_by_id(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> dict[EventID, AuthEvents]:
    """As pdus_by_id, for those who need the IDs alone: nothing is kept of the PDUs."""
    found = pdus_by_id(tx, room_id, event_ids)
    return {event_id: AuthEvents(pdu.auth_event_ids) for event_id, pdu in found.items()}


def _pdu(pdu_json: bytes) -> Pdu:
    read = _DECODER.decode(pdu_json)
    named = tuple(EventID(each if isinstance(each, str) else each[0]) for each in read.auth_events)
    return Pdu(pdu_json, read.sender, named)


def joined_json(pdus: Iterable[bytes]) -> bytes:
    """Many PDUs as one JSON list."""
    return b"[" + b",".join(pdus) + b"]"
