"""Client-server API: threading; the threads of a room."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.core.sync_tokens import parse_pagination_token
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.threads import Threads


class ThreadsQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Which threads, and from where."""

    include: Literal["all", "participated"] = "all"
    limit: int | None = None
    begin: str | None = None


@dataclass(frozen=True)
class ThreadEndpoints:
    """The threads of a room."""

    threads: Threads

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/threads",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv1roomsroomidthreads",
        query=ThreadsQuery,
    )
    async def list_threads(self, request: Request[ThreadsQuery, NoBody]) -> Reply:
        """The roots of threads, those with the newest events first."""
        query = request.query
        if query.limit is not None and query.limit < 1:
            raise InvalidParameter("A limit is greater than zero")
        page = await self.threads.threads(
            request.viewer,
            request.room_id,
            with_viewer=query.include == "participated",
            begin=None if not query.begin else parse_pagination_token(query.begin),
            limit=query.limit,
        )
        body: dict[str, Any] = {"chunk": page.chunk}
        if page.next_batch is not None:
            body["next_batch"] = page.next_batch
        return Reply(body)
