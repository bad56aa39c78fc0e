"""Administration: is what is stored of a room sound, and what does its graph look like?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from homeserver.http.endpoint import NoBody, Reply, Request, admin_endpoint
from homeserver.services.admin.audit_reading import Counts
from homeserver.services.admin.audits import GraphPage, RoomAudits
from homeserver.services.admin.room_audit import Fault


class VerifyQuery(msgspec.Struct, frozen=True):
    """Which audit to go on with; without, a new one begins."""

    audit: str | None = None


class RoomsQuery(msgspec.Struct, frozen=True):
    """After which room the page begins."""

    after: str = ""


class GraphQuery(msgspec.Struct, frozen=True):
    """Where the page begins, as the one before said."""

    after: str | None = None


class VerifyAnswer(TypedDict):
    """How far an audit is, what it found if it found something, and how to go on; null at the end."""

    room_id: str
    finished: bool
    fault: Fault | None
    checked: Counts
    partial: bool
    audit: str | None


class VerifiableRoomsAnswer(TypedDict):
    """The IDs of rooms, in order."""

    room_ids: Sequence[str]


@dataclass(frozen=True)
class RoomAuditEndpoints:
    """Audits of rooms."""

    audits: RoomAudits

    @admin_endpoint(
        "GET", "/_columba/admin/v1/rooms/{roomId}/verify", query=VerifyQuery, spec="for `homeserver admin room verify`"
    )
    async def verify(self, request: Request[VerifyQuery, NoBody]) -> Reply[VerifyAnswer]:
        """Recompute what is stored of a room, for some seconds; `audit` in the answer is how to go on."""
        report = await self.audits.verify(request.room_id, request.query.audit)
        return Reply(
            {
                "room_id": report.room_id,
                "finished": report.continued is None,
                "fault": report.fault,
                "checked": report.counts,
                "partial": report.is_partial,
                "audit": report.continued,
            }
        )

    @admin_endpoint(
        "GET", "/_columba/admin/v1/verifiable_rooms", query=RoomsQuery, spec="for `homeserver admin room verify --all`"
    )
    async def rooms(self, request: Request[RoomsQuery, NoBody]) -> Reply[VerifiableRoomsAnswer]:
        """The IDs of some rooms, in order; none after the last."""
        return Reply({"room_ids": await self.audits.rooms(request.query.after)})

    @admin_endpoint(
        "GET", "/_columba/admin/v1/rooms/{roomId}/graph", query=GraphQuery, spec="for `homeserver admin room graph`"
    )
    async def graph(self, request: Request[GraphQuery, NoBody]) -> Reply[GraphPage]:
        """Some events and what they are built on; `after` in the answer is how to go on."""
        return Reply(await self.audits.graph(request.room_id, request.query.after))
