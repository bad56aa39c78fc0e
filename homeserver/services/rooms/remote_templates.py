"""Memberships in rooms that this server is not in: a server in the room gives a template, and the event is made here.

Of the template no more is taken than where in the room the event belongs; what it says is decided here. See
core/membership_templates.py. Spec: server-server-api/#joining-rooms, #leaving-rooms-rejecting-invites,
#knocking-upon-a-room
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from homeserver.core.errors import BadEvent, UnsupportedRoomVersion
from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import ServerName
from homeserver.core.membership_templates import MembershipWish, template_for
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.outbound.errors import RemoteNonsense, RemoteRefused
from homeserver.outbound.federation_client import FederationClient
from homeserver.services.events.creation import EventCreation

TEMPLATE_TIMEOUT_S: Final = 20.0


async def made_from_template(
    client: FederationClient,
    creation: EventCreation,
    server: ServerName,
    wish: MembershipWish,
    known_version: RoomVersion | None,
    *,
    versions: Iterable[str] | None = None,
    ignores_backoff: bool = False,
) -> EncodedEvent:
    """The membership that is wished for, signed, as it can be handed to `server`, which was asked for its template.

    `versions` are those that the room may have, where the server is to be told. Raises RemoteError.
    """
    answer = await client.make_membership(
        server,
        wish.membership,
        wish.room_id,
        wish.user_id,
        versions,
        ignores_backoff=ignores_backoff,
        timeout_s=TEMPLATE_TIMEOUT_S,
    )
    version = _version_of(answer, known_version)
    try:
        return creation.build_elsewhere(template_for(wish, answer["event"], version, server), version)
    except BadEvent as bad:
        raise RemoteNonsense(f"{server}: {bad.reason}") from bad


def _version_of(answer: Mapping[str, Any], known: RoomVersion | None) -> RoomVersion:  # Any: JSON
    """The room's version as a server says that answers with a template; that of a known room cannot be another.

    Raises RemoteNonsense; RemoteRefused for a version that is not known here, which the server should have said.
    """
    name = answer.get("room_version", "1" if known is None else known.name)
    try:
        version = room_version(name)
    except UnsupportedRoomVersion as unsupported:
        body = {"room_version": str(name)[:40]}
        raise RemoteRefused(400, "M_INCOMPATIBLE_ROOM_VERSION", unsupported.reason, body) from unsupported
    if known is not None and version != known:
        raise RemoteNonsense(f"the room has version {known.name}, not {version.name}")
    return version
