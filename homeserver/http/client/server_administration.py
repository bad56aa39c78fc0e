"""Client-server API: what administrators do to accounts, and what is known of who uses one."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoQuery, PlainRequest, Reply, Request, admin_endpoint, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.devices import Devices
from homeserver.services.accounts.moderation import AccountModeration
from homeserver.services.errors import Forbidden
from homeserver.storage.devices import Device


class LockBody(msgspec.Struct, frozen=True):
    """Whether the account is to be locked."""

    locked: bool


class SuspendBody(msgspec.Struct, frozen=True):
    """Whether the account is to be suspended."""

    suspended: bool


class LockAnswer(TypedDict):
    """Whether an account is locked."""

    locked: bool


class SuspendAnswer(TypedDict):
    """Whether an account is suspended."""

    suspended: bool


class Connection(TypedDict):
    """From where a device was last heard of: what is known of that."""

    ip: NotRequired[str]
    last_seen: NotRequired[int]
    user_agent: NotRequired[str]


class DeviceSession(TypedDict):
    """What a device was used for."""

    connections: list[Connection]


class DeviceSessions(TypedDict):
    """What there is of a device: one session."""

    sessions: list[DeviceSession]


@dataclass(frozen=True)
class ServerAdministrationEndpoints:
    """Accounts, as those see them who answer for the server."""

    moderation: AccountModeration
    devices: Devices

    @admin_endpoint(
        "GET",
        "/_matrix/client/v1/admin/lock/{userId}",
        also=("/_columba/admin/v1/users/{userId}/lock",),
        spec="client-server-api/#get_matrixclientv1adminlockuserid",
    )
    async def is_locked(self, request: PlainRequest) -> Reply[LockAnswer]:
        """Whether an account is locked."""
        return Reply({"locked": await self.moderation.is_locked(request.path_user_id)})

    @admin_endpoint(
        "PUT",
        "/_matrix/client/v1/admin/lock/{userId}",
        also=("/_columba/admin/v1/users/{userId}/lock",),
        body=LockBody,
        spec="client-server-api/#put_matrixclientv1adminlockuserid",
    )
    async def set_locked(self, request: Request[NoQuery, LockBody]) -> Reply[LockAnswer]:
        """Lock an account, or unlock it."""
        await self.moderation.set_locked(request.path_user_id, is_locked=request.body.locked)
        return Reply({"locked": request.body.locked})

    @admin_endpoint(
        "GET",
        "/_matrix/client/v1/admin/suspend/{userId}",
        also=("/_columba/admin/v1/users/{userId}/suspend",),
        spec="client-server-api/#get_matrixclientv1adminsuspenduserid",
    )
    async def is_suspended(self, request: PlainRequest) -> Reply[SuspendAnswer]:
        """Whether an account is suspended."""
        return Reply({"suspended": await self.moderation.is_suspended(request.path_user_id)})

    @admin_endpoint(
        "PUT",
        "/_matrix/client/v1/admin/suspend/{userId}",
        also=("/_columba/admin/v1/users/{userId}/suspend",),
        body=SuspendBody,
        spec="client-server-api/#put_matrixclientv1adminsuspenduserid",
    )
    async def set_suspended(self, request: Request[NoQuery, SuspendBody]) -> Reply[SuspendAnswer]:
        """Suspend an account, or end that."""
        await self.moderation.set_suspended(request.path_user_id, is_suspended=request.body.suspended)
        return Reply({"suspended": request.body.suspended})

    @endpoint(
        "GET",
        "/_matrix/client/v3/admin/whois/{userId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3adminwhoisuserid",
    )
    async def whois(self, request: PlainRequest) -> Reply:
        """From where an account is used: for its user, and for administrators."""
        user_id, requester = request.path_user_id, request.requester
        if user_id != requester.user_id and not requester.is_admin:
            raise Forbidden("Only administrators of this server may ask about others")
        devices = await self.devices.of_user(user_id)
        return Reply({"user_id": user_id, "devices": {device.device_id: sessions_of(device) for device in devices}})


def sessions_of(device: Device) -> DeviceSessions:
    """The one session of a device, with where it was last heard from, if it ever was."""
    if device.last_seen_ms is None:
        return {"sessions": [{"connections": []}]}
    seen: Connection = {"last_seen": device.last_seen_ms}
    if device.last_seen_ip is not None:
        seen["ip"] = device.last_seen_ip
    if device.last_seen_user_agent is not None:
        seen["user_agent"] = device.last_seen_user_agent
    return {"sessions": [{"connections": [seen]}]}
