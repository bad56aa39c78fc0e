"""Client-server API: room tagging."""

from dataclasses import dataclass

from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, JsonObject, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.account_data import AccountDataKeeping


@dataclass(frozen=True)
class TagEndpoints:
    """Labels that users put on rooms for themselves."""

    account_data: AccountDataKeeping

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3useruseridroomsroomidtags",
    )
    async def tags_of_room(self, request: PlainRequest) -> Reply:
        """The tags of a room."""
        tags = await self.account_data.tags(request.requester.user_id, request.path_user_id, request.room_id)
        return Reply({"tags": tags})

    @endpoint(
        "PUT",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag",
        body=JsonObject,
    )
    async def set_tag(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Tag a room."""
        await self.account_data.put_tag(
            request.requester.user_id, request.path_user_id, request.room_id, request.path["tag"], request.body
        )
        return EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag",
    )
    async def delete_tag(self, request: PlainRequest) -> Reply:
        """Take a tag from a room."""
        await self.account_data.delete_tag(
            request.requester.user_id, request.path_user_id, request.room_id, request.path["tag"]
        )
        return EMPTY
