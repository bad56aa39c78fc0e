"""Client-server API: events that are sent later. MSC4140, accepted and not in a version of the specification yet."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import orjson

from homeserver.http.client.sending import EVENT_BODY_BYTES, transaction_of
from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    EMPTY,
    NONE,
    JsonObject,
    NoBody,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass
from homeserver.runtime.clock import Clock
from homeserver.services.errors import AlreadyFinalised, InvalidParameter, NotFound, Unrecognized
from homeserver.services.events.creation import Draft
from homeserver.services.rooms.delayed_events import DelayedEvent, DelayedEvents, Listing
from homeserver.storage.delayed_events import Outcome, Reason

UNSTABLE: Final = "/_matrix/client/unstable/org.matrix.msc4140"
SPEC: Final = "MSC4140: cancellable delayed events"


class DelayedBody(msgspec.Struct, frozen=True):
    """The event, and after how many milliseconds it is to be sent."""

    delay: int
    content: dict[str, Any]
    state_key: str | None = None


class ActionBody(msgspec.Struct, frozen=True):
    """What to do with a delayed event, by the older form of the request."""

    action: Literal["send", "cancel", "restart"]


class ListQuery(msgspec.Struct, frozen=True, rename={"direction": "dir", "after": "from"}):
    """Which events, and in which order."""

    order_by: Literal["send_ts", "origin_server_ts", "running_since"] = "send_ts"
    direction: Literal["f", "b"] = "f"
    since_ts: str | None = None  # milliseconds, or "end"
    status: Literal["scheduled", "finalised"] | None = None
    room_id: str | None = None
    type: str | None = None
    outcome: Literal["send", "cancel", "error"] | None = None
    reason: Literal["action", "delay"] | None = None
    after: str | None = None


@dataclass(frozen=True)
class DelayedEventEndpoints:
    """Delayed events: guests may have them too, for calls."""

    delayed_events: DelayedEvents
    clock: Clock

    @endpoint(
        "PUT",
        f"{UNSTABLE}/rooms/{{roomId}}/delayed_event/{{eventType}}/{{txnId}}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec=SPEC,
        body=DelayedBody,
        also=["/_matrix/client/v3/rooms/{roomId}/delayed_event/{eventType}/{txnId}"],
        guests=True,
        suspended=False,
        max_body_bytes=EVENT_BODY_BYTES,
    )
    async def schedule(self, request: Request[NoQuery, DelayedBody]) -> Reply:
        """Have an event sent later; once per transaction ID."""
        event_type, body = request.path["eventType"], request.body
        draft = Draft(event_type, request.requester.user_id, body.content, state_key=body.state_key)
        transaction = transaction_of(request, f"delayed_event/{request.room_id}/{event_type}")
        return Reply({"delay_id": await self.delayed_events.schedule(draft, request.room_id, body.delay, transaction)})

    # Whoever knows the ID may do these: clients let services of calls do them in their stead.

    @endpoint(
        "POST",
        "/_matrix/client/v1/delayed_events/{delayId}/{action}",
        auth=NONE,
        limit=RateClass.SEND,
        spec=SPEC,
    )
    async def act(self, request: PlainRequest) -> Reply:
        """Send an event now, put it off, or take it back."""
        return await self._act(request.path["delayId"], request.path["action"])

    @endpoint(
        "POST",
        f"{UNSTABLE}/delayed_events/{{delayId}}/{{action}}",
        auth=NONE,
        limit=RateClass.SEND,
        spec=SPEC,
    )
    async def act_by_older_name(self, request: PlainRequest) -> Reply:
        """The same, for clients of the time before the proposal told what is over from what never was."""
        return await self._act_if_waiting(request.path["delayId"], request.path["action"])

    @endpoint(
        "POST",
        f"{UNSTABLE}/delayed_events/{{delayId}}",
        auth=NONE,
        limit=RateClass.SEND,
        spec="MSC4140, as clients speak it that do not know its last form",
        body=ActionBody,
    )
    async def act_as_told(self, request: Request[NoQuery, ActionBody]) -> Reply:
        """The same, with the action in the body."""
        return await self._act_if_waiting(request.path["delayId"], request.body.action)

    @endpoint(
        "GET",
        f"{UNSTABLE}/delayed_events/{{delayId}}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec=SPEC,
        also=["/_matrix/client/v1/delayed_events/{delayId}"],
        guests=True,
    )
    async def event(self, request: PlainRequest) -> Reply:
        """One of one's own."""
        return Reply(_shown(await self.delayed_events.event(request.requester.user_id, request.path["delayId"])))

    @endpoint(
        "GET",
        f"{UNSTABLE}/delayed_events",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec=SPEC,
        query=ListQuery,
        also=["/_matrix/client/v1/delayed_events"],
        guests=True,
    )
    async def all(self, request: Request[ListQuery, NoBody]) -> Reply:
        """A page of one's own."""
        query = request.query
        listing = Listing(
            order_by=query.order_by,
            backwards=query.direction == "b",
            since_ms=self._since_ms(query.since_ts, backwards=query.direction == "b"),
            status=query.status,
            room_id=query.room_id,
            type=query.type,
            outcome=None if query.outcome is None else Outcome(query.outcome),
            reason=None if query.reason is None else Reason(query.reason),
            after=query.after,
        )
        page = await self.delayed_events.page(request.requester.user_id, listing)
        answer: dict[str, object] = {"delayed_events": [_shown(one) for one in page.events]}
        if page.next_batch is not None:
            answer["prev_batch" if listing.backwards else "next_batch"] = page.next_batch
        return Reply(answer)

    async def _act(self, delay_id: str, action: str) -> Reply:
        if action == "send":
            await self.delayed_events.send(delay_id)
        elif action == "cancel":
            await self.delayed_events.cancel(delay_id)
        elif action == "restart":
            await self.delayed_events.restart(delay_id)
        else:
            raise Unrecognized(f"{action!r:.40} cannot be done with a delayed event")
        return EMPTY

    async def _act_if_waiting(self, delay_id: str, action: str) -> Reply:
        # The proposal wants 409 now. matrix-js-sdk gives a call up then, for good; after 404 it joins the call anew.
        try:
            return await self._act(delay_id, action)
        except AlreadyFinalised as over:
            raise NotFound(over.reason) from over

    def _since_ms(self, since_ts: str | None, *, backwards: bool) -> int | None:
        if since_ts is None:
            return self.clock.now_ms()
        if since_ts == "end":
            # The latest: nothing comes after it, and everything before.
            return None if backwards else 2**53
        if not since_ts.isascii() or not since_ts.isdigit() or len(since_ts) > 16:
            raise InvalidParameter("since_ts is a time in milliseconds, or end")
        return int(since_ts)


def _shown(one: DelayedEvent) -> JsonObject:
    delayed, finalised = one.delayed, one.delayed.finalised
    shown: JsonObject = {
        "delay_id": delayed.delay_id,
        "room_id": delayed.room_id,
        "type": delayed.type,
        "delay": delayed.delay_ms,
        "running_since": delayed.running_since_ms,
        "content": orjson.Fragment(one.content),
    }
    if delayed.state_key is not None:
        shown["state_key"] = delayed.state_key
    if finalised is not None:
        shown["origin_server_ts"] = finalised.at_ms
        if finalised.event_id is not None:
            shown["event_id"] = finalised.event_id
        if finalised.error is not None:
            shown["error"] = finalised.error
    return shown
