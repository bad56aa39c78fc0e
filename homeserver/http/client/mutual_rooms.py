"""Client-server API: rooms shared with another user."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import UserID, parse_user_id
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.mutual_rooms import Acquaintance


class MutualRoomsQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """With whom, and after which page."""

    user_id: str
    begin: str | None = None


class OlderQuery(msgspec.Struct, frozen=True):
    """The same, by the names before the specification."""

    user_id: str
    batch_token: str | None = None


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
        return await self._with_user(
            request.requester.user_id, request.query.user_id, request.query.begin, "next_batch"
        )

    @endpoint(
        "GET",
        "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="MSC2666",
        query=OlderQuery,
    )
    async def with_user_of_old(self, request: Request[OlderQuery, NoBody]) -> Reply:
        """The same for clients such as matrix-js-sdk, which look nowhere else."""
        query = request.query
        return await self._with_user(request.requester.user_id, query.user_id, query.batch_token, "next_batch_token")

    async def _with_user(self, user_id: UserID, other: str, after: str | None, name_of_next: str) -> Reply:
        found = await self.acquaintance.with_user(user_id, parse_user_id(other), after)
        answer: dict[str, object] = {"joined": found.joined, "count": found.count}
        if found.next_batch is not None:
            answer[name_of_next] = found.next_batch
        return Reply(answer)
