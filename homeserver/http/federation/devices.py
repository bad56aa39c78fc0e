"""Server-server API: users' devices, their keys, and claims of one-time keys."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.core.cross_signing import KeyUsage
from homeserver.http.endpoint import FEDERATION, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.serving_devices import DeviceServing


class QueryBody(msgspec.Struct, frozen=True):
    """Whose keys are wanted: from user IDs to lists of device IDs, an empty one for all."""

    device_keys: dict[str, Any]


class ClaimBody(msgspec.Struct, frozen=True):
    """What is wanted: from user IDs to device IDs to algorithms."""

    one_time_keys: dict[str, Any]


@dataclass(frozen=True)
class FederationDeviceEndpoints:
    """What other servers encrypt with."""

    devices: DeviceServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/user/devices/{userId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1userdevicesuserid",
    )
    async def of_user(self, request: PlainRequest) -> Reply:
        """All devices of a user."""
        return Reply(await self.devices.devices(request.peer, request.path_user_id))

    @endpoint(
        "POST",
        "/_matrix/federation/v1/user/keys/query",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#post_matrixfederationv1userkeysquery",
        body=QueryBody,
    )
    async def query(self, request: Request[NoQuery, QueryBody]) -> Reply:
        """The keys of users' devices, and the keys that sign them."""
        queried = await self.devices.query(request.peer, request.body.device_keys)
        return Reply(
            {
                "device_keys": queried.devices,
                "master_keys": queried.cross_signing.get(KeyUsage.MASTER, {}),
                "self_signing_keys": queried.cross_signing.get(KeyUsage.SELF_SIGNING, {}),
            }
        )

    @endpoint(
        "POST",
        "/_matrix/federation/v1/user/keys/claim",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#post_matrixfederationv1userkeysclaim",
        body=ClaimBody,
    )
    async def claim(self, request: Request[NoQuery, ClaimBody]) -> Reply:
        """One-time keys of devices, each handed out once."""
        return Reply({"one_time_keys": await self.devices.claim(request.body.one_time_keys)})
