"""Client-server API: devices that receive while nobody is there. MSC3814, which is not in the specification yet."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from homeserver.core.identifiers import parse_device_id
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.dehydrated_devices import DehydratedDevices, DeviceWithKeys, shown_messages
from homeserver.services.errors import InvalidParameter

PATH: Final = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
EVENTS_PATH: Final = f"{PATH}/{{deviceId}}/events"
SPEC: Final = "MSC3814: dehydrated devices"


class DeviceBody(msgspec.Struct, frozen=True):
    """The device, its private data, and the keys that it publishes."""

    device_id: str
    device_data: dict[str, Any]
    device_keys: dict[str, Any]
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None
    initial_device_display_name: str | None = None


class EventsQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Where the page before this one ended."""

    begin: str | None = None


class EventsBody(msgspec.Struct, frozen=True):
    """The same, as the proposal once had it."""

    next_batch: str | None = None


@dataclass(frozen=True)
class DehydratedDeviceEndpoints:
    """One's dehydrated device."""

    devices: DehydratedDevices

    @endpoint("PUT", PATH, auth=ACCESS_TOKEN, limit=RateClass.KEYS, spec=SPEC, body=DeviceBody)
    async def replace(self, request: Request[NoQuery, DeviceBody]) -> Reply:
        """Leave a device here, instead of the one before."""
        body = request.body
        device_id = parse_device_id(body.device_id)
        device = DeviceWithKeys(
            device_id,
            body.device_data,
            body.initial_device_display_name,
            body.device_keys,
            body.one_time_keys,
            body.fallback_keys,
        )
        await self.devices.replace(request.requester.user_id, device)
        return Reply({"device_id": device_id})

    @endpoint("GET", PATH, auth=ACCESS_TOKEN, limit=RateClass.KEYS, spec=SPEC)
    async def device(self, request: PlainRequest) -> Reply:
        """The device, for a client that wakes it."""
        device = await self.devices.device(request.requester.user_id)
        return Reply({"device_id": device.device_id, "device_data": orjson.Fragment(device.data)})

    @endpoint("DELETE", PATH, auth=ACCESS_TOKEN, limit=RateClass.KEYS, spec=SPEC)
    async def remove(self, request: PlainRequest) -> Reply:
        """Let go of the device."""
        return Reply({"device_id": await self.devices.remove(request.requester.user_id)})

    @endpoint("GET", EVENTS_PATH, auth=ACCESS_TOKEN, limit=RateClass.KEYS, spec=SPEC, query=EventsQuery)
    async def events(self, request: Request[EventsQuery, NoBody]) -> Reply:
        """A page of what was sent to the device; the last one leads no further."""
        after = _position(request.query.begin)
        inbox = await self.devices.inbox(request.requester.user_id, request.path_device_id, after)
        body: dict[str, object] = {"events": shown_messages(inbox)}
        if inbox.has_more:
            body["next_batch"] = str(inbox.upto)
        return Reply(body)

    @endpoint("POST", EVENTS_PATH, auth=ACCESS_TOKEN, limit=RateClass.KEYS, spec=SPEC, body=EventsBody)
    async def events_as_of_old(self, request: Request[NoQuery, EventsBody]) -> Reply:
        """The same for clients that know the first form of the proposal: they read until a page is empty."""
        after = _position(request.body.next_batch)
        inbox = await self.devices.inbox(request.requester.user_id, request.path_device_id, after)
        return Reply({"events": shown_messages(inbox), "next_batch": str(inbox.upto)})


def _position(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise InvalidParameter("The token is not one that this server gave")
    return int(token)
