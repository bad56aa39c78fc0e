"""Client-server API: receipts, and the read marker."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_event_id
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.receipts import FULLY_READ, READ, READ_PRIVATE, Marker, Receipts


class ReceiptBody(msgspec.Struct, frozen=True):
    """For which thread the receipt is; left out for the whole room."""

    thread_id: object = msgspec.UNSET  # text, as is checked here: the specification has its own error for other things


class ReadMarkersBody(
    msgspec.Struct, frozen=True, rename={"fully_read": FULLY_READ, "read": READ, "read_private": READ_PRIVATE}
):
    """Up to which events."""

    fully_read: str | None = None
    read: str | None = None
    read_private: str | None = None


@dataclass(frozen=True)
class ReceiptEndpoints:
    """How far users have read."""

    receipts: Receipts

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidreceiptreceipttypeeventid",
        body=ReceiptBody,
    )
    async def send_receipt(self, request: Request[NoQuery, ReceiptBody]) -> Reply:
        """Move a receipt."""
        thread_id = request.body.thread_id
        if thread_id is msgspec.UNSET:
            thread_id = None
        elif not isinstance(thread_id, str) or not thread_id:
            raise InvalidParameter("thread_id must be a non-empty string")
        marker = Marker(request.path["receiptType"], request.event_id, thread_id)
        await self.receipts.mark(request.requester.user_id, request.room_id, (marker,))
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/read_markers",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidread_markers",
        body=ReadMarkersBody,
    )
    async def set_read_markers(self, request: Request[NoQuery, ReadMarkersBody]) -> Reply:
        """Move the read marker, and receipts with it."""
        body = request.body
        wanted = ((FULLY_READ, body.fully_read), (READ, body.read), (READ_PRIVATE, body.read_private))
        markers = [Marker(kind, parse_event_id(event_id)) for kind, event_id in wanted if event_id is not None]
        await self.receipts.mark(request.requester.user_id, request.room_id, markers)
        return EMPTY
