"""Client-server API: typing notifications."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.typing import Typing


class TypingBody(msgspec.Struct, frozen=True):
    """Whether somebody types, and for how many milliseconds that holds."""

    typing: bool
    timeout: int | None = None


@dataclass(frozen=True)
class TypingEndpoints:
    """Who types."""

    typing: Typing

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/typing/{userId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3roomsroomidtypinguserid",
        body=TypingBody,
    )
    async def set_typing(self, request: Request[NoQuery, TypingBody]) -> Reply:
        """Begin to type, go on, or stop."""
        await self.typing.set_typing(
            request.requester.user_id,
            request.path_user_id,
            request.room_id,
            is_typing=request.body.typing,
            timeout_ms=request.body.timeout,
        )
        return EMPTY
