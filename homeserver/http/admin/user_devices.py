"""Administration: devices of users, from where they are used, and logins as somebody else. Shaped like Synapse's."""

from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.core.identifiers import parse_device_id
from homeserver.http.client.server_administration import sessions_of
from homeserver.http.endpoint import ADMIN, EMPTY, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.user_devices import UserDevice, UserDevices

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html"


class NewDeviceBody(msgspec.Struct, frozen=True):
    """The device that is to be."""

    device_id: str


class DeviceNameBody(msgspec.Struct, frozen=True):
    """How a device is to be shown."""

    display_name: str | None = None


class DevicesBody(msgspec.Struct, frozen=True):
    """The devices that are to go."""

    devices: list[str]


class LoginBody(msgspec.Struct, frozen=True):
    """Until when the login counts; for good without."""

    valid_until_ms: int | None = None


@dataclass(frozen=True)
class UserDeviceAdminEndpoints:
    """Devices of users."""

    devices: UserDevices

    @endpoint(
        "GET",
        "/_synapse/admin/v2/users/{userId}/devices",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        also=("/_columba/admin/v1/users/{userId}/devices",),
    )
    async def list_devices(self, request: PlainRequest) -> Reply:
        """All devices of a user."""
        devices = await self.devices.of_user(request.path_user_id)
        return Reply({"devices": [_shown(device) for device in devices], "total": len(devices)})

    @endpoint(
        "POST",
        "/_synapse/admin/v2/users/{userId}/devices",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        body=NewDeviceBody,
    )
    async def create(self, request: Request[NoQuery, NewDeviceBody]) -> Reply:
        """Make a device."""
        await self.devices.create(request.path_user_id, parse_device_id(request.body.device_id))
        return Reply({}, 201)

    @endpoint(
        "GET",
        "/_synapse/admin/v2/users/{userId}/devices/{deviceId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        also=("/_columba/admin/v1/users/{userId}/devices/{deviceId}",),
    )
    async def device(self, request: PlainRequest) -> Reply:
        """One device."""
        return Reply(_shown(await self.devices.device(request.path_user_id, request.path_device_id)))

    @endpoint(
        "PUT",
        "/_synapse/admin/v2/users/{userId}/devices/{deviceId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        body=DeviceNameBody,
    )
    async def rename(self, request: Request[NoQuery, DeviceNameBody]) -> Reply:
        """Show a device under another name."""
        await self.devices.rename(request.path_user_id, request.path_device_id, request.body.display_name)
        return EMPTY

    @endpoint(
        "DELETE",
        "/_synapse/admin/v2/users/{userId}/devices/{deviceId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        also=("/_columba/admin/v1/users/{userId}/devices/{deviceId}",),
    )
    async def remove(self, request: PlainRequest) -> Reply:
        """Remove a device, and log it out."""
        await self.devices.remove(request.path_user_id, [request.path_device_id])
        return EMPTY

    @endpoint(
        "POST",
        "/_synapse/admin/v2/users/{userId}/delete_devices",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        also=("/_columba/admin/v1/users/{userId}/delete_devices",),
        body=DevicesBody,
    )
    async def remove_some(self, request: Request[NoQuery, DevicesBody]) -> Reply:
        """Remove several devices."""
        await self.devices.remove(request.path_user_id, [parse_device_id(one) for one in request.body.devices])
        return EMPTY

    @endpoint(
        "POST",
        "/_synapse/admin/v1/users/{userId}/login",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE,
        also=("/_columba/admin/v1/users/{userId}/login",),
        body=LoginBody,
    )
    async def log_in_as(self, request: Request[NoQuery, LoginBody]) -> Reply:
        """An access token with which to act as a user."""
        by, until_ms = request.user_id, request.body.valid_until_ms
        return Reply({"access_token": await self.devices.log_in_as(request.path_user_id, by=by, until_ms=until_ms)})

    @endpoint("GET", "/_synapse/admin/v1/whois/{userId}", auth=ADMIN, limit=RateClass.GENERAL, spec=SYNAPSE)
    async def whois(self, request: PlainRequest) -> Reply:
        """From where an account is used."""
        devices = [one.device for one in await self.devices.of_user(request.path_user_id)]
        shown = {device.device_id: sessions_of(device) for device in devices}
        return Reply({"user_id": request.path_user_id, "devices": shown})


def _shown(shown: UserDevice) -> dict[str, object]:
    device = shown.device
    return {
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ip": device.last_seen_ip,
        # Tools sign out as unused what was never seen: whoever has just logged in is noted a minute later.
        "last_seen_ts": device.created_ms if device.last_seen_ms is None else device.last_seen_ms,
        "last_seen_user_agent": device.last_seen_user_agent,
        "user_id": device.user_id,
        "dehydrated": shown.is_dehydrated,
    }
