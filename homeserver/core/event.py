"""An event of a room: a frozen view of one PDU whose format was checked.

How the PDU is checked is in event_format.py, how its ID comes about in hashing.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import EventID, RoomID, UserID, parse_event_id
from homeserver.core.room_versions import RoomVersion


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `pdu` and `content` are never modified: whoever wants a change makes a copy."""

    version: RoomVersion
    event_id: EventID
    room_id: RoomID
    type: str
    sender: UserID
    state_key: str | None
    content: Mapping[str, Any]
    origin_server_ts: int
    depth: int
    prev_event_ids: tuple[EventID, ...]  # as they stand in the PDU: one may occur twice
    auth_event_ids: tuple[EventID, ...]  # likewise
    redacts: EventID | None  # from content or the top level, wherever the room version keeps it; None if no event ID
    pdu: Mapping[str, Any]  # the whole PDU without `unsigned`, and without event_id from version 3 on

    @property
    def is_state(self) -> bool:
        """True for a state event; the empty state key counts."""
        return self.state_key is not None


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event and the canonical JSON of its PDU: what storage keeps and federation sends."""

    event: Event
    pdu_json: bytes


def view_event(
    pdu: Mapping[str, Any], version: RoomVersion, *, event_id: EventID, room_id: RoomID | None = None
) -> Event:
    """The view of a PDU without `unsigned` whose format was checked earlier. Nothing is checked here.

    `room_id` is read from the PDU, or follows from `event_id`, when it is not given.
    """
    content = pdu["content"]
    event_type = pdu["type"]
    if room_id is None:
        room_id = RoomID(pdu["room_id"] if "room_id" in pdu else "!" + event_id[1:])
    if version.event_ids_are_hashes:
        prev_event_ids = tuple(pdu["prev_events"])
        auth_event_ids = tuple(pdu["auth_events"])
    else:
        prev_event_ids = tuple(pair[0] for pair in pdu["prev_events"])
        auth_event_ids = tuple(pair[0] for pair in pdu["auth_events"])
    return Event(
        version,
        event_id,
        room_id,
        event_type,
        pdu["sender"],
        pdu.get("state_key"),
        content,
        pdu["origin_server_ts"],
        pdu["depth"],
        prev_event_ids,
        auth_event_ids,
        _redacted_id(content if version.updated_redaction else pdu) if event_type == "m.room.redaction" else None,
        pdu,
    )


def is_create(event_type: object, state_key: object) -> bool:
    """True for the type and state key of the event that starts a room."""
    return event_type == "m.room.create" and state_key == ""


def _redacted_id(place: Mapping[str, Any]) -> EventID | None:
    redacts = place.get("redacts")
    if not isinstance(redacts, str):
        return None
    try:
        return parse_event_id(redacts)
    except BadIdentifier:
        return None
