"""Client-server API: device management."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_device_id
from homeserver.http.client.interactive_auth import AuthData, attempt
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.devices import Devices
from homeserver.storage.devices import Device


class DeviceBody(msgspec.Struct, frozen=True):
    """What is to change of a device."""

    display_name: str | None = None


class DeleteDeviceBody(msgspec.Struct, frozen=True):
    """The authentication that it costs to remove a device."""

    auth: AuthData | None = None


class DeleteDevicesBody(msgspec.Struct, frozen=True):
    """Devices to remove, and the authentication that it costs."""

    devices: list[str]
    auth: AuthData | None = None


@dataclass(frozen=True)
class DeviceEndpoints:
    """The devices of whoever asks."""

    devices: Devices

    @endpoint(
        "GET",
        "/_matrix/client/v3/devices",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3devices",
        guests=True,
    )
    async def list_devices(self, request: PlainRequest) -> Reply:
        """All devices."""
        devices = await self.devices.of_user(request.requester.user_id)
        return Reply({"devices": [_shown(device) for device in devices]})

    @endpoint(
        "GET",
        "/_matrix/client/v3/devices/{deviceId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3devicesdeviceid",
        guests=True,
    )
    async def device(self, request: PlainRequest) -> Reply:
        """One device."""
        return Reply(_shown(await self.devices.device(request.requester.user_id, request.path_device_id)))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/devices/{deviceId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3devicesdeviceid",
        body=DeviceBody,
        guests=True,
    )
    async def rename(self, request: Request[NoQuery, DeviceBody]) -> Reply:
        """Show a device under another name."""
        is_new = await self.devices.rename(request.requester, request.path_device_id, request.body.display_name)
        return Reply({}, 201) if is_new else EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/devices/{deviceId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#delete_matrixclientv3devicesdeviceid",
        body=DeleteDeviceBody,
    )
    async def delete(self, request: Request[NoQuery, DeleteDeviceBody]) -> Reply:
        """Remove a device, and end its session."""
        device_id = request.path_device_id
        tried = attempt(f"DELETE /devices/{device_id}", request.body)
        await self.devices.remove(request.requester, [device_id], tried)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/delete_devices",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3delete_devices",
        body=DeleteDevicesBody,
    )
    async def delete_many(self, request: Request[NoQuery, DeleteDevicesBody]) -> Reply:
        """Remove devices, and end their sessions."""
        device_ids = [parse_device_id(device_id) for device_id in request.body.devices]
        await self.devices.remove(request.requester, device_ids, attempt("POST /delete_devices", request.body))
        return EMPTY


def _shown(device: Device) -> dict[str, object]:
    fields = {
        "device_id": device.device_id,
        "display_name": device.display_name,
        "last_seen_ip": device.last_seen_ip,
        "last_seen_ts": device.last_seen_ms,
    }
    return {name: value for name, value in fields.items() if value is not None}
