"""The hashes of an event, and the IDs that follow from them. Spec: server-server-api/#signing-events"""

import hashlib
from collections.abc import Mapping
from typing import Any

from homeserver.core.canonical_json import encode_for
from homeserver.core.errors import BadEvent, BadIdentifier
from homeserver.core.identifiers import EventID, RoomID, parse_event_id
from homeserver.core.redaction import redact
from homeserver.core.room_versions import EventIDFormat, RoomVersion
from homeserver.core.unpadded_base64 import decode_base64, encode_base64, encode_base64_urlsafe

_OUTSIDE_CONTENT_HASH = frozenset({"unsigned", "signatures", "hashes"})


def content_hash(pdu: Mapping[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 over the whole event but unsigned, signatures and hashes. Raises BadJson."""
    hashed = {key: value for key, value in pdu.items() if key not in _OUTSIDE_CONTENT_HASH}
    return hashlib.sha256(encode_for(version, hashed)).digest()


def has_valid_content_hash(pdu: Mapping[str, Any], version: RoomVersion) -> bool:
    """False if the event is not what its `hashes` say: its redacted form is what counts then. Raises BadJson."""
    hashes = pdu.get("hashes")
    claimed = hashes.get("sha256") if isinstance(hashes, dict) else None
    return isinstance(claimed, str) and decode_base64(claimed) == content_hash(pdu, version)


def reference_json(pdu: Mapping[str, Any], version: RoomVersion) -> bytes:
    """The canonical JSON that the reference hash and the signatures of an event cover: its redacted form without
    signatures.

    Raises BadEvent, BadJson.
    """
    redacted = redact(pdu, version)
    redacted.pop("signatures", None)
    return encode_for(version, redacted)


def reference_hash(pdu: Mapping[str, Any], version: RoomVersion) -> bytes:
    """SHA-256 over the event's redacted form without signatures. Raises BadEvent, BadJson."""
    return hashlib.sha256(reference_json(pdu, version)).digest()


def event_id_of_hash(digest: bytes, version: RoomVersion) -> EventID:
    """The event ID that a reference hash gives, in version 3 and later."""
    if version.event_id_format is EventIDFormat.HASH_STANDARD:
        return EventID("$" + encode_base64(digest))
    return EventID("$" + encode_base64_urlsafe(digest))


def event_id_of(pdu: Mapping[str, Any], version: RoomVersion) -> EventID:
    """The ID of an event: its reference hash, or in versions 1 and 2 what its server assigned.

    Raises BadEvent, BadJson.
    """
    if version.event_ids_are_hashes:
        return event_id_of_hash(reference_hash(pdu, version), version)
    event_id = pdu.get("event_id")
    if not isinstance(event_id, str):
        raise BadEvent("an event of this room version needs an event_id")
    try:
        return parse_event_id(event_id, version.event_id_format)
    except BadIdentifier as error:
        raise BadEvent(error.reason) from error


def room_id_of_create(pdu: Mapping[str, Any], version: RoomVersion) -> RoomID:
    """The ID of the room that this m.room.create starts, in version 12 and later. Raises BadEvent, BadJson."""
    return RoomID("!" + event_id_of(pdu, version)[1:])


def create_event_id_of(room_id: RoomID) -> EventID:
    """The ID of the m.room.create of a room of version 12 or later."""
    return EventID("$" + room_id[1:])
