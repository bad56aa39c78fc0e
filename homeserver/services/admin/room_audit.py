"""The audit of one room: everything that is stored of it, recomputed from the bytes, until something does not hold.

It goes in slices, each within a transaction of its own: while it goes on, the room may. What holds of a single event
is in core/event_audit.py; how audits are asked for and gone on with, in audits.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import orjson

from homeserver.core.errors import MissingNodes, UnsupportedRoomVersion
from homeserver.core.event_audit import (
    Kept,
    Unsound,
    check_authorisation,
    check_redaction,
    check_references,
    check_roots,
    check_signatures,
    check_signatures_of,
    check_standing,
    is_merged,
)
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.core.signing import VerifyKey
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.services.admin.audit_reading import Counts, Memory, Pause, Reading
from homeserver.services.admin.graph_audit import (
    HeadFollowing,
    check_early_redaction,
    check_early_redaction_of,
    check_edge,
    check_edges_of,
    check_is_history,
    check_shadow,
    check_shadows_of,
    check_waiting,
)
from homeserver.services.admin.member_audit import check_changes, check_member, check_nobody_is_missing
from homeserver.services.admin.relation_audit import PageOfRelations, check_threads
from homeserver.services.admin.unread_audit import PageOfUnread, check_readers
from homeserver.services.errors import NotFound
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage import graph_audit as graph_rows
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.room_audit import EventRow, RoomRow

EVENTS_PER_SLICE: Final = 32
ROWS_PER_SLICE: Final = 200
BEFORE_ALL: Final = -(1 << 62)  # no place, position or number is as low


class KnownKeys(Protocol):
    """The keys by which servers sign events, as far as this server has them."""

    def of_server(self, tx: Transaction, server_name: ServerName) -> Iterable[VerifyKey]:
        """All keys of a server that are known here, the old ones too."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that does not hold: what it is about (an event's ID, or a few words), and what is wrong."""

    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


class _Stage(Enum):
    EVENTS = "the events in the room's order, and then its present"
    UNPLACED = "the events without a place: those that were rejected, and those known by their auth events alone"
    EDGES = "which event names which"
    WAITING = "the events that wait"
    SHADOWS = "what stands on heads"
    EARLY_REDACTIONS = "the redactions of what is not here"
    ROOTS = "the log of the room's states"
    MEMBERS = "the rows of its members"
    DONE = "done"


class RoomAudit:
    """One audit of one room."""

    def __init__(self, room_id: RoomID, keys: KnownKeys, server_name: ServerName) -> None:
        self.room_id: Final = room_id
        self.counts: Final = Counts()
        self.fault: Fault | None = None
        self.is_partial = False  # not all members of the room are known here, so that they cannot be audited
        self._keys = keys
        self._server_name = server_name
        self._memory = Memory()
        self._stage = _Stage.EVENTS
        self._subject = ""
        self._following = HeadFollowing(server_name)
        self._fault_beside: Fault | None = None
        # How far each stage has come.
        self._place = BEFORE_ALL
        self._news_place = 0
        self._news_position = BEFORE_ALL
        self._nid = BEFORE_ALL
        self._edge = graph_rows.BEFORE_EDGES
        self._waiting_id = ""
        self._shadow = graph_rows.BEFORE_SHADOWS
        self._early = graph_rows.BEFORE_EARLY_REDACTIONS
        self._position = BEFORE_ALL
        self._user_id = ""

    def go_on(self, tx: Transaction) -> bool:
        """Go through the next slice; False when there is no more, or a fault was found. Raises NotFound.

        A slice that failed half-way, for want of a database, may be gone through again.
        """
        self._subject = "the room"
        self._memory.tidy()
        try:
            row = rows.room_row(tx, self.room_id)
            if row is None:
                raise NotFound(NO_ROOM)
            self.is_partial = row.is_partial
            self._go_on(Reading(tx, self.room_id, version_of(row), self._memory, self.counts, row.purge_horizon), row)
        except Pause:
            return True
        except Unsound as unsound:
            self.fault = Fault(self._subject, unsound.reason)
        except MissingNodes as missing:
            self.fault = Fault(self._subject, f"state node {min(missing.digests).hex()[:16]} is missing")
        return self.fault is None and self._stage is not _Stage.DONE

    def _go_on(self, reading: Reading, row: RoomRow) -> None:
        match self._stage:
            case _Stage.EVENTS:
                self._go_through_events(reading, row)
            case _Stage.UNPLACED:
                self._go_through_unplaced(reading, row)
            case _Stage.EDGES:
                self._go_through_edges(reading)
            case _Stage.WAITING:
                self._go_through_waiting(reading)
            case _Stage.SHADOWS:
                self._go_through_shadows(reading, row)
            case _Stage.EARLY_REDACTIONS:
                self._go_through_early_redactions(reading)
            case _Stage.ROOTS:
                self._go_through_roots(reading)
            case _Stage.MEMBERS:
                self._go_through_members(reading, row)
            case _Stage.DONE:
                pass

    # --- Events ---

    def _go_through_events(self, reading: Reading, row: RoomRow) -> None:
        page = rows.placed_events(reading.tx, self.room_id, after=self._place, limit=EVENTS_PER_SLICE)
        positions = [one.log_position for one in page if one.log_position is not None]
        noted = rows.roots_at_positions(reading.tx, self.room_id, positions)
        gaps = graph_rows.gaps_of(reading.tx, self.room_id, [one.event_id for one in page])
        heads, unread = heads_of(row), PageOfUnread(reading, self._server_name, page)
        related = PageOfRelations(reading, page)
        for event_row in page:
            kept, unverified = self._check_event(reading, event_row, heads, gaps.get(event_row.event_id, set()))
            if kept.log_position is not None:
                self._check_is_in_order(reading, kept.log_position)
                self._following.follow(reading, kept, noted.get(kept.log_position))
                self._news_position, self._news_place = kept.log_position, event_row.place or 0
            self._check_beside(kept, related, unread)
            self._place = event_row.place or 0
            self._count(unverified)
        if len(page) < EVENTS_PER_SLICE:
            self._check_present(reading, row)
            self._stage = _Stage.UNPLACED

    def _check_beside(self, kept: Kept, related: PageOfRelations, unread: PageOfUnread) -> None:
        """What relates and what counts follows from events and members: what is wrong with these is told first."""
        try:
            related.check(kept)
            unread.check(kept)
        except Unsound as unsound:
            self._note_beside(unsound)

    def _note_beside(self, unsound: Unsound) -> None:
        if self._fault_beside is None:
            self._fault_beside = Fault(self._subject, unsound.reason)

    def _go_through_unplaced(self, reading: Reading, row: RoomRow) -> None:
        page = rows.unplaced_events(reading.tx, self.room_id, after=self._nid, limit=EVENTS_PER_SLICE)
        gaps = graph_rows.gaps_of(reading.tx, self.room_id, [one.event_id for one in page])
        heads, related = heads_of(row), PageOfRelations(reading, page)
        for event_row in page:
            kept, unverified = self._check_event(reading, event_row, heads, gaps.get(event_row.event_id, set()))
            try:
                related.check(kept)
            except Unsound as unsound:
                self._note_beside(unsound)
            self._nid = event_row.nid
            self._count(unverified)
        if len(page) < EVENTS_PER_SLICE:
            self._stage = _Stage.EDGES

    def _check_event(
        self, reading: Reading, event_row: EventRow, heads: set[EventID], gaps: set[EventID]
    ) -> tuple[Kept, int]:
        """The event of a row; the number of its signatures that could not be verified."""
        self._subject = event_row.event_id
        kept = reading.keep(event_row)
        unverified = check_signatures(kept, lambda server: self._keys.of_server(reading.tx, server))
        check_standing(kept)
        check_references(kept, reading.find, reading.node, gaps, reading.is_elsewhere)
        check_edges_of(reading, kept, gaps)
        for root, when in ((kept.root_before, "before"), (kept.root_after, "after")):
            if root is not None:
                reading.check_map(root, f"the state {when} it")
        if kept.root_before is not None and kept.given_by is not None:
            reading.check_entries(kept.root_before, "the state before it")
        check_roots(kept, reading.find, reading.node, reading.merge)
        check_authorisation(kept, reading.find, reading.select)
        check_redaction(kept, reading.find_now, reading.select)
        check_early_redaction_of(reading, kept)
        check_shadows_of(reading, kept, heads)
        check_is_history(reading, kept)
        return kept, unverified

    def _count(self, unverified: int) -> None:
        self.counts.events += 1
        self.counts.unverified += unverified

    def _check_is_in_order(self, reading: Reading, log_position: int) -> None:
        if log_position <= self._news_position:
            raise Unsound(f"it was news at position {log_position}, and stands after that of {self._news_position}")
        if log_position > reading.tx.log_position:
            raise Unsound(f"it was news at position {log_position}, and there is none beyond {reading.tx.log_position}")

    # --- The present ---

    def _check_present(self, reading: Reading, row: RoomRow) -> None:
        """The room's row against its last events."""
        self._subject = "the room"
        heads = heads_of(row)
        self._following.check(reading, heads)
        if row.last_place != self._news_place:
            raise Unsound(f"its last place is said to be {row.last_place}, and is {self._news_place}")
        if row.depth != self._following.depth:
            raise Unsound(f"its depth is said to be {row.depth}, and is {self._following.depth}")
        self._subject = "the current state"
        reading.check_map(row.current_root, "it")
        after = [kept.root for head in sorted(heads) if (kept := reading.find(head)) is not None]
        roots = [root for root in after if root is not None]
        if not is_merged(row.current_root, roots, reading.merge):
            raise Unsound("it is not the one after the room's last events")
        newest = rows.newest_root(reading.tx, self.room_id)
        if newest != row.current_root and (newest is not None or row.current_root != EMPTY_ROOT):
            raise Unsound("the newest row of room_roots is another one")

    # --- What there is beside the events ---

    def _go_through_edges(self, reading: Reading) -> None:
        page = graph_rows.edge_rows(reading.tx, self.room_id, after=self._edge, limit=ROWS_PER_SLICE)
        for row in page:
            self._subject = f"the edge of kind {row.edge[1]} from event number {row.edge[2]} to number {row.edge[0]}"
            check_edge(reading, row)
            self._edge = row.edge
        if len(page) < ROWS_PER_SLICE:
            self._stage = _Stage.WAITING

    def _go_through_waiting(self, reading: Reading) -> None:
        page = graph_rows.waiting_after(reading.tx, self.room_id, self._waiting_id, limit=EVENTS_PER_SLICE)
        for row in page:
            self._subject = row.event_id
            event = check_waiting(reading, row)
            self.counts.unverified += check_signatures_of(
                event, event, lambda server: self._keys.of_server(reading.tx, server)
            )
            self._waiting_id = row.event_id
        if len(page) < EVENTS_PER_SLICE:
            self._stage = _Stage.SHADOWS

    def _go_through_shadows(self, reading: Reading, row: RoomRow) -> None:
        page = graph_rows.shadow_rows(reading.tx, self.room_id, after=self._shadow, limit=ROWS_PER_SLICE)
        for shadow in page:
            self._subject = "what stands on heads"
            check_shadow(reading, shadow, heads_of(row))
            self._shadow = shadow
        if len(page) < ROWS_PER_SLICE:
            self._stage = _Stage.EARLY_REDACTIONS

    def _go_through_early_redactions(self, reading: Reading) -> None:
        page = graph_rows.early_redaction_rows(reading.tx, self.room_id, after=self._early, limit=ROWS_PER_SLICE)
        for row in page:
            self._subject = f"the redaction {row[1]} of {row[0]} that came early"
            check_early_redaction(reading, row)
            self._early = row
        if len(page) < ROWS_PER_SLICE:
            self._stage = _Stage.ROOTS

    def _go_through_roots(self, reading: Reading) -> None:
        page = rows.root_rows(reading.tx, self.room_id, after=self._position, limit=ROWS_PER_SLICE)
        for row in page:
            self._subject = f"the state at position {row.log_position}"
            if not row.has_event:
                raise Unsound("room_roots has a position that is no event's")
            reading.check_map(row.root, "it")
            self._position = row.log_position
        if len(page) < ROWS_PER_SLICE:
            self._stage = _Stage.MEMBERS

    def _go_through_members(self, reading: Reading, row: RoomRow) -> None:
        self._subject = "the current state"
        root = row.current_root
        reading.check_map(root, "it")
        page = rows.member_rows(reading.tx, self.room_id, after=self._user_id, limit=ROWS_PER_SLICE)
        faults = check_changes(reading, page, self._server_name)
        for member in page:
            self._subject = f"the membership of {member.user_id}"
            check_member(reading, root, member, self._server_name)
            if member.user_id in faults:
                raise Unsound(faults[member.user_id])
            self._user_id = member.user_id
            self.counts.members += 1
        if len(page) < ROWS_PER_SLICE:
            self._subject = "the memberships"
            check_nobody_is_missing(reading, root)
            if self._fault_beside is not None:
                self._subject = self._fault_beside.subject
                raise Unsound(self._fault_beside.reason)
            self._subject = "what relates to what"
            check_threads(reading)
            self._subject = "what is unread"
            check_readers(reading, self._server_name)
            self._stage = _Stage.DONE


def version_of(row: RoomRow) -> RoomVersion:
    """The version of a room. Raises Unsound."""
    try:
        return room_version(row.version)
    except UnsupportedRoomVersion as unsupported:
        raise Unsound(unsupported.reason) from unsupported


def heads_of(row: RoomRow) -> set[EventID]:
    """The heads that a room is said to have. Raises Unsound."""
    try:
        heads = orjson.loads(row.heads)
    except orjson.JSONDecodeError:
        heads = None
    if not isinstance(heads, list) or not all(isinstance(head, str) for head in heads):
        raise Unsound("its heads are not a list of events")
    return set(heads)
