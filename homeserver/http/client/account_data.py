"""Client-server API: client config (account data)."""

from dataclasses import dataclass

import orjson

from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, JsonObject, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.account_data import AccountDataKeeping


@dataclass(frozen=True)
class AccountDataEndpoints:
    """What users keep for themselves."""

    account_data: AccountDataKeeping

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/account_data/{type}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3useruseridaccount_datatype",
    )
    async def account_data_of_user(self, request: PlainRequest) -> Reply:
        """One piece of global account data."""
        content = await self.account_data.find(
            request.requester.user_id, request.path_user_id, None, request.path["type"]
        )
        return Reply(orjson.Fragment(content))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/user/{userId}/account_data/{type}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3useruseridaccount_datatype",
        body=JsonObject,
    )
    async def set_account_data(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Set global account data."""
        await self.account_data.put(
            request.requester.user_id, request.path_user_id, None, request.path["type"], request.body
        )
        return EMPTY

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype",
    )
    async def account_data_of_room(self, request: PlainRequest) -> Reply:
        """One piece of a room's account data."""
        content = await self.account_data.find(
            request.requester.user_id, request.path_user_id, request.room_id, request.path["type"]
        )
        return Reply(orjson.Fragment(content))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype",
        body=JsonObject,
    )
    async def set_account_data_of_room(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Set account data of a room."""
        await self.account_data.put(
            request.requester.user_id, request.path_user_id, request.room_id, request.path["type"], request.body
        )
        return EMPTY
