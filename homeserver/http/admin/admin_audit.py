"""Administration: what administrators did. Here it is only read; nothing changes it."""

from dataclasses import dataclass
from typing import TypedDict

import msgspec
import orjson

from homeserver.http.endpoint import NoBody, OpaqueObject, Reply, Request, admin_endpoint
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.storage.admin_audit import NotedAct, Wanted


class AuditQuery(msgspec.Struct, frozen=True, rename={"before": "from"}):
    """Which acts, and the position below which the page begins; the newest is first without."""

    before: int | None = None
    limit: int = 100
    by: str | None = None
    target: str | None = None
    act: str | None = None
    since: int | None = None
    until: int | None = None


class ActOutcome(TypedDict):
    """How an act ended: the status of its answer, and its errcode where it was refused or failed."""

    at_ms: int
    status: int
    errcode: str | None


class ActAnswer(TypedDict):
    """An act. Its outcome is null while it goes on, or when the server ended before it."""

    position: int
    at_ms: int
    by: str
    act: str
    target: str | None
    details: OpaqueObject
    outcome: ActOutcome | None


class AuditAnswer(TypedDict):
    """Acts, and where the page after them begins."""

    acts: list[ActAnswer]
    next: int | None


@dataclass(frozen=True)
class AdminAuditEndpoints:
    """The book of acts."""

    audit: AdminAudit

    @admin_endpoint("GET", "/_columba/admin/v1/audit", query=AuditQuery, spec="who administered what, and when")
    async def acts(self, request: Request[AuditQuery, NoBody]) -> Reply[AuditAnswer]:
        """Some acts, the newest first; `next` is where the page after this one begins, null after the oldest."""
        asked = request.query
        wanted = Wanted(asked.by, asked.target, asked.act, asked.since, asked.until)
        acts = await self.audit.page(wanted, before=asked.before, limit=asked.limit)
        is_full = len(acts) == asked.limit
        return Reply({"acts": [_shown(noted) for noted in acts], "next": acts[-1].position if is_full else None})


def _shown(noted: NotedAct) -> ActAnswer:
    outcome: ActOutcome | None = None
    if noted.end is not None and noted.ended_ms is not None:
        outcome = {"at_ms": noted.ended_ms, "status": noted.end.status, "errcode": noted.end.errcode}
    return {
        "position": noted.position,
        "at_ms": noted.at_ms,
        "by": noted.act.actor,
        "act": noted.act.act,
        "target": noted.act.target,
        "details": orjson.Fragment(noted.act.details),
        "outcome": outcome,
    }
