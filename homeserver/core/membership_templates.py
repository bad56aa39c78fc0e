"""What is taken from the template of a membership event that another server makes for a room that is not here.

Never the template itself: whoever signs what another server wrote signs whatever that server wants. The event is built
anew from what this server means to say, and of the template only where in the room's graph it belongs, and who vouches
for a restricted join. Spec: server-server-api/#joining-rooms, #leaving-rooms-rejecting-invites, #knocking-upon-a-room
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.errors import BadEvent, BadIdentifier
from homeserver.core.event_building import EventTemplate
from homeserver.core.event_format import AUTH_EVENTS_LIMIT, PREV_EVENTS_LIMIT, depth_limit
from homeserver.core.identifiers import (
    EventID,
    RoomID,
    ServerName,
    UserID,
    parse_event_id,
    parse_user_id,
    server_name_of_user,
)
from homeserver.core.room_versions import RoomVersion
from homeserver.core.unpadded_base64 import decode_base64

AUTHORISER: Final = "join_authorised_via_users_server"


@dataclass(frozen=True, slots=True)
class MembershipWish:
    """A membership that a user of this server wants in a room elsewhere. `content` says what else the event says."""

    room_id: RoomID
    user_id: UserID
    membership: str
    content: Mapping[str, Any]  # Any: JSON
    origin_server_ts: int


def template_for(
    wish: MembershipWish, answered: Mapping[str, Any], version: RoomVersion, resident: ServerName
) -> EventTemplate:
    """The event to build for a wish, placed in the graph as `resident`, a server in the room, answered.

    Raises BadEvent when the answer is the template of anything else. Any: JSON of another server.
    """
    wanted = {"type": "m.room.member", "room_id": wish.room_id, "sender": wish.user_id, "state_key": wish.user_id}
    for key, value in wanted.items():
        if answered.get(key) != value:
            raise BadEvent(f"the template has another {key} than was asked for")
    said = answered.get("content")
    if not isinstance(said, dict) or said.get("membership") != wish.membership:
        raise BadEvent("the template has another membership than was asked for")
    content = {**wish.content, "membership": wish.membership}
    if wish.membership == "join" and version.restricted_joins and AUTHORISER in said:
        content[AUTHORISER] = _authoriser(said[AUTHORISER], resident)
    depth = answered.get("depth")
    if type(depth) is not int or not 0 < depth <= depth_limit(version):
        raise BadEvent("the template has no depth that an event can have")
    prev_events = _references(answered.get("prev_events"), "prev_events", PREV_EVENTS_LIMIT, version)
    if not prev_events:
        raise BadEvent("the template is built on nothing")
    return EventTemplate(
        room_id=wish.room_id,
        type="m.room.member",
        sender=wish.user_id,
        content=content,
        state_key=wish.user_id,
        prev_events=prev_events,
        auth_events=_references(answered.get("auth_events"), "auth_events", AUTH_EVENTS_LIMIT, version),
        depth=depth,
        origin_server_ts=wish.origin_server_ts,
    )


def _authoriser(value: object, resident: ServerName) -> UserID:
    """The user of the resident server who vouches for the join: the only one in whose name it can sign."""
    try:
        user_id = parse_user_id(value if isinstance(value, str) else "")
    except BadIdentifier as error:
        raise BadEvent(f"{AUTHORISER} is not a user ID") from error
    if server_name_of_user(user_id) != resident:
        raise BadEvent(f"{AUTHORISER} is not a user of {resident}")
    return user_id


def _references(references: object, key: str, limit: int, version: RoomVersion) -> tuple[tuple[EventID, bytes], ...]:
    """Event IDs with their hashes, which only room versions 1 and 2 have.

    A hash may be missing: Synapse knows none of the events with which it has just made a room. Nobody looks at them.
    """
    if not isinstance(references, list) or len(references) > limit:
        raise BadEvent(f"{key} of the template is not a list of at most {limit} events")
    return tuple(_reference(reference, key, version) for reference in references)


def _reference(reference: object, key: str, version: RoomVersion) -> tuple[EventID, bytes]:
    event_id, digest = reference, b""
    if not version.event_ids_are_hashes:
        match reference:
            case [event_id, {"sha256": str() as text}]:
                digest = decode_base64(text) or b""
                is_pair = len(digest) == 32
            case [event_id, dict() as hashes]:
                is_pair = not hashes
            case _:
                is_pair = False
        if not is_pair:
            raise BadEvent(f"{key} of the template are not pairs of an event ID and its hash")
    try:
        return parse_event_id(event_id if isinstance(event_id, str) else "", version.event_id_format), digest
    except BadIdentifier as error:
        raise BadEvent(f"{key} of the template names what is no event") from error
