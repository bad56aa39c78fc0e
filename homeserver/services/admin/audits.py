"""Audits of rooms, asked for and gone on with: a large room takes longer than anybody waits for an answer.

What an audit looks at is in room_audit.py. The graph of a room's events, for whoever wants to see it, is here too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from homeserver.core.errors import UnsupportedRoomVersion
from homeserver.core.event import Event
from homeserver.core.event_audit import Unsound, read_stored
from homeserver.core.graph_drawing import DrawnEvent
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import room_version
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.admin.audit_reading import Counts
from homeserver.services.admin.event_words import FORMS, VERDICTS
from homeserver.services.admin.room_audit import BEFORE_ALL, Fault, KnownKeys, RoomAudit
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import Form, Verdict
from homeserver.storage.graph_audit import WaitingRow, missing_after, waiting_after
from homeserver.storage.room_audit import (
    EventRow,
    RoomRow,
    placed_events,
    room_ids_after,
    room_row,
    unplaced_events,
)

ANSWER_AFTER_S: Final = 5.0
MOST_UNFINISHED: Final = 4  # audits that may be gone on with; of more, the one that waited longest is given up
ROOMS_PER_PAGE: Final = 500
EVENTS_PER_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class AuditReport:
    """How far an audit has come. With `continued` it is not finished: that is the name under which it goes on."""

    room_id: RoomID
    counts: Counts
    fault: Fault | None
    continued: str | None
    is_partial: bool  # not all members of the room are known here yet


@dataclass(frozen=True, slots=True)
class GraphPage:
    """Some events of a room's graph; `after` is from where the next page goes on, None at the end."""

    events: Sequence[DrawnEvent]
    after: str | None


class _Kind(Enum):
    """What is drawn, in this order; the first word of a page's beginning."""

    PLACED = "place"  # in the room's order
    UNPLACED = "number"  # rejected, or known by their auth events alone
    WAITING = "waiting"
    MISSING = "missing"


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
                return AuditReport(room_id, audit.counts, None, self._put_aside(audit), audit.is_partial)
        return AuditReport(room_id, audit.counts, audit.fault, None, audit.is_partial)

    async def rooms(self, after: str) -> list[RoomID]:
        """The rooms that can be audited, in the order of their IDs, a page at a time."""
        return await self._database.read(room_ids_after, after, limit=ROOMS_PER_PAGE)

    async def graph(self, room_id: RoomID, after: str | None) -> GraphPage:
        """A page of the room's events, oldest first; then of those that have no place. Raises NotFound.

        Raises InvalidParameter where no page ends.
        """
        kind, place = (_Kind.PLACED, str(BEFORE_ALL)) if after is None else _read_after(after)
        return await self._database.read(_graph_page, room_id, kind, place)

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


def _read_after(after: str) -> tuple[_Kind, str]:
    word, _, place = after.partition(".")
    try:
        if "\0" in place:  # nothing that a database could compare
            raise ValueError(place)
        kind = _Kind(word)
        if kind in (_Kind.PLACED, _Kind.UNPLACED) and not BEFORE_ALL <= int(place) <= -BEFORE_ALL:
            raise ValueError(place)
    except ValueError:
        raise InvalidParameter("No page of the graph ends there") from None
    return kind, place


def _graph_page(tx: Transaction, room_id: RoomID, kind: _Kind, after: str) -> GraphPage:
    room = room_row(tx, room_id)
    if room is None:
        raise NotFound(NO_ROOM)
    drawn: list[tuple[DrawnEvent, object]]  # with where a page that begins after it would begin
    match kind:
        case _Kind.PLACED:
            placed = placed_events(tx, room_id, after=int(after), limit=EVENTS_PER_PAGE)
            drawn = [(_drawn(room_id, room, row), row.place) for row in placed]
        case _Kind.UNPLACED:
            unplaced = unplaced_events(tx, room_id, after=int(after), limit=EVENTS_PER_PAGE)
            drawn = [(_drawn(room_id, room, row), row.nid) for row in unplaced]
        case _Kind.WAITING:
            waiting = waiting_after(tx, room_id, after, limit=EVENTS_PER_PAGE)
            drawn = [(_drawn_waiting(room_id, room, row), row.event_id) for row in waiting]
        case _Kind.MISSING:
            missing = missing_after(tx, room_id, after, limit=EVENTS_PER_PAGE)
            drawn = [(DrawnEvent(one, None, None, None, "missing", "whole", ()), one) for one in missing]
    following: str | None = None
    if len(drawn) == EVENTS_PER_PAGE:
        following = f"{kind.value}.{drawn[-1][1]}"
    elif kind is not _Kind.MISSING:
        kinds = list(_Kind)
        later = kinds[kinds.index(kind) + 1]
        following = f"{later.value}.{BEFORE_ALL if later is _Kind.UNPLACED else ''}"
    return GraphPage([event for event, _ in drawn], following)


def _drawn(room_id: RoomID, room: RoomRow, row: EventRow) -> DrawnEvent:
    event = _read(room, row.pdu, event_id=row.event_id, room_id=room_id, is_whole=row.is_whole)
    verdict = VERDICTS.get(Verdict(row.verdict), "?") if row.is_of_known_kind else "?"
    return DrawnEvent(
        event_id=row.event_id,
        type=row.type,
        sender=row.sender,
        state_key=row.state_key,
        verdict="outlier" if row.root_before is None and verdict == "accepted" else verdict,
        form=FORMS.get(Form(row.form), "?") if row.is_of_known_kind else "?",
        prev_event_ids=None if event is None else event.prev_event_ids,  # a damaged event is drawn as that
    )


def _drawn_waiting(room_id: RoomID, room: RoomRow, row: WaitingRow) -> DrawnEvent:
    is_whole = row.form == Form.FULL
    event = _read(room, row.pdu, event_id=row.event_id, room_id=room_id, is_whole=is_whole)
    return DrawnEvent(
        event_id=row.event_id,
        type=None if event is None else event.type,
        sender=None if event is None else event.sender,
        state_key=None if event is None else event.state_key,
        verdict="waiting",
        form=FORMS[Form.FULL if is_whole else Form.WRONG_HASH],
        prev_event_ids=None if event is None else event.prev_event_ids,
    )


def _read(room: RoomRow, pdu: bytes, *, event_id: EventID, room_id: RoomID, is_whole: bool) -> Event | None:
    try:
        return read_stored(pdu, room_version(room.version), event_id=event_id, room_id=room_id, is_whole=is_whole)
    except (Unsound, UnsupportedRoomVersion):
        return None
