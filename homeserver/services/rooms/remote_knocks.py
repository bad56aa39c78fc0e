"""Knocking on the doors of rooms that this server is not in. Spec: server-server-api/#knocking-upon-a-room

How the knock is shown, taken back and answered: outside_memberships.py, remote_leaves.py, remote_invites.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.membership_templates import MembershipWish
from homeserver.core.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.services.events.creation import EventCreation
from homeserver.services.rooms.outside_memberships import OutsideMemberships, stripped_of
from homeserver.services.rooms.remote_templates import made_from_template
from homeserver.storage.database import Database

WITH_KNOCKING: Final = tuple(name for name, version in ROOM_VERSIONS.items() if version.knocking)


class RemoteKnocks:
    """Knocks through other servers."""

    def __init__(
        self,
        database: Database,
        client: FederationClient,
        creation: EventCreation,
        outside: OutsideMemberships,
        clock: Clock,
    ) -> None:
        self._database = database
        self._client = client
        self._creation = creation
        self._outside = outside
        self._clock = clock

    async def knock_through(
        self,
        server: ServerName,
        room_id: RoomID,
        user_id: UserID,
        content: Mapping[str, Any],  # Any: JSON
        known_version: RoomVersion | None,
    ) -> None:
        """Knock on a room's door. `content` is what the knock says of the user. Raises RemoteError."""
        wish = MembershipWish(room_id, user_id, "knock", content, self._clock.now_ms())
        made = await made_from_template(
            self._client, self._creation, server, wish, known_version, versions=WITH_KNOCKING, ignores_backoff=True
        )
        event = made.event
        shown = await self._client.send_knock(server, room_id, event.event_id, event.pdu, ignores_backoff=True)
        await self._database.write(self._outside.put, made, server, stripped_of(shown))
