"""Administration: users who are let replace their cross-signing keys without a password. Shaped like Synapse's."""

from dataclasses import dataclass
from typing import Final, TypedDict

from homeserver.http.endpoint import PlainRequest, Reply, admin_endpoint
from homeserver.services.admin.user_keys import UserKeys

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html"


class ReplacementAnswer(TypedDict):
    """Until when the keys can be replaced, in milliseconds."""

    updatable_without_uia_before_ms: int


@dataclass(frozen=True)
class UserKeyAdminEndpoints:
    """Keys of users."""

    keys: UserKeys

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v1/users/{userId}/_allow_cross_signing_replacement_without_uia",
        also=("/_columba/admin/v1/users/{userId}/allow_cross_signing_replacement",),
        spec=SYNAPSE,
    )
    async def let_replace(self, request: PlainRequest) -> Reply[ReplacementAnswer]:
        """Let a user replace their cross-signing keys, once and soon."""
        return Reply({"updatable_without_uia_before_ms": await self.keys.let_replace(request.path_user_id)})
