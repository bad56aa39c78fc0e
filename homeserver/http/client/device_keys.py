"""Client-server API: device keys, one-time keys, and whose keys changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.identifiers import ServerName
from homeserver.core.sync_tokens import parse_sync_token
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, NoQuery, Reply, Request, endpoint
from homeserver.http.errors import reply_to
from homeserver.http.rate_limiting import RateClass
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.errors import RemoteFailed

DEFAULT_TIMEOUT_MS: Final = 10_000
SHORTEST_TIMEOUT_MS: Final = 100
LONGEST_TIMEOUT_MS: Final = 60_000


class UploadBody(msgspec.Struct, frozen=True):
    """Keys of a device, as clients sign them."""

    device_keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None


class QueryBody(msgspec.Struct, frozen=True):
    """Whose keys are wanted: from user IDs to lists of device IDs, an empty one for all. `timeout` is in ms."""

    device_keys: dict[str, Any]
    timeout: int = DEFAULT_TIMEOUT_MS


class ClaimBody(msgspec.Struct, frozen=True):
    """What is wanted: from user IDs to device IDs to algorithms. `timeout` is in ms."""

    one_time_keys: dict[str, Any]
    timeout: int = DEFAULT_TIMEOUT_MS


class ChangesQuery(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """Between which two tokens of syncs. The second is a hint, and what came later is told as well."""

    since: str
    until: str


@dataclass(frozen=True)
class DeviceKeysEndpoints:
    """How devices publish keys, and get those of others."""

    device_keys: DeviceKeys
    device_lists: DeviceLists

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/upload",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#post_matrixclientv3keysupload",
        body=UploadBody,
        guests=True,
    )
    async def upload(self, request: Request[NoQuery, UploadBody]) -> Reply:
        """Publish keys of the device that asks."""
        counts = await self.device_keys.upload(
            request.requester.user_id,
            request.requester.device_id,
            device_keys=request.body.device_keys,
            one_time_keys=request.body.one_time_keys,
            fallback_keys=request.body.fallback_keys,
        )
        return Reply({"one_time_key_counts": counts})

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/query",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#post_matrixclientv3keysquery",
        body=QueryBody,
        guests=True,
    )
    async def query(self, request: Request[NoQuery, QueryBody]) -> Reply:
        """The keys of users' devices, and the keys that sign them."""
        user_id, body = request.requester.user_id, request.body
        queried = await self.device_keys.query(user_id, body.device_keys, _seconds(body.timeout))
        return Reply(
            {
                "device_keys": queried.devices,
                "master_keys": queried.cross_signing.get(KeyUsage.MASTER, {}),
                "self_signing_keys": queried.cross_signing.get(KeyUsage.SELF_SIGNING, {}),
                "user_signing_keys": queried.cross_signing.get(KeyUsage.USER_SIGNING, {}),
                "failures": _failures(queried.unreachable),
            }
        )

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/claim",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#post_matrixclientv3keysclaim",
        body=ClaimBody,
        guests=True,
    )
    async def claim(self, request: Request[NoQuery, ClaimBody]) -> Reply:
        """One-time keys of devices, each handed out once."""
        claimed = await self.device_keys.claim(request.body.one_time_keys, _seconds(request.body.timeout))
        return Reply({"one_time_keys": claimed.keys, "failures": _failures(claimed.unreachable)})

    @endpoint(
        "GET",
        "/_matrix/client/v3/keys/changes",
        auth=ACCESS_TOKEN,
        limit=RateClass.KEYS,
        spec="client-server-api/#get_matrixclientv3keyschanges",
        query=ChangesQuery,
    )
    async def changes(self, request: Request[ChangesQuery, NoBody]) -> Reply:
        """Whose keys changed, and with whom no room is shared any more."""
        since = parse_sync_token(request.query.since)
        parse_sync_token(request.query.until)
        changed, left = await self.device_lists.changes_since(request.requester.user_id, since.position)
        return Reply({"changed": sorted(changed), "left": sorted(left)})


def _seconds(timeout_ms: int) -> float:
    """How long to wait for other servers: as the client wishes, within reason."""
    return min(max(timeout_ms, SHORTEST_TIMEOUT_MS), LONGEST_TIMEOUT_MS) / 1000


def _failures(unreachable: Iterable[ServerName]) -> dict[ServerName, object]:
    return {server_name: reply_to(RemoteFailed()).body for server_name in unreachable}
