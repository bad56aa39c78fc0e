"""Room versions 1 to 12, each a frozen record: the one before it plus its difference.

Nothing outside this file compares a version's name: code asks the record for the rule that it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from homeserver.core.errors import UnsupportedRoomVersion


class EventIDFormat(Enum):
    """How an event gets its ID. Spec: rooms/v1, v3, v4 #event-ids"""

    ASSIGNED = "assigned by its server: $opaque:server"
    HASH_STANDARD = "its reference hash in standard unpadded base64"
    HASH_URLSAFE = "its reference hash in URL-safe unpadded base64"


class StateResolution(Enum):
    """Which algorithm merges forked states."""

    V1 = "v1"
    V2 = "v2"
    V2_1 = "v2.1"


@dataclass(frozen=True, slots=True)
class RoomVersion:
    """The rules of one room version; each field is one rule that some version changed."""

    name: str
    event_id_format: EventIDFormat
    state_resolution: StateResolution
    enforces_key_validity: bool  # v5: signing keys must be valid at the event's time
    strict_canonical_json: bool  # v6: no floats, integers within +-(2^53 - 1)
    special_aliases_auth: bool  # v1-5: m.room.aliases has an authorisation rule of its own, and survives redaction
    limits_notification_levels: bool  # v6: `notifications` of power levels is guarded as `events` is
    knocking: bool  # v7
    restricted_joins: bool  # v8: join rule `restricted`; redaction keeps `allow`
    redaction_keeps_authorising_user: bool  # v9: redaction keeps join_authorised_via_users_server
    knock_restricted_joins: bool  # v10
    integer_power_levels: bool  # v10: power levels are integers, never strings
    updated_redaction: bool  # v11: `redacts` lives in content; create, power levels and member keep more
    implicit_creator: bool  # v11: the creator is the sender of m.room.create; no `creator` in its content
    room_id_is_create_hash: (
        bool  # v12: room ID = create event's hash; create event carries no room_id, is no auth event
    )
    privileged_creators: bool  # v12: creators stand above all power levels; `additional_creators`
    checks_auth_event_rooms: bool = True  # auth events of another room are refused in every version (MSC4307)

    @property
    def event_ids_are_hashes(self) -> bool:
        """True where events carry no event_id of their own (version 3 and later)."""
        return self.event_id_format is not EventIDFormat.ASSIGNED


V1: Final = RoomVersion(
    name="1",
    event_id_format=EventIDFormat.ASSIGNED,
    state_resolution=StateResolution.V1,
    enforces_key_validity=False,
    strict_canonical_json=False,
    special_aliases_auth=True,
    limits_notification_levels=False,
    knocking=False,
    restricted_joins=False,
    redaction_keeps_authorising_user=False,
    knock_restricted_joins=False,
    integer_power_levels=False,
    updated_redaction=False,
    implicit_creator=False,
    room_id_is_create_hash=False,
    privileged_creators=False,
)
V2: Final = replace(V1, name="2", state_resolution=StateResolution.V2)
V3: Final = replace(V2, name="3", event_id_format=EventIDFormat.HASH_STANDARD)
V4: Final = replace(V3, name="4", event_id_format=EventIDFormat.HASH_URLSAFE)
V5: Final = replace(V4, name="5", enforces_key_validity=True)
V6: Final = replace(
    V5, name="6", strict_canonical_json=True, special_aliases_auth=False, limits_notification_levels=True
)
V7: Final = replace(V6, name="7", knocking=True)
V8: Final = replace(V7, name="8", restricted_joins=True)
V9: Final = replace(V8, name="9", redaction_keeps_authorising_user=True)
V10: Final = replace(V9, name="10", knock_restricted_joins=True, integer_power_levels=True)
V11: Final = replace(V10, name="11", updated_redaction=True, implicit_creator=True)
V12: Final = replace(
    V11, name="12", state_resolution=StateResolution.V2_1, room_id_is_create_hash=True, privileged_creators=True
)

ROOM_VERSIONS: Final = {version.name: version for version in (V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12)}
DEFAULT_ROOM_VERSION: Final = V12


def room_version(name: object) -> RoomVersion:
    """The room version called `name`, which may be any JSON value. Raises UnsupportedRoomVersion."""
    version = ROOM_VERSIONS.get(name) if isinstance(name, str) else None
    if version is None:
        raise UnsupportedRoomVersion(f"this server does not support room version {name!r:.40}")
    return version


def room_version_of_create(content: Mapping[str, Any]) -> RoomVersion:
    """The room version that the content of m.room.create asks for; version 1 if it says nothing.

    Raises UnsupportedRoomVersion.
    """
    return room_version(content.get("room_version", V1.name))
