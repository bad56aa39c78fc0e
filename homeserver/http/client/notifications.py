"""Client-server API: listing notifications."""

from dataclasses import dataclass

import msgspec

from homeserver.core.sync_tokens import parse_notification_token
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.notifications import Notifications


class NotificationsQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Which notifications, and from where."""

    begin: str | None = None
    limit: int | None = None
    only: str | None = None


@dataclass(frozen=True)
class NotificationEndpoints:
    """What the user was notified of."""

    notifications: Notifications

    @endpoint(
        "GET",
        "/_matrix/client/v3/notifications",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3notifications",
        query=NotificationsQuery,
    )
    async def list_notifications(self, request: Request[NotificationsQuery, NoBody]) -> Reply:
        """The events that notified the user, newest first."""
        query = request.query
        if query.limit is not None and query.limit < 1:
            raise InvalidParameter("A limit is greater than zero")
        page = await self.notifications.notifications(
            request.viewer,
            begin=None if not query.begin else parse_notification_token(query.begin),
            limit=query.limit,
            # "Allows basic filtering": of other words nothing is said, so they filter nothing.
            only_highlights=query.only == "highlight",
        )
        shown = [
            {
                "room_id": one.room_id,
                "event": one.event,
                "actions": one.actions,
                "read": one.is_read,
                "ts": one.notified_ms,
            }
            for one in page.notifications
        ]
        body: dict[str, object] = {"notifications": shown}
        if page.next_token is not None:
            body["next_token"] = str(page.next_token)
        return Reply(body)
