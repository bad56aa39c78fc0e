"""Audits of rooms, asked for and gone on with: a large room takes longer than anybody waits for an answer.

What an audit looks at is in room_audit.py. The graph of a room's events, for whoever wants to see it, is here too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import UnsupportedRoomVersion
from homeserver.core.event_audit import Unsound, read_stored
from homeserver.core.graph_drawing import DrawnEvent
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.room_versions import room_version
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.admin.audit_reading import Counts
from homeserver.services.admin.room_audit import BEFORE_ALL, Fault, KnownKeys, RoomAudit
from homeserver.services.errors import NotFound
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import Form, Verdict
from homeserver.storage.room_audit import EventRow, RoomRow, placed_events, room_ids_after, room_row

ANSWER_AFTER_S: Final = 5.0
MOST_UNFINISHED: Final = 4  # audits that may be gone on with; of more, the one that waited longest is given up
ROOMS_PER_PAGE: Final = 500
EVENTS_PER_PAGE: Final = 200

VERDICTS: Final = {Verdict.ACCEPTED: "accepted", Verdict.SOFT_FAILED: "soft-failed", Verdict.REJECTED: "rejected"}
FORMS: Final = {Form.FULL: "whole", Form.REDACTED: "redacted", Form.WRONG_HASH: "wrong hash"}


@dataclass(frozen=True, slots=True)
class AuditReport:
    """How far an audit has come. With `continued` it is not finished: that is the name under which it goes on."""

    room_id: RoomID
    counts: Counts
    fault: Fault | None
    continued: str | None


@dataclass(frozen=True, slots=True)
class GraphPage:
    """Some events in the room's order; `after` is the place from which the next page goes on, None at the end."""

    events: Sequence[DrawnEvent]
    after: int | None


class RoomAudits:
    """Audits rooms, for administrators."""

    def __init__(
        self, database: Database, keys: KnownKeys, clock: Clock, randomness: Randomness, server_name: ServerName
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._unfinished: OrderedDict[str, RoomAudit] = OrderedDict()

    async def verify(self, room_id: RoomID, continued: str | None = None) -> AuditReport:
        """Audit a room, or go on with its audit of that name, for some seconds at most. Raises NotFound."""
        audit = self._audit(room_id, continued)
        until = self._clock.seconds() + ANSWER_AFTER_S
        while await self._database.read(audit.go_on):
            if self._clock.seconds() >= until:
                return AuditReport(room_id, audit.counts, None, self._put_aside(audit))
        return AuditReport(room_id, audit.counts, audit.fault, None)

    async def rooms(self, after: str) -> list[RoomID]:
        """The rooms that can be audited, in the order of their IDs, a page at a time."""
        return await self._database.read(room_ids_after, after, limit=ROOMS_PER_PAGE)

    async def graph(self, room_id: RoomID, after: int | None) -> GraphPage:
        """A page of the room's events, oldest first. Raises NotFound."""
        return await self._database.read(_graph_page, room_id, BEFORE_ALL if after is None else after)

    def _audit(self, room_id: RoomID, continued: str | None) -> RoomAudit:
        if continued is None:
            return RoomAudit(room_id, self._keys, self._server_name)
        audit = self._unfinished.pop(continued, None)
        if audit is None or audit.room_id != room_id:
            raise NotFound("This audit was given up: begin anew")
        return audit

    def _put_aside(self, audit: RoomAudit) -> str:
        name = self._randomness.token(12)
        self._unfinished[name] = audit
        if len(self._unfinished) > MOST_UNFINISHED:
            self._unfinished.popitem(last=False)
        return name


def _graph_page(tx: Transaction, room_id: RoomID, after: int) -> GraphPage:
    room = room_row(tx, room_id)
    if room is None:
        raise NotFound("This server knows no such room")
    page = placed_events(tx, room_id, after=after, limit=EVENTS_PER_PAGE)
    is_last = len(page) < EVENTS_PER_PAGE
    return GraphPage([_drawn(room_id, room, row) for row in page], None if is_last else page[-1].place)


def _drawn(room_id: RoomID, room: RoomRow, row: EventRow) -> DrawnEvent:
    prev_event_ids: Sequence[str] | None = None
    try:
        version = room_version(room.version)
        event = read_stored(row.pdu, version, event_id=row.event_id, room_id=room_id, is_whole=row.is_whole)
        prev_event_ids = event.prev_event_ids
    except (Unsound, UnsupportedRoomVersion):
        pass  # a damaged event is drawn as that
    return DrawnEvent(
        event_id=row.event_id,
        type=row.type,
        sender=row.sender,
        state_key=row.state_key,
        verdict=VERDICTS.get(Verdict(row.verdict), "?") if row.is_of_known_kind else "?",
        form=FORMS.get(Form(row.form), "?") if row.is_of_known_kind else "?",
        prev_event_ids=prev_event_ids,
    )
