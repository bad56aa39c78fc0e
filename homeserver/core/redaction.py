"""What a redaction leaves of an event. Spec: rooms/v1, v6, v8, v9, v11 #redactions

Whether a redaction counts is decided in services/events; the hashes and signatures over what is left, in hashing.py
and signing.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.errors import BadEvent
from homeserver.core.event import Event, view_event
from homeserver.core.room_versions import RoomVersion

_KEPT: Final = frozenset(
    {
        "event_id",
        "type",
        "room_id",
        "sender",
        "state_key",
        "content",
        "hashes",
        "signatures",
        "depth",
        "prev_events",
        "auth_events",
        "origin_server_ts",
    }
)
_KEPT_BEFORE_V11: Final = _KEPT | {"prev_state", "origin", "membership"}

_POWER_LEVELS: Final = frozenset(
    {"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"}
)


def redact(pdu: Mapping[str, Any], version: RoomVersion) -> dict[str, Any]:
    """The redacted form of a PDU, without `unsigned`. It shares its values with `pdu`.

    Raises BadEvent if type or content are missing or of a wrong type.
    """
    event_type = pdu.get("type")
    content = pdu.get("content")
    if not isinstance(event_type, str) or not isinstance(content, dict):
        raise BadEvent("an event needs a type and an object as content")
    kept = _KEPT if version.updated_redaction else _KEPT_BEFORE_V11
    redacted = {key: value for key, value in pdu.items() if key in kept}
    redacted["content"] = _redacted_content(event_type, content, version)
    return redacted


def redacted_event(event: Event) -> Event:
    """The redacted form of an event: same ID, same place in the graph."""
    pdu = redact(event.pdu, event.version)
    return view_event(pdu, event.version, event_id=event.event_id, room_id=event.room_id)


def content_for_rules(event: Event) -> Mapping[str, Any]:
    """The redacted content of a state event with what the authorisation rules read beside it, and nothing else.

    Authorisation goes by this when the event is redacted: else two servers would judge by different contents for as
    long as one of them has not heard of the redaction. What is kept says who may do what, and nothing to a reader.
    """
    content = event.content
    kept = dict(_redacted_content(event.type, content, event.version))
    match event.type:
        case "m.room.power_levels":
            kept |= {key: content[key] for key in ("invite", "notifications") if key in content}
        case "m.room.member":
            key = "join_authorised_via_users_server"
            kept |= {key: content[key]} if key in content else {}
            if "third_party_invite" in content:
                invite = content["third_party_invite"]
                signed = invite.get("signed") if isinstance(invite, dict) else None
                kept["third_party_invite"] = {"signed": signed}
        case "m.room.third_party_invite":
            kept |= {key: content[key] for key in ("public_key", "public_keys") if key in content}
        case _:
            pass
    return kept


def _redacted_content(event_type: str, content: Mapping[str, Any], version: RoomVersion) -> Mapping[str, Any]:
    if not event_type.startswith("m.room."):
        return {}
    if event_type == "m.room.create" and version.updated_redaction:
        return content
    kept = _kept_content_keys(event_type, version)
    redacted = {key: value for key, value in content.items() if key in kept}
    if event_type == "m.room.member" and version.updated_redaction:
        # Servers agree that an object without `signed` leaves an empty object, and anything else nothing at all:
        # the specification says neither, and the event's ID depends on it.
        invite = content.get("third_party_invite")
        if isinstance(invite, dict):
            redacted["third_party_invite"] = {key: value for key, value in invite.items() if key == "signed"}
    return redacted


def _kept_content_keys(event_type: str, version: RoomVersion) -> frozenset[str]:
    match event_type:
        case "m.room.member" if version.redaction_keeps_authorising_user:
            return frozenset({"membership", "join_authorised_via_users_server"})
        case "m.room.member":
            return frozenset({"membership"})
        case "m.room.create":
            return frozenset({"creator"})
        case "m.room.join_rules" if version.restricted_joins:
            return frozenset({"join_rule", "allow"})
        case "m.room.join_rules":
            return frozenset({"join_rule"})
        case "m.room.power_levels" if version.updated_redaction:
            return _POWER_LEVELS | {"invite"}
        case "m.room.power_levels":
            return _POWER_LEVELS
        case "m.room.history_visibility":
            return frozenset({"history_visibility"})
        case "m.room.aliases" if version.special_aliases_auth:
            return frozenset({"aliases"})
        case "m.room.redaction" if version.updated_redaction:
            return frozenset({"redacts"})
        case _:
            return frozenset()
