"""Users of other servers who leave rooms, decline invites or take back knocks by way of this server.

Spec: server-server-api/#leaving-rooms-rejecting-invites
"""

from collections.abc import Mapping
from typing import Any

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.services.federation.membership_intake import MembershipIntake
from homeserver.services.federation.membership_templates import MembershipTemplates


class LeaveServing:
    """Lets users of other servers leave."""

    def __init__(self, templates: MembershipTemplates, intake: MembershipIntake) -> None:
        self._templates = templates
        self._intake = intake

    async def make(self, server: ServerName, room_id: RoomID, user_id: UserID) -> dict[str, Any]:  # Any: JSON
        """A template of the leave. Raises what MembershipTemplates.template does."""
        return await self._templates.template(server, room_id, user_id, "leave")

    async def send(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: Mapping[str, Any],  # Any: JSON
    ) -> None:
        """Take the leave. Raises what MembershipIntake.take does."""
        await self._intake.take(server, room_id, event_id, pdu, "leave")
