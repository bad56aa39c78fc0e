"""Administration: devices of users, from where they are used, and logins as somebody else. Shaped like Synapse's."""

from dataclasses import dataclass
from typing import Final, TypedDict

import msgspec

from homeserver.core.identifiers import DeviceID, parse_device_id
from homeserver.http.client.server_administration import DeviceSessions, sessions_of
from homeserver.http.endpoint import EMPTY, NoQuery, Nothing, PlainRequest, Reply, Request, admin_endpoint
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


class DeviceAnswer(TypedDict):
    """A device, and from where it was last heard of."""

    device_id: str
    display_name: str | None
    last_seen_ip: str | None
    last_seen_ts: int
    last_seen_user_agent: str | None
    user_id: str
    dehydrated: bool


class DevicesAnswer(TypedDict):
    """Devices, and how many they are."""

    devices: list[DeviceAnswer]
    total: int


class LoginAnswer(TypedDict):
    """A token of a device of its own, which the user sees among theirs."""

    access_token: str


class WhoisAnswer(TypedDict):
    """From where an account is used, by the IDs of devices."""

    user_id: str
    devices: dict[DeviceID, DeviceSessions]


@dataclass(frozen=True)
class UserDeviceAdminEndpoints:
    """Devices of users."""

    devices: UserDevices

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v2/users/{userId}/devices",
        also=("/_columba/admin/v1/users/{userId}/devices",),
        spec=SYNAPSE,
    )
    async def list_devices(self, request: PlainRequest) -> Reply[DevicesAnswer]:
        """All devices of a user."""
        devices = await self.devices.of_user(request.path_user_id)
        return Reply({"devices": [_shown(device) for device in devices], "total": len(devices)})

    @admin_endpoint("POST", "/_synapse/admin/v2/users/{userId}/devices", body=NewDeviceBody, spec=SYNAPSE)
    async def create(self, request: Request[NoQuery, NewDeviceBody]) -> Reply[Nothing]:
        """Make a device."""
        await self.devices.create(request.path_user_id, parse_device_id(request.body.device_id))
        return Reply({}, 201)

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v2/users/{userId}/devices/{deviceId}",
        also=("/_columba/admin/v1/users/{userId}/devices/{deviceId}",),
        spec=SYNAPSE,
    )
    async def device(self, request: PlainRequest) -> Reply[DeviceAnswer]:
        """One device."""
        return Reply(_shown(await self.devices.device(request.path_user_id, request.path_device_id)))

    @admin_endpoint("PUT", "/_synapse/admin/v2/users/{userId}/devices/{deviceId}", body=DeviceNameBody, spec=SYNAPSE)
    async def rename(self, request: Request[NoQuery, DeviceNameBody]) -> Reply[Nothing]:
        """Show a device under another name."""
        await self.devices.rename(request.path_user_id, request.path_device_id, request.body.display_name)
        return EMPTY

    @admin_endpoint(
        "DELETE",
        "/_synapse/admin/v2/users/{userId}/devices/{deviceId}",
        also=("/_columba/admin/v1/users/{userId}/devices/{deviceId}",),
        spec=SYNAPSE,
    )
    async def remove(self, request: PlainRequest) -> Reply[Nothing]:
        """Remove a device, and log it out."""
        await self.devices.remove(request.path_user_id, [request.path_device_id])
        return EMPTY

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v2/users/{userId}/delete_devices",
        also=("/_columba/admin/v1/users/{userId}/delete_devices",),
        body=DevicesBody,
        spec=SYNAPSE,
    )
    async def remove_some(self, request: Request[NoQuery, DevicesBody]) -> Reply[Nothing]:
        """Remove several devices."""
        await self.devices.remove(request.path_user_id, [parse_device_id(one) for one in request.body.devices])
        return EMPTY

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v1/users/{userId}/login",
        also=("/_columba/admin/v1/users/{userId}/login",),
        body=LoginBody,
        spec=SYNAPSE,
    )
    async def log_in_as(self, request: Request[NoQuery, LoginBody]) -> Reply[LoginAnswer]:
        """An access token with which to act as a user."""
        by, until_ms = request.user_id, request.body.valid_until_ms
        return Reply({"access_token": await self.devices.log_in_as(request.path_user_id, by=by, until_ms=until_ms)})

    @admin_endpoint("GET", "/_synapse/admin/v1/whois/{userId}", spec=SYNAPSE)
    async def whois(self, request: PlainRequest) -> Reply[WhoisAnswer]:
        """From where an account is used."""
        devices = [one.device for one in await self.devices.of_user(request.path_user_id)]
        shown = {device.device_id: sessions_of(device) for device in devices}
        return Reply({"user_id": request.path_user_id, "devices": shown})


def _shown(shown: UserDevice) -> DeviceAnswer:
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
