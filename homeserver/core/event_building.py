"""From a template to an event of this server's: hashed, signed, within the size limits.

Which events go before it and authorise it is decided in services/events/creation.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from homeserver.core.canonical_json import check_canonical, encode_checked, encode_lenient
from homeserver.core.errors import BadEvent, EventTooLarge, MissingEvents
from homeserver.core.event import EncodedEvent, event_of_checked_pdu, is_create
from homeserver.core.event_format import (
    AUTH_EVENTS_LIMIT,
    PDU_LIMIT_BYTES,
    PREV_EVENTS_LIMIT,
    check_key_sizes,
    depth_limit,
)
from homeserver.core.hashing import event_id_of_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import SigningKey
from homeserver.core.unpadded_base64 import encode_base64

# Some servers count an empty `unsigned` too, and would refuse what the specification allows by these few bytes.
_BUILT_LIMIT_BYTES: Final = PDU_LIMIT_BYTES - len(b',"unsigned":{}')


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTemplate:
    """What an event says, before it has hashes, signatures and an ID."""

    room_id: RoomID | None  # None for m.room.create where the room ID follows from it
    type: str
    sender: UserID
    content: Mapping[str, Any]
    state_key: str | None = None
    redacts: EventID | None = None  # put wherever the room version keeps it
    prev_event_ids: tuple[EventID, ...]
    auth_event_ids: tuple[EventID, ...]
    depth: int
    origin_server_ts: int
    reference_hashes: Mapping[EventID, bytes] = field(default_factory=dict)  # of both lists, in versions 1 and 2


def build_event(
    template: EventTemplate,
    version: RoomVersion,
    server_name: ServerName,
    key: SigningKey,
    event_id_for_v1: EventID | None = None,
) -> EncodedEvent:
    """The event that a template makes, signed by `server_name`.

    `event_id_for_v1` is its ID in versions 1 and 2, which don't derive it.
    Raises BadJson or EventTooLarge for the content, BadEvent for the rest, and MissingEvents in versions 1 and 2 when
    reference hashes are lacking.
    """
    pdu = _unsigned_pdu(template, version, event_id_for_v1)
    encode = encode_lenient
    if version.strict_canonical_json:
        check_canonical(pdu)
        encode = encode_checked
    pdu["hashes"] = {"sha256": encode_base64(hashlib.sha256(encode(pdu)).digest())}
    signed_json = encode(redact(pdu, version))
    pdu["signatures"] = {server_name: {key.key_id: key.sign(signed_json)}}
    json_bytes = encode(pdu)
    if len(json_bytes) > _BUILT_LIMIT_BYTES:
        raise EventTooLarge(f"an event must not be larger than {_BUILT_LIMIT_BYTES} bytes")
    event_id = event_id_for_v1
    if event_id is None:
        event_id = event_id_of_hash(hashlib.sha256(signed_json).digest(), version)
    return EncodedEvent(event_of_checked_pdu(pdu, version, event_id), json_bytes)


def _unsigned_pdu(template: EventTemplate, version: RoomVersion, event_id: EventID | None) -> dict[str, Any]:
    _check(template, version, event_id)
    pdu: dict[str, Any] = {
        "auth_events": _references(template.auth_event_ids, template, version),
        "content": template.content,
        "depth": template.depth,
        "origin_server_ts": template.origin_server_ts,
        "prev_events": _references(template.prev_event_ids, template, version),
        "sender": template.sender,
        "type": template.type,
    }
    if template.room_id is not None:
        pdu["room_id"] = template.room_id
    if template.state_key is not None:
        pdu["state_key"] = template.state_key
    if event_id is not None:
        pdu["event_id"] = event_id
    if template.redacts is not None:
        if version.updated_redaction:
            pdu["content"] = {**template.content, "redacts": template.redacts}
        else:
            pdu["redacts"] = template.redacts
    return pdu


def _check(template: EventTemplate, version: RoomVersion, event_id: EventID | None) -> None:
    check_key_sizes(template.type, template.state_key)
    if not isinstance(template.content, dict):
        raise BadEvent("content must be an object")
    if len(template.prev_event_ids) > PREV_EVENTS_LIMIT or len(template.auth_event_ids) > AUTH_EVENTS_LIMIT:
        raise BadEvent("too many previous events or auth events")
    if not 0 <= template.depth <= depth_limit(version):
        raise BadEvent("depth is out of its range")
    has_own_room_id = version.room_id_is_create_hash and is_create(template.type, template.state_key)
    if (template.room_id is None) != has_own_room_id:
        raise BadEvent("room_id is given for every event but an m.room.create that gives it")
    if (event_id is None) != version.event_ids_are_hashes:
        raise BadEvent("an event ID is given in versions 1 and 2 alone")


def _references(event_ids: tuple[EventID, ...], template: EventTemplate, version: RoomVersion) -> list[Any]:
    """As the PDU lists them. The element type is `Any` because it is a string or a pair."""
    if version.event_ids_are_hashes:
        return list(event_ids)
    hashes = template.reference_hashes
    missing = [event_id for event_id in event_ids if event_id not in hashes]
    if missing:
        raise MissingEvents(missing)
    return [[event_id, {"sha256": encode_base64(hashes[event_id])}] for event_id in event_ids]
