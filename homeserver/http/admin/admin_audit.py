"""Administration: what administrators did. Here it is only read; nothing changes it."""

from dataclasses import asdict, dataclass

import msgspec
import orjson

from homeserver.http.endpoint import ADMIN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
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


@dataclass(frozen=True)
class AdminAuditEndpoints:
    """The book of acts."""

    audit: AdminAudit

    @endpoint(
        "GET",
        "/_columba/admin/v1/audit",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="who administered what, and when",
        query=AuditQuery,
    )
    async def acts(self, request: Request[AuditQuery, NoBody]) -> Reply:
        """Some acts, the newest first; `next` is where the page after this one begins, null after the oldest."""
        asked = request.query
        wanted = Wanted(asked.by, asked.target, asked.act, asked.since, asked.until)
        acts = await self.audit.page(wanted, before=asked.before, limit=asked.limit)
        is_full = len(acts) == asked.limit
        return Reply({"acts": [_shown(noted) for noted in acts], "next": acts[-1].position if is_full else None})


def _shown(noted: NotedAct) -> dict[str, object]:
    outcome = None if noted.end is None else {"at_ms": noted.ended_ms, **asdict(noted.end)}
    return {
        "position": noted.position,
        "at_ms": noted.at_ms,
        "by": noted.act.actor,
        "act": noted.act.act,
        "target": noted.act.target,
        "details": orjson.Fragment(noted.act.details),
        "outcome": outcome,
    }
