"""Administration: how the server is, and what is wrong with it."""

from dataclasses import dataclass

from homeserver.http.endpoint import ADMIN, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.doctor import Doctor
from homeserver.services.admin.server_status import ServerStatus


@dataclass(frozen=True)
class ServerStatusEndpoints:
    """What the server says of itself."""

    server: ServerStatus
    doctor: Doctor

    @endpoint(
        "GET",
        "/_columba/admin/v1/status",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="for administrators: docs/operating.md#watching-it",
    )
    async def status(self, _: PlainRequest) -> Reply:
        """How the server is: all that there is to say of it."""
        return Reply(await self.server.status())

    @endpoint(
        "POST",
        "/_columba/admin/v1/doctor",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="for administrators: docs/operating.md#what-is-wrong",
    )
    async def examine(self, _: PlainRequest) -> Reply:
        """Look for what is wrong: here, and on the ways to this server."""
        return Reply({"findings": await self.doctor.findings()})

    @endpoint(
        "GET",
        "/_synapse/admin/v1/statistics/database/rooms",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="https://element-hq.github.io/synapse/latest/admin_api/statistics.html",
    )
    async def largest_rooms(self, _: PlainRequest) -> Reply:
        """The rooms that take up most."""
        rooms = await self.server.largest_rooms()
        return Reply({"rooms": [{"room_id": room.room_id, "estimated_size": room.size_bytes} for room in rooms]})
