"""Client-server API: user directory."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.user_directory import UserDirectory


class UserSearchBody(msgspec.Struct, frozen=True):
    """Who is looked for."""

    search_term: str
    limit: int | None = None


@dataclass(frozen=True)
class UserDirectoryEndpoints:
    """How users are found."""

    directory: UserDirectory

    @endpoint(
        "POST",
        "/_matrix/client/v3/user_directory/search",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#post_matrixclientv3user_directorysearch",
        body=UserSearchBody,
    )
    async def search_users(self, request: Request[NoQuery, UserSearchBody]) -> Reply:
        """Users by the words of their names."""
        body = request.body
        if body.limit is not None and body.limit < 1:
            raise InvalidParameter("A limit is at least 1")
        found = await self.directory.search(request.requester.user_id, body.search_term, body.limit)
        results = []
        for user in found.users:
            shown = {"user_id": user.user_id, "display_name": user.display_name, "avatar_url": user.avatar_url}
            results.append({key: value for key, value in shown.items() if value is not None})
        return Reply({"results": results, "limited": found.is_limited})
