"""The format checks on a received PDU, by room version. Spec: rooms/#event-format, client-server-api/#size-limits

Signatures, content hash and authorisation come after, each in a file of its own.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.canonical_json import INTEGER_LIMIT, encode_for
from homeserver.core.errors import BadEvent, BadIdentifier, EventTooLarge
from homeserver.core.event import EncodedEvent, Event, is_create, view_event
from homeserver.core.hashing import create_event_id_of, event_id_of
from homeserver.core.identifiers import ID_LIMIT_BYTES, RoomID, parse_event_id, parse_room_id, parse_user_id
from homeserver.core.room_versions import RoomVersion

PDU_LIMIT_BYTES: Final = 65536
PREV_EVENTS_LIMIT: Final = 20
AUTH_EVENTS_LIMIT: Final = 10
_INT64_LIMIT: Final = 2**63 - 1


def parse_event(pdu: object, version: RoomVersion) -> Event:
    """The event that a PDU, as decoded from JSON, holds. Raises BadEvent, EventTooLarge, BadJson on anything else."""
    return parse_and_encode(pdu, version).event


def parse_and_encode(pdu: object, version: RoomVersion) -> EncodedEvent:
    """As parse_event, with the canonical JSON of the PDU.

    `unsigned` is dropped unread: no signature covers it, so it cannot make an event bad.
    """
    if not isinstance(pdu, dict):
        raise BadEvent("an event is a JSON object")
    body = {key: value for key, value in pdu.items() if key != "unsigned"}
    pdu_json = encode_for(version, body)
    if len(pdu_json) > PDU_LIMIT_BYTES:
        raise EventTooLarge(f"an event must not be larger than {PDU_LIMIT_BYTES} bytes")
    try:
        event = _checked_event(body, version)
    except BadIdentifier as error:
        raise BadEvent(error.reason) from error
    return EncodedEvent(event, pdu_json)


def depth_limit(version: RoomVersion) -> int:
    """The depth that no event of a room exceeds: deeper ones stay at it."""
    return INTEGER_LIMIT if version.strict_canonical_json else _INT64_LIMIT


def check_key_sizes(event_type: str, state_key: str | None) -> None:
    """Refuse a type or state key of more than 255 bytes. Raises EventTooLarge."""
    _check_size("type", event_type)
    if state_key is not None:
        _check_size("state_key", state_key)


def _checked_event(body: Mapping[str, Any], version: RoomVersion) -> Event:
    event_type = _string(body, "type")
    state_key = _string(body, "state_key") if "state_key" in body else None
    sender = _string(body, "sender")
    check_key_sizes(event_type, state_key)
    _check_size("sender", sender)
    parse_user_id(sender)
    _integer(body, "origin_server_ts", -_INT64_LIMIT - 1, _INT64_LIMIT)
    _integer(body, "depth", 0, depth_limit(version))
    if not isinstance(body.get("content"), dict):
        raise BadEvent("content must be an object")
    _check_hashes(body.get("hashes"))
    _check_signatures(body.get("signatures"))
    _check_references(body.get("prev_events"), "prev_events", PREV_EVENTS_LIMIT, version)
    _check_references(body.get("auth_events"), "auth_events", AUTH_EVENTS_LIMIT, version)
    if not version.updated_redaction and "redacts" in body:
        _string(body, "redacts")
    room_id = _checked_room_id(body, version, event_type, state_key)
    if version.event_ids_are_hashes:
        if "event_id" in body:
            raise BadEvent("an event of this room version carries no event_id")
    else:
        _check_size("event_id", _string(body, "event_id"))
    if version.room_id_is_create_hash and room_id is not None and create_event_id_of(room_id) in body["auth_events"]:
        raise BadEvent("m.room.create is no auth event in this room version")
    return view_event(body, version, event_id=event_id_of(body, version))


def _checked_room_id(
    body: Mapping[str, Any], version: RoomVersion, event_type: str, state_key: str | None
) -> RoomID | None:
    """The room ID that the PDU carries; None for a create event whose own ID gives it."""
    if version.room_id_is_create_hash and is_create(event_type, state_key):
        if "room_id" in body:
            raise BadEvent("m.room.create carries no room_id in this room version")
        return None
    room_id = _string(body, "room_id")
    _check_size("room_id", room_id)
    if (":" in room_id) == version.room_id_is_create_hash:
        raise BadEvent("not a room ID of this room version")
    return parse_room_id(room_id)


def _string(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise BadEvent(f"{key} must be a string")
    return value


def _integer(body: Mapping[str, Any], key: str, lowest: int, highest: int) -> None:
    value = body.get(key)
    if type(value) is not int or not lowest <= value <= highest:
        raise BadEvent(f"{key} must be an integer within its range")


def _check_size(key: str, value: str) -> None:
    if len(value) > ID_LIMIT_BYTES or (not value.isascii() and len(value.encode()) > ID_LIMIT_BYTES):
        raise EventTooLarge(f"{key} must not be longer than {ID_LIMIT_BYTES} bytes")


def _check_hashes(hashes: object) -> None:
    if not isinstance(hashes, dict) or not isinstance(hashes.get("sha256"), str):
        raise BadEvent("hashes must be an object with a sha256 that is a string")


def _check_signatures(signatures: object) -> None:
    if not isinstance(signatures, dict):
        raise BadEvent("signatures must be an object")
    for by_server in signatures.values():
        if not isinstance(by_server, dict) or not all(isinstance(value, str) for value in by_server.values()):
            raise BadEvent("the signatures of a server must be an object of strings")


def _check_references(references: object, key: str, limit: int, version: RoomVersion) -> None:
    """Event IDs, or in versions 1 and 2 pairs of an event ID and an object of hashes.

    Nobody looks at those hashes, and Synapse leaves the object empty in the events with which it makes a room.
    """
    if not isinstance(references, list):
        raise BadEvent(f"{key} must be a list")
    if len(references) > limit:
        raise BadEvent(f"{key} must not have more than {limit} entries")
    for reference in references:
        event_id = reference
        if not version.event_ids_are_hashes:
            if not isinstance(reference, list) or len(reference) != 2:
                raise BadEvent(f"{key} must be pairs of an event ID and its hashes")
            event_id, hashes = reference
            if hashes != {}:
                _check_hashes(hashes)
        if not isinstance(event_id, str):
            raise BadEvent(f"{key} must name events by their IDs")
        parse_event_id(event_id, version.event_id_format)
