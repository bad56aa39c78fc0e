"""Client-server API: sending events to a room, and redacting them."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from homeserver.core.identifiers import DeviceID
from homeserver.http.endpoint import ACCESS_TOKEN, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import UserSuspended
from homeserver.services.events.creation import Draft
from homeserver.services.rooms.delayed_events import DelayedEvents
from homeserver.services.rooms.sending import ClientTransaction, Sending

# An event has 64 KiB; in JSON as clients write it (escapes, spaces) that may be a few times as much.
EVENT_BODY_BYTES: Final = 512 * 1024


class SendQuery(msgspec.Struct, frozen=True, rename={"delay_ms": "org.matrix.msc4140.delay"}):
    """After how long the event is to be sent, as clients say it that do not know the endpoint for that."""

    delay_ms: int | None = None


class RedactBody(msgspec.Struct, frozen=True):
    """Why an event is redacted."""

    reason: str | None = None


@dataclass(frozen=True)
class SendingEndpoints:
    """Messages, state and redactions."""

    sending: Sending
    delayed_events: DelayedEvents

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec="client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid",
        query=SendQuery,
        body=JsonObject,
        guests=True,
        max_body_bytes=EVENT_BODY_BYTES,
    )
    async def send_message(self, request: Request[SendQuery, JsonObject]) -> Reply:
        """Send a message event; once per transaction ID."""
        event_type = request.path["eventType"]
        if request.query.delay_ms is not None:
            transaction = transaction_of(request, f"delayed_event/{request.room_id}/{event_type}")
            return await self._delay(request, Draft(event_type, request.requester.user_id, request.body), transaction)
        transaction = transaction_of(request, f"send/{request.room_id}/{event_type}")
        return await self._send(request, transaction)

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec="client-server-api/#put_matrixclientv3roomsroomidredacteventidtxnid",
        body=RedactBody,
    )
    async def redact_event(self, request: Request[NoQuery, RedactBody]) -> Reply:
        """Take the content of an event away; once per transaction ID."""
        return await self._redact(request, transaction_of(request, f"redact/{request.room_id}/{request.event_id}"))

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/send/{eventType}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec="not in the specification any more: what old clients send, without a transaction ID",
        body=JsonObject,
        guests=True,
        max_body_bytes=EVENT_BODY_BYTES,
    )
    async def send_another_message(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Send a message event, each time anew."""
        return await self._send(request, None)

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/redact/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec="not in the specification any more: how old clients redact, without a transaction ID",
        body=RedactBody,
    )
    async def redact_event_anew(self, request: Request[NoQuery, RedactBody]) -> Reply:
        """Take the content of an event away."""
        return await self._redact(request, None)

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec="client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey",
        query=SendQuery,
        body=JsonObject,
        guests=True,
        suspended=False,
        max_body_bytes=EVENT_BODY_BYTES,
    )
    async def set_state(self, request: Request[SendQuery, JsonObject]) -> Reply:
        """Set a piece of the room's state."""
        sender, event_type = request.requester.user_id, request.path["eventType"]
        state_key = request.path.get("stateKey", "")
        if request.query.delay_ms is not None:
            return await self._delay(request, Draft(event_type, sender, request.body, state_key=state_key), None)
        event_id = await self.sending.set_state(sender, request.room_id, event_type, state_key, request.body)
        return Reply({"event_id": event_id})

    async def _send(
        self, request: Request[Any, JsonObject], transaction: ClientTransaction | None
    ) -> Reply:  # Any: whatever else the endpoint reads
        event_id = await self.sending.send_message(
            request.requester.user_id,
            request.room_id,
            request.path["eventType"],
            request.body,
            transaction,
            is_suspended=request.requester.is_suspended,
        )
        return Reply({"event_id": event_id})

    async def _redact(self, request: Request[NoQuery, RedactBody], transaction: ClientTransaction | None) -> Reply:
        event_id = await self.sending.redact(
            request.requester.user_id,
            request.room_id,
            request.event_id,
            {} if request.body.reason is None else {"reason": request.body.reason},
            transaction,
            is_suspended=request.requester.is_suspended,
        )
        return Reply({"event_id": event_id})

    async def _delay(
        self, request: Request[SendQuery, JsonObject], draft: Draft, transaction: ClientTransaction | None
    ) -> Reply:
        """MSC4140, by an older form: http/client/delayed_events.py."""
        if request.requester.is_suspended:
            raise UserSuspended
        delay_ms = request.query.delay_ms or 0
        return Reply({"delay_id": await self.delayed_events.schedule(draft, request.room_id, delay_ms, transaction)})


def transaction_of(request: Request[Any, Any], scope: str) -> ClientTransaction:  # Any: each endpoint's own body
    """The client's own name for a request whose path has one: its device's, among those to `scope`."""
    return ClientTransaction(request.requester.device_id or DeviceID(""), scope, request.path["txnId"])
