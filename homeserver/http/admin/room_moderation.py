"""Administration: what moderators of rooms do, done by the server's hand. Many users or rooms: user_patterns.py."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.admin.answers import EventAnswer
from homeserver.http.endpoint import EMPTY, NoQuery, Nothing, Reply, Request, admin_endpoint
from homeserver.services.admin.room_moderation import Removal, RoomModeration


class MemberBody(msgspec.Struct, frozen=True):
    """Whom it befalls, and why."""

    user_id: str
    reason: str | None = None


class ReasonBody(msgspec.Struct, frozen=True):
    """Why."""

    reason: str | None = None


@dataclass(frozen=True)
class RoomModerationEndpoints:
    """Users and events in rooms."""

    moderation: RoomModeration

    @admin_endpoint(
        "POST", "/_columba/admin/v1/rooms/{roomId}/kick", body=MemberBody, spec="for administrators: docs/moderation.md"
    )
    async def kick(self, request: Request[NoQuery, MemberBody]) -> Reply[Nothing]:
        """Remove a user from a room."""
        return await self._remove(Removal.KICK, request)

    @admin_endpoint(
        "POST", "/_columba/admin/v1/rooms/{roomId}/ban", body=MemberBody, spec="for administrators: docs/moderation.md"
    )
    async def ban(self, request: Request[NoQuery, MemberBody]) -> Reply[Nothing]:
        """Remove a user from a room, and let them not come back."""
        return await self._remove(Removal.BAN, request)

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomId}/unban",
        body=MemberBody,
        spec="for administrators: docs/moderation.md",
    )
    async def unban(self, request: Request[NoQuery, MemberBody]) -> Reply[Nothing]:
        """Let a user come back."""
        return await self._remove(Removal.UNBAN, request)

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomId}/redact/{eventId}",
        body=ReasonBody,
        spec="for administrators: docs/moderation.md",
    )
    async def redact(self, request: Request[NoQuery, ReasonBody]) -> Reply[EventAnswer]:
        """Redact an event."""
        event_id = await self.moderation.redact(request.room_id, request.event_id, request.body.reason)
        return Reply({"event_id": event_id})

    async def _remove(self, removal: Removal, request: Request[NoQuery, MemberBody]) -> Reply[Nothing]:
        body = request.body
        await self.moderation.remove(removal, request.room_id, parse_user_id(body.user_id), body.reason)
        return EMPTY
