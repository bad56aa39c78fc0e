"""Going out of rooms that this server is not in: invites that are declined, knocks that are taken back.

Spec: server-server-api/#leaving-rooms-rejecting-invites. A user gets rid of an invite even when nobody can be told.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_building import EventTemplate, reference_to
from homeserver.core.event_format import depth_limit
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.membership_templates import MembershipWish
from homeserver.core.room_versions import RoomVersion
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.services.errors import ServiceError
from homeserver.services.events.creation import EventCreation
from homeserver.services.rooms.outside_memberships import OutsideMemberships
from homeserver.services.rooms.remote_templates import TEMPLATE_TIMEOUT_S, made_from_template
from homeserver.services.rooms.several_servers import first_answer
from homeserver.storage.database import Database

log = get_logger(__name__)

MOST_ASKED: Final = 3  # whoever declines an invite waits meanwhile


class RemoteLeaves:
    """Declines invites, and takes knocks back."""

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

    async def leave(self, user_id: UserID, current: Event, servers: Sequence[ServerName], reason: str | None) -> None:
        """End what `current` says, the user's membership in a room elsewhere, and tell one of the servers, if any can.

        When none can be told, or none will hear of it, the user is out all the same, as far as this server goes.
        """
        content = {} if reason is None else {"reason": reason}
        wish = MembershipWish(current.room_id, user_id, "leave", content, self._clock.now_ms())

        async def leave_through(server: ServerName) -> EncodedEvent:
            return await self._leave_through(server, wish, current.version)

        told_by = servers[0] if servers else ServerName("")
        try:
            left = await first_answer(servers[:MOST_ASKED], leave_through)
        except ServiceError as failure:
            log.info("a user left a room that could not be told", room_id=current.room_id, reason=failure.reason)
            left = self._left_untold(wish, current)
        await self._database.write(self._outside.put, left, told_by, ())

    async def _leave_through(self, server: ServerName, wish: MembershipWish, version: RoomVersion) -> EncodedEvent:
        made = await made_from_template(self._client, self._creation, server, wish, version)
        event = made.event
        await self._client.send_leave(server, wish.room_id, event.event_id, event.pdu, timeout_s=TEMPLATE_TIMEOUT_S)
        return made

    def _left_untold(self, wish: MembershipWish, current: Event) -> EncodedEvent:
        """A leave that no other server sees: what the user's clients are shown."""
        version = current.version
        content: Mapping[str, Any] = {**wish.content, "membership": wish.membership}  # Any: JSON
        template = EventTemplate(
            room_id=RoomID(wish.room_id),
            type="m.room.member",
            sender=wish.user_id,
            content=content,
            state_key=wish.user_id,
            prev_events=(reference_to(current),),
            auth_events=(reference_to(current),),
            depth=min(current.depth + 1, depth_limit(version)),
            origin_server_ts=wish.origin_server_ts,
        )
        return self._creation.build_elsewhere(template, version)
