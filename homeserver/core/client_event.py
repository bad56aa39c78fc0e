"""Events in the form that clients see: what is the same for every recipient, as bytes.

What differs between recipients (`room_id` or none, `unsigned`) is spliced in by `spliced`.
Spec: client-server-api/#room-event-format
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from homeserver.core.event import Event

_REDACTION: Final = "m.room.redaction"


def client_event_body(event: Event) -> bytes:
    """The event as clients see it, without `unsigned` and `room_id`: a JSON object that lacks its closing brace."""
    content = event.content
    shown: dict[str, Any] = {
        "type": event.type,
        "sender": event.sender,
        "content": content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
    }
    if event.state_key is not None:
        shown["state_key"] = event.state_key
    if event.type == _REDACTION and event.redacts is not None:
        # The room version keeps it in one of the two places; clients may look in either. Spec: rooms/v11
        shown["redacts"] = event.redacts
        if not event.version.updated_redaction:
            shown["content"] = {**content, "redacts": event.redacts}
    return _dump(shown)[:-1]


def federation_event_body(event: Event) -> bytes:
    """The event as servers exchange it (`event_format: federation` of a filter), in the same form.

    Clients need the event's ID, so it is added in the versions whose PDUs have none.
    """
    shown = {name: value for name, value in event.pdu.items() if name not in ("unsigned", "room_id")}
    shown["event_id"] = event.event_id
    return _dump(shown)[:-1]


def spliced(body: bytes, *, room_id: str | None = None, unsigned: bytes | None = None) -> bytes:
    """The whole JSON object of a body, with `room_id` and `unsigned` (itself JSON) where they are given."""
    parts = [body]
    if room_id is not None:
        parts += (b',"room_id":', orjson.dumps(room_id))
    if unsigned is not None:
        parts += (b',"unsigned":', unsigned)
    parts.append(b"}")
    return b"".join(parts)


def with_user_id(shown: bytes, sender: str) -> bytes:
    """An event as a whole JSON object, with its sender by the name that clients knew it by before there was /sync."""
    return b"".join((shown[:-1], b',"user_id":', orjson.dumps(sender), b"}"))


def stripped_state_event(event: Event) -> dict[str, Any]:
    """What somebody sees of a state event who is invited or knocks. Spec: client-server-api/#stripped-state"""
    return {"type": event.type, "sender": event.sender, "state_key": event.state_key or "", "content": event.content}


def _dump(value: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # Room versions 1 to 5 let integers of any size pass.
        return json.dumps(value, separators=(",", ":")).encode()
