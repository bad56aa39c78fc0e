"""Administration: a room beside what other servers say of it, and its repair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from homeserver.http.admin.jobs import JobAnswer
from homeserver.http.admin.jobs import described as described_job
from homeserver.http.endpoint import NoQuery, Reply, Request, admin_endpoint
from homeserver.services.admin.room_repair import RoomRepair
from homeserver.services.federation.room_comparison import Comparison, RoomComparison, ServerView, explained


class ComparisonBody(msgspec.Struct, frozen=True):
    """Which servers are asked; none: the largest in the room."""

    servers: tuple[str, ...] = ()


class RepairBody(msgspec.Struct, frozen=True):
    """Whether it is only said what would be done."""

    dry_run: bool = False


class ComparisonAnswer(TypedDict):
    """The room's heads here, what the servers say, and the same in words."""

    room_id: str
    forward_extremities: Sequence[str]
    servers: Sequence[ServerView]
    explanation: Sequence[str]


@dataclass(frozen=True)
class RoomComparisonEndpoints:
    """Comparisons of rooms, and repairs."""

    comparison: RoomComparison
    repairs: RoomRepair

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomId}/comparison",
        body=ComparisonBody,
        spec="for `homeserver admin room compare`",
    )
    async def compare(self, request: Request[NoQuery, ComparisonBody]) -> Reply[ComparisonAnswer]:
        """Ask other servers what they have of a room, for a minute at most."""
        return Reply(described(await self.comparison.compare(request.room_id, request.body.servers)))

    @admin_endpoint(
        "POST", "/_columba/admin/v1/rooms/{roomId}/repair", body=RepairBody, spec="for `homeserver admin room repair`"
    )
    async def repair(self, request: Request[NoQuery, RepairBody]) -> Reply[JobAnswer]:
        """Begin to put a room right: the job that does it."""
        job = await self.repairs.repair(request.room_id, dry_run=request.body.dry_run, asked_by=request.user_id)
        return Reply(described_job(job))


def described(comparison: Comparison) -> ComparisonAnswer:
    """A comparison as JSON."""
    return {
        "room_id": comparison.room_id,
        "forward_extremities": comparison.heads,
        "servers": comparison.servers,
        "explanation": explained(comparison),
    }
