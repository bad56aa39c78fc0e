"""Client-server API: send-to-device messaging."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.e2ee.to_device import ToDevice


class MessagesBody(msgspec.Struct, frozen=True):
    """From user IDs to device IDs, or "*", to contents."""

    messages: dict[str, Any]


@dataclass(frozen=True)
class ToDeviceEndpoints:
    """Messages that are no events of a room."""

    to_device: ToDevice

    @endpoint(
        "PUT",
        "/_matrix/client/v3/sendToDevice/{eventType}/{txnId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#put_matrixclientv3sendtodeviceeventtypetxnid",
        body=MessagesBody,
        guests=True,
    )
    async def send(self, request: Request[NoQuery, MessagesBody]) -> Reply:
        """Send messages to devices; once per transaction ID."""
        await self.to_device.send(
            request.requester.user_id,
            request.requester.device_id,
            request.path["eventType"],
            request.path["txnId"],
            request.body.messages,
        )
        return EMPTY
