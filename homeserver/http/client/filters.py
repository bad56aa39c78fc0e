"""Client-server API: filtering."""

from dataclasses import dataclass

import orjson

from homeserver.http.endpoint import ACCESS_TOKEN, JsonObject, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.filters import Filters


@dataclass(frozen=True)
class FilterEndpoints:
    """Filters that syncs name."""

    filters: Filters

    @endpoint(
        "POST",
        "/_matrix/client/v3/user/{userId}/filter",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3useruseridfilter",
        body=JsonObject,
    )
    async def upload_filter(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Keep a filter."""
        filter_id = await self.filters.upload(request.requester.user_id, request.path_user_id, request.body)
        return Reply({"filter_id": filter_id})

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/filter/{filterId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3useruseridfilterfilterid",
    )
    async def filter(self, request: PlainRequest) -> Reply:
        """A filter, as it was uploaded."""
        definition = await self.filters.find(request.requester.user_id, request.path_user_id, request.path["filterId"])
        return Reply(orjson.Fragment(definition))
