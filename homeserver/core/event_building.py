"""From a template to an event of this server's: hashed, signed, within the size limits.

Which events go before it and authorise it is decided in services/events/creation.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.canonical_json import check_canonical, encode_checked, encode_lenient
from homeserver.core.errors import BadEvent, EventTooLarge
from homeserver.core.event import EncodedEvent, Event, is_create, view_event
from homeserver.core.event_format import (
    AUTH_EVENTS_LIMIT,
    PDU_LIMIT_BYTES,
    PREV_EVENTS_LIMIT,
    check_key_sizes,
    depth_limit,
)
from homeserver.core.hashing import create_event_id_of, event_id_of_hash, reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import Signer
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
    # With reference hashes, which only versions 1 and 2 put in: empty where another server knew none.
    prev_events: tuple[tuple[EventID, bytes], ...]
    auth_events: tuple[tuple[EventID, bytes], ...]
    depth: int
    origin_server_ts: int


def reference_to(event: Event) -> tuple[EventID, bytes]:
    """How a template names an event: room versions 1 and 2 do so with its hash; later ones need the ID alone."""
    digest = b"" if event.version.event_ids_are_hashes else reference_hash(event.pdu, event.version)
    return event.event_id, digest


def build_event(
    template: EventTemplate,
    version: RoomVersion,
    server_name: ServerName,
    key: Signer,
    assigned_event_id: EventID | None = None,
) -> EncodedEvent:
    """The event that a template makes, signed by `server_name`.

    `assigned_event_id` is its ID in versions 1 and 2, which don't derive it.
    Raises BadJson, EventTooLarge, BadEvent.
    """
    if (assigned_event_id is None) != version.event_ids_are_hashes:
        raise BadEvent("an event ID is given in versions 1 and 2 alone")
    pdu = unsigned_pdu(template, version)
    if assigned_event_id is not None:
        pdu["event_id"] = assigned_event_id
    encode = encode_lenient
    if version.strict_canonical_json:
        check_canonical(pdu)
        encode = encode_checked
    pdu["hashes"] = {"sha256": encode_base64(hashlib.sha256(encode(pdu)).digest())}
    signed_json = encode(redact(pdu, version))
    key_id, signature = key.key_and_signature(signed_json)
    pdu["signatures"] = {server_name: {key_id: signature}}
    pdu_json = encode(pdu)
    if len(pdu_json) > _BUILT_LIMIT_BYTES:
        raise EventTooLarge(f"an event must not be larger than {_BUILT_LIMIT_BYTES} bytes")
    event_id = assigned_event_id
    if event_id is None:
        event_id = event_id_of_hash(hashlib.sha256(signed_json).digest(), version)
    return EncodedEvent(view_event(pdu, version, event_id=event_id), pdu_json)


def unsigned_pdu(template: EventTemplate, version: RoomVersion) -> dict[str, Any]:
    """The PDU that a template makes, before anybody has given it hashes, signatures and, in old versions, an ID.

    Raises EventTooLarge, BadEvent.
    """
    _check(template, version)
    pdu: dict[str, Any] = {
        "auth_events": _references(template.auth_events, version),
        "content": template.content,
        "depth": template.depth,
        "origin_server_ts": template.origin_server_ts,
        "prev_events": _references(template.prev_events, version),
        "sender": template.sender,
        "type": template.type,
    }
    if template.room_id is not None:
        pdu["room_id"] = template.room_id
    if template.state_key is not None:
        pdu["state_key"] = template.state_key
    if template.redacts is not None:
        if version.updated_redaction:
            pdu["content"] = {**template.content, "redacts": template.redacts}
        else:
            pdu["redacts"] = template.redacts
    return pdu


def _check(template: EventTemplate, version: RoomVersion) -> None:
    check_key_sizes(template.type, template.state_key)
    if not isinstance(template.content, dict):
        raise BadEvent("content must be an object")
    if len(template.prev_events) > PREV_EVENTS_LIMIT or len(template.auth_events) > AUTH_EVENTS_LIMIT:
        raise BadEvent("too many previous events or auth events")
    if not 0 <= template.depth <= depth_limit(version):
        raise BadEvent("depth is out of its range")
    has_own_room_id = version.room_id_is_create_hash and is_create(template.type, template.state_key)
    if (template.room_id is None) != has_own_room_id:
        raise BadEvent("room_id is given for every event but an m.room.create that gives it")
    if version.room_id_is_create_hash and template.room_id is not None:
        create_event_id = create_event_id_of(template.room_id)
        if any(auth_event_id == create_event_id for auth_event_id, _ in template.auth_events):
            raise BadEvent("m.room.create is no auth event in this room version")


def _references(references: tuple[tuple[EventID, bytes], ...], version: RoomVersion) -> list[Any]:
    """As the PDU lists them. The element type is `Any` because it is a string or a pair."""
    if version.event_ids_are_hashes:
        return [event_id for event_id, _ in references]
    return [[event_id, {"sha256": encode_base64(digest)} if digest else {}] for event_id, digest in references]
