"""Administration: this server's signing keys."""

from dataclasses import dataclass
from typing import TypedDict

from homeserver.core.identifiers import ServerName
from homeserver.http.endpoint import ADMIN_SOCKET, PlainRequest, Reply, admin_endpoint, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.key_rotation import KeyRotation


class KeyInUse(TypedDict):
    """The public half of a key, in unpadded base64."""

    key_id: str
    key: str


class OldKey(KeyInUse):
    """One that is not used any more, and since when."""

    expired_ts: int | None


class KeysAnswer(TypedDict):
    """The keys of this server."""

    server_name: str
    current: KeyInUse
    old: list[OldKey]


@dataclass(frozen=True)
class KeyAdminEndpoints:
    """Which keys this server has had, and a new one."""

    rotation: KeyRotation
    server_name: ServerName

    @admin_endpoint("GET", "/_columba/admin/v1/keys", spec="for `homeserver admin keys show`")
    async def show(self, _: PlainRequest) -> Reply[KeysAnswer]:
        """The public halves of the key in use and of those before it, in the order in which they expired."""
        return Reply(self._shown())

    @endpoint(
        "POST",
        "/_columba/admin/v1/keys/rotate",
        auth=ADMIN_SOCKET,
        limit=RateClass.GENERAL,
        spec="for `homeserver admin keys rotate`",
    )
    async def rotate(self, _: PlainRequest) -> Reply[KeysAnswer]:
        """Replace the key in use; the keys after that."""
        await self.rotation.rotate()
        return Reply(self._shown())

    def _shown(self) -> KeysAnswer:
        keys = self.rotation.keys
        return {
            "server_name": self.server_name,
            "current": {"key_id": keys.current.key_id, "key": keys.current.to_base64()},
            "old": [
                {"key_id": old.verify_key.key_id, "key": old.verify_key.to_base64(), "expired_ts": old.expired_ms}
                for old in keys.old
            ],
        }
