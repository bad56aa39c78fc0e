"""Administration: how the server is, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from homeserver.http.endpoint import PlainRequest, Reply, admin_endpoint
from homeserver.services.admin.doctor import Doctor, Level
from homeserver.services.admin.server_status import ServerStatus, Status


class Diagnosis(TypedDict):
    """Something that was looked at, how it is, and what is to be done; nothing, where it is well."""

    name: str
    level: Level
    told: str
    advice: str | None


class DoctorAnswer(TypedDict):
    """All that was looked at."""

    findings: list[Diagnosis]


class LargestRoom(TypedDict):
    """A room, and how many bytes it takes up."""

    room_id: str
    estimated_size: int


class LargestRoomsAnswer(TypedDict):
    """The largest first."""

    rooms: Sequence[LargestRoom]


@dataclass(frozen=True)
class ServerStatusEndpoints:
    """What the server says of itself."""

    server: ServerStatus
    doctor: Doctor

    @admin_endpoint("GET", "/_columba/admin/v1/status", spec="for administrators: docs/operating.md#watching-it")
    async def status(self, _: PlainRequest) -> Reply[Status]:
        """How the server is: all that there is to say of it."""
        return Reply(await self.server.status())

    @admin_endpoint("POST", "/_columba/admin/v1/doctor", spec="for administrators: docs/operating.md#what-is-wrong")
    async def examine(self, _: PlainRequest) -> Reply[DoctorAnswer]:
        """Look for what is wrong: here, and on the ways to this server."""
        found = await self.doctor.findings()
        return Reply(
            {
                "findings": [
                    {"name": each.name, "level": each.level, "told": each.told, "advice": each.advice} for each in found
                ]
            }
        )

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/statistics/database/rooms",
        spec="https://element-hq.github.io/synapse/latest/admin_api/statistics.html",
    )
    async def largest_rooms(self, _: PlainRequest) -> Reply[LargestRoomsAnswer]:
        """The rooms that take up most."""
        rooms = await self.server.largest_rooms()
        return Reply({"rooms": [{"room_id": room.room_id, "estimated_size": room.size_bytes} for room in rooms]})
