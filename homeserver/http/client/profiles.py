"""Client-server API: profiles."""

from dataclasses import dataclass

from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    EMPTY,
    NONE,
    JsonObject,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.profiles import Profiles
from homeserver.services.errors import MissingParameter


@dataclass(frozen=True)
class ProfileEndpoints:
    """How users are shown, and what they tell of themselves."""

    profiles: Profiles

    @endpoint(
        "GET",
        "/_matrix/client/v3/profile/{userId}",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3profileuserid",
    )
    async def profile(self, request: PlainRequest) -> Reply:
        """A whole profile."""
        return Reply(await self.profiles.profile(request.path_user_id))

    @endpoint(
        "GET",
        "/_matrix/client/v3/profile/{userId}/{keyName}",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3profileuseridkeyname",
    )
    async def field(self, request: PlainRequest) -> Reply:
        """One field of a profile."""
        key = request.path["keyName"]
        return Reply({key: await self.profiles.field(request.path_user_id, key)})

    @endpoint(
        "PUT",
        "/_matrix/client/v3/profile/{userId}/{keyName}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3profileuseridkeyname",
        body=JsonObject,
        guests=True,
        suspended=False,
    )
    async def set_field(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Set a field of one's own profile."""
        key = request.path["keyName"]
        if key not in request.body:
            raise MissingParameter(f"The body lacks {key:.255}")
        await self.profiles.set_field(request.requester, request.path_user_id, key, request.body[key])
        return EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/profile/{userId}/{keyName}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#delete_matrixclientv3profileuseridkeyname",
        guests=True,
        suspended=False,
    )
    async def delete_field(self, request: PlainRequest) -> Reply:
        """Take a field of one's own profile away."""
        await self.profiles.delete_field(request.requester, request.path_user_id, request.path["keyName"])
        return EMPTY
