"""Client-server API: rooms shared with another user."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.mutual_rooms import Acquaintance


class MutualRoomsQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """With whom, and after which page."""

    user_id: str
    begin: str | None = None


@dataclass(frozen=True)
class MutualRoomsEndpoints:
    """Shared rooms."""

    acquaintance: Acquaintance

    @endpoint(
        "GET",
        "/_matrix/client/v1/mutual_rooms",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#get_matrixclientv1mutual_rooms",
        query=MutualRoomsQuery,
    )
    async def with_user(self, request: Request[MutualRoomsQuery, NoBody]) -> Reply:
        """The rooms in which the asker and another user are."""
        query = request.query
        found = await self.acquaintance.with_user(request.requester.user_id, parse_user_id(query.user_id), query.begin)
        answer: dict[str, object] = {"joined": found.joined, "count": found.count}
        if found.next_batch is not None:
            answer["next_batch"] = found.next_batch
        return Reply(answer)
