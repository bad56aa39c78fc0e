"""Which entries of the room state are an event's auth events. Spec: server-server-api/#auth-events-selection

Whether the event is allowed under them is decided in auth_rules.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.room_versions import RoomVersion

CREATE: Final = ("m.room.create", "")
POWER_LEVELS: Final = ("m.room.power_levels", "")
JOIN_RULES: Final = ("m.room.join_rules", "")


def auth_types_for(
    event_type: str, sender: str, state_key: str | None, content: Mapping[str, Any], version: RoomVersion
) -> tuple[tuple[str, str], ...]:
    """The (type, state key) pairs that authorise an event, each once; the event need not exist yet.

    Each pair that the room state has an event for is to be among the auth events, and nothing else.
    """
    if event_type == "m.room.create":
        return ()
    sender_entry = ("m.room.member", sender)
    # From version 12 the room ID stands for the create event.
    ground = (POWER_LEVELS, sender_entry) if version.room_id_is_create_hash else (CREATE, POWER_LEVELS, sender_entry)
    if event_type != "m.room.member":
        return ground
    more = _membership_auth_types(state_key, content, version)
    return ground + tuple(entry for entry in dict.fromkeys(more) if entry != sender_entry)


def _membership_auth_types(
    state_key: str | None, content: Mapping[str, Any], version: RoomVersion
) -> list[tuple[str, str]]:
    entries = []
    if state_key is not None:
        entries.append(("m.room.member", state_key))
    membership = content.get("membership")
    if membership in ("join", "invite", "knock"):
        entries.append(JOIN_RULES)
    if membership == "invite":
        token = third_party_token(content)
        if token is not None:
            entries.append(("m.room.third_party_invite", token))
    if membership == "join" and version.restricted_joins:
        authoriser = content.get("join_authorised_via_users_server")
        if isinstance(authoriser, str):
            entries.append(("m.room.member", authoriser))
    return entries


def third_party_token(content: Mapping[str, Any]) -> str | None:
    """The token of the third-party invite that an m.room.member's content redeems, if it names one."""
    invite = content.get("third_party_invite")
    signed = invite.get("signed") if isinstance(invite, dict) else None
    token = signed.get("token") if isinstance(signed, dict) else None
    return token if isinstance(token, str) else None
