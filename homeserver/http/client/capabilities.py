"""What a user can do here, so that clients need not offer what would be refused."""

from dataclasses import dataclass

from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.http.endpoint import ACCESS_TOKEN, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass


@dataclass(frozen=True)
class CapabilitiesEndpoints:
    """Capabilities of the server, and of the user who asks."""

    default_room_version: str
    changes_passwords: bool  # this server keeps the passwords itself
    gives_login_tokens: bool  # a logged-in client may log in another
    changes_threepids: bool
    forgets_left_rooms: bool
    moderates_accounts: bool  # administrators may lock and suspend accounts by the client-server API

    @endpoint(
        "GET",
        "/_matrix/client/v3/capabilities",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3capabilities",
    )
    async def capabilities(self, request: PlainRequest) -> Reply:
        """Every capability of the specification, true or false; moderation only for those who have it."""
        capabilities: dict[str, object] = {
            "m.room_versions": {
                "default": self.default_room_version,
                "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
            },
            "m.change_password": {"enabled": self.changes_passwords},
            "m.profile_fields": {"enabled": True},
            "m.set_displayname": {"enabled": True},
            "m.set_avatar_url": {"enabled": True},
            "m.3pid_changes": {"enabled": self.changes_threepids},
            "m.get_login_token": {"enabled": self.gives_login_tokens},
            "m.forget_forced_upon_leave": {"enabled": self.forgets_left_rooms},
        }
        if self.moderates_accounts and request.requester.is_admin:
            capabilities["m.account_moderation"] = {"suspend": True, "lock": True}
        return Reply({"capabilities": capabilities})
