"""Client-server API: which threads a user is subscribed to. Not in the specification yet: MSC4306 and MSC4308."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.core.identifiers import parse_event_id
from homeserver.core.sliding_tokens import parse_thread_subscriptions_token
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoBody, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.thread_subscriptions import ThreadSubscriptions


class SubscriptionBody(msgspec.Struct, frozen=True):
    """Which event made the client subscribe; left out when its user did."""

    automatic: str | None = None


class ChangesQuery(msgspec.Struct, frozen=True, rename={"direction": "dir", "begin": "from", "end": "to"}):
    """Which changes: those before `from`, down to `to`."""

    direction: Literal["b"]
    begin: str | None = None
    end: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class ThreadSubscriptionEndpoints:
    """Subscribing to threads."""

    subscriptions: ThreadSubscriptions

    @endpoint(
        "GET",
        "/_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="MSC4306",
    )
    async def subscription(self, request: PlainRequest) -> Reply:
        """The subscription to a thread."""
        found = await self.subscriptions.find(request.requester.user_id, request.room_id, request.event_id)
        return Reply({"automatic": found.is_automatic})

    @endpoint(
        "PUT",
        "/_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="MSC4306",
        body=SubscriptionBody,
    )
    async def subscribe(self, request: Request[NoQuery, SubscriptionBody]) -> Reply:
        """Subscribe to a thread."""
        cause = request.body.automatic
        cause_id = None if cause is None else parse_event_id(cause)
        await self.subscriptions.subscribe(request.requester.user_id, request.room_id, request.event_id, cause_id)
        return EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/unstable/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="MSC4306",
    )
    async def unsubscribe(self, request: PlainRequest) -> Reply:
        """Unsubscribe from a thread."""
        await self.subscriptions.unsubscribe(request.requester.user_id, request.room_id, request.event_id)
        return EMPTY

    @endpoint(
        "GET",
        "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="MSC4308",
        query=ChangesQuery,
    )
    async def changes(self, request: Request[ChangesQuery, NoBody]) -> Reply:
        """The subscriptions to threads of all rooms, what changed last first."""
        query = request.query
        if query.limit is not None and query.limit < 1:
            raise InvalidParameter("A limit is greater than zero")
        changes = await self.subscriptions.changed(
            request.requester.user_id,
            after=parse_thread_subscriptions_token(query.end) if query.end else 0,
            upto=parse_thread_subscriptions_token(query.begin) if query.begin else None,
            limit=query.limit,
        )
        return Reply(changes.shown if changes.before is None else {**changes.shown, "end": changes.before})
