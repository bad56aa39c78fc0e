"""Puts right what is stored beside a room's events and follows from them: never the events, nor what a state says.

First every event must be what its ID, hash and signatures say, and stand where the events before it have it, or else
nothing is derived from it. Then, in turn: which event names which, redactions that came early, what is missing, what
relates to what, up to where users have read and sent, where the room stands (present_mending.py), what stands on heads,
members, counts of them, and what is unread (shown_mending.py). What cannot be put right, because nothing that is sound
says what it was, is refused, and what comes after it is left alone; so is what may be all that tells of an event that
was lost.

It goes in slices as the audit does (room_audit.py), each in a write of its own in which the room is held. What is right
is what the audit says is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final, TypeVar

from homeserver.core import state_map
from homeserver.core.errors import MissingNodes
from homeserver.core.event_audit import (
    Kept,
    Unsound,
    check_authorisation,
    check_redaction,
    check_roots,
    check_signatures,
    check_standing,
    read_stored,
)
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.state_map import UnknownState
from homeserver.services.admin.audit_reading import Counts, Memory, Pause, Reading
from homeserver.services.admin.graph_audit import (
    check_early_redaction,
    check_early_redaction_of,
    check_edge,
    check_is_history,
    check_shadow,
    gaps_of_waiting,
    missing_edges,
    shadows_around,
)
from homeserver.services.admin.member_mending import MemberMending
from homeserver.services.admin.present_mending import PresentMending
from homeserver.services.admin.room_audit import (
    BEFORE_ALL,
    EVENTS_PER_SLICE,
    ROWS_PER_SLICE,
    KnownKeys,
    heads_of,
    version_of,
)
from homeserver.services.admin.shown_mending import mend_relations, mend_threads, mend_unread
from homeserver.services.errors import NotFound
from homeserver.services.events.room_state import FACTS_FROM, room_facts
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage import graph_audit as graph_rows
from homeserver.storage import room_audit as rows
from homeserver.storage import room_mending as mending
from homeserver.storage.database import Transaction
from homeserver.storage.early_redactions import delete_early_redaction, note_early_redaction
from homeserver.storage.event_edges import EdgeKind, insert_edges, insert_shadows
from homeserver.storage.events import EventNid, Form
from homeserver.storage.room_audit import EventRow, RoomRow
from homeserver.storage.rooms import hold_room
from homeserver.storage.waiting_events import insert_gaps

T = TypeVar("T")


class Stage(Enum):
    """What is looked at, in this order."""

    EVENTS = "events"
    EDGES = "edges"
    EDGE_ROWS = "needless edges"
    STANDING = "events in their places"
    GAPS = "gaps"
    EARLY_REDACTIONS = "early redactions"
    WAITING = "what waits"
    RELATIONS = "what relates to what"
    READERS = "up to where users have read and sent"
    HEADS = "the room"
    ROOTS = "the log of states"
    SHADOWS = "what stands on heads"
    SHADOW_ROWS = "what does not stand on heads"
    MEMBERS = "memberships"
    COUNTS = "counts of members"
    UNREAD = "what is unread"


@dataclass(frozen=True, slots=True)
class Point:
    """How far the mending has come: up to a row of a stage."""

    stage: Stage
    place: int | None = BEFORE_ALL  # of an event; None: those without a place come next
    number: int = BEFORE_ALL
    key: tuple[str, str] = ("", "")
    edge: graph_rows.Edge = graph_rows.BEFORE_EDGES


BEGIN: Final = Point(Stage.EVENTS)


@dataclass(slots=True)
class Slice:
    """What a slice came to: from where the next one goes on, None at the end; how many rows of what were put right."""

    following: Point | None
    mended: dict[str, int] = field(default_factory=dict)
    refused: str | None = None


class RoomMending:
    """Mends one room. Its slices may be gone through again when they were not written."""

    def __init__(self, room_id: RoomID, keys: KnownKeys, server_name: ServerName) -> None:
        self._room_id = room_id
        self._keys = keys
        self._server_name = server_name
        self._memory = Memory()
        self._present = PresentMending(room_id, server_name)
        self._news = (BEFORE_ALL, BEFORE_ALL)  # the last place and position of what was news
        self._subject = ""

    def slice(self, tx: Transaction, at: Point, now_ms: int) -> Slice:
        """Do the next piece of the work. Raises NotFound."""
        hold_room(tx, self._room_id)
        self._memory.tidy()
        row = rows.room_row(tx, self._room_id)
        if row is None:
            raise NotFound(NO_ROOM)
        done = Slice(at)
        self._subject = "the room"
        try:
            reading = Reading(tx, self._room_id, version_of(row), self._memory, Counts(), row.purge_horizon)
            done.following = self._mend(reading, row, at, done, now_ms)
        except Pause:
            done.following = at
        except Unsound as unsound:
            done.following, done.refused = None, f"{self._subject}: {unsound.reason}"
        except MissingNodes as missing:
            node = min(missing.digests).hex()[:16]
            done.following, done.refused = None, f"{self._subject}: state node {node} is missing"
        return done

    def _mend(self, reading: Reading, row: RoomRow, at: Point, done: Slice, now_ms: int) -> Point | None:
        def mended(number: int) -> None:
            if number:
                done.mended[at.stage.value] = done.mended.get(at.stage.value, 0) + number

        match at.stage:
            case Stage.EVENTS:
                return self._through_events(reading, at, self._check_event)
            case Stage.EDGES:
                return self._through_events(reading, at, lambda *of: mended(self._mend_edges(*of)))
            case Stage.EDGE_ROWS:
                return self._through_edges(reading, at, mended)
            case Stage.STANDING:
                return self._through_events(reading, at, self._check_standing)
            case Stage.GAPS:
                return self._through_events(reading, at, lambda *of: mended(self._mend_gaps(*of)))
            case Stage.EARLY_REDACTIONS:
                return self._through_early_redactions(reading, at, mended)
            case Stage.WAITING:
                return self._through_waiting(reading, at, mended)
            case Stage.RELATIONS:
                following = self._through_pages(reading, at, lambda *of: mended(mend_relations(reading, *of)))
                if following is None or following.stage is not at.stage:
                    mended(mend_threads(reading))
                return following
            case Stage.READERS:
                mended(self._mend_readers(reading))
            case Stage.HEADS:
                following = self._through_events(reading, at, self._follow, placed_alone=True)
                if following is not None and following.stage is Stage.HEADS:
                    return following
                self._subject = "the room"
                mended(self._of_present(lambda present: present.mend_row(reading, row)))
            case Stage.ROOTS:
                mended(self._of_present(lambda present: present.mend_log(reading, row, now_ms)))
            case Stage.SHADOWS:
                heads = heads_of(row)
                return self._through_events(
                    reading, at, lambda reading, kept, _: mended(self._mend_shadows(reading, kept, heads))
                )
            case Stage.SHADOW_ROWS:
                return self._through_shadows(reading, row, at, mended)
            case Stage.MEMBERS:
                return self._through_members(reading, row, at, mended, now_ms)
            case Stage.COUNTS:
                mended(self._mend_counts(reading, row, now_ms))
            case Stage.UNREAD:
                return self._through_pages(
                    reading,
                    at,
                    lambda page, kept: mended(mend_unread(reading, self._server_name, page, kept, now_ms)),
                )
        return _next(at.stage)

    # --- Events ---

    def _through_events(
        self,
        reading: Reading,
        at: Point,
        look: Callable[[Reading, Kept, set[EventID]], None],
        *,
        placed_alone: bool = False,
    ) -> Point | None:
        """Look at some events: those of the room's order, then the others."""
        page = self._page(reading, at)
        gaps = graph_rows.gaps_of(reading.tx, self._room_id, [one.event_id for one in page])
        for event_row in page:
            self._subject = event_row.event_id
            look(reading, reading.keep(event_row), gaps.get(event_row.event_id, set()))
        return _after_page(at, page, placed_alone=placed_alone)

    def _page(self, reading: Reading, at: Point) -> list[EventRow]:
        tx, room_id = reading.tx, self._room_id
        if at.place is not None:
            return rows.placed_events(tx, room_id, after=at.place, limit=EVENTS_PER_SLICE)
        return rows.unplaced_events(tx, room_id, after=at.number, limit=EVENTS_PER_SLICE)

    def _through_pages(
        self, reading: Reading, at: Point, mend: Callable[[Sequence[EventRow], Sequence[Kept]], None]
    ) -> Point | None:
        """As `_through_events`, a page of events at once; for what is unread, those with a place alone."""
        page = self._page(reading, at)
        kept: list[Kept] = []
        for event_row in page:
            self._subject = event_row.event_id
            kept.append(reading.keep(event_row))
        mend(page, kept)
        return _after_page(at, page, placed_alone=at.stage is Stage.UNREAD)

    def _check_event(self, reading: Reading, kept: Kept, _gaps: set[EventID]) -> None:
        check_signatures(kept, lambda server: self._keys.of_server(reading.tx, server))
        for other in kept.event.auth_event_ids:
            if reading.find(other) is None and not (kept.is_rejected and reading.is_elsewhere(other)):
                raise Unsound(f"its auth event {other} is not here")

    def _mend_edges(self, reading: Reading, kept: Kept, gaps: set[EventID]) -> int:
        """Each event that one names knows of it, unless it is known by its auth events alone."""
        missing = missing_edges(reading, kept, gaps | _lacking(reading, kept))
        prev = [EventNid(target) for kind, target, _ in missing if kind is EdgeKind.PREV]
        auth = [EventNid(target) for kind, target, _ in missing if kind is EdgeKind.AUTH]
        insert_edges(reading.tx, self._room_id, EventNid(kept.nid), prev=prev, auth=auth)
        return len(missing)

    def _check_standing(self, reading: Reading, kept: Kept, _gaps: set[EventID]) -> None:
        """What is noted of an event itself: whether it was accepted, where it stands, the states around it."""
        check_standing(kept)
        for root, when in ((kept.root_before, "before"), (kept.root_after, "after")):
            if root is not None:
                reading.check_map(root, f"the state {when} it")
        if kept.root_before is not None and kept.given_by is None and _lacking(reading, kept):
            raise Unsound("the state before it is nobody's word, and it lacks some of what it is built on")
        check_roots(kept, reading.find, reading.node, reading.merge)
        check_authorisation(kept, reading.find, reading.select)
        check_redaction(kept, reading.find_now, reading.select)
        check_is_history(reading, kept)
        if kept.log_position is not None:
            self._check_is_in_order(reading, kept.place or 0, kept.log_position)

    def _check_is_in_order(self, reading: Reading, place: int, position: int) -> None:
        if position > reading.tx.log_position:
            raise Unsound(f"it was news at position {position}, and there is none beyond")
        before = self._news
        if place > before[0] and position <= before[1]:  # the same one may be looked at again
            raise Unsound(f"it was news at position {position}, and stands after that of {before[1]}")
        self._news = (place, position)

    def _mend_gaps(self, reading: Reading, kept: Kept, gaps: set[EventID]) -> int:
        """What an event lacks is noted, where the state before it is another server's word."""
        if kept.root_before is None:
            return 0
        lacking = _lacking(reading, kept)
        insert_gaps(reading.tx, self._room_id, kept.event.event_id, sorted(lacking - gaps))
        for needless in gaps - lacking:
            mending.delete_gap(reading.tx, self._room_id, kept.event.event_id, needless)
        return len(lacking - gaps) + len(gaps - lacking)

    def _through_edges(self, reading: Reading, at: Point, mended: Callable[[int], None]) -> Point | None:
        page = graph_rows.edge_rows(reading.tx, self._room_id, after=at.edge, limit=ROWS_PER_SLICE)
        wrong = [row.edge for row in page if self._is_needless(reading, row)]
        for edge in wrong:
            mending.delete_edge(reading.tx, self._room_id, edge)
        mended(len(wrong))
        return _next(at.stage) if len(page) < ROWS_PER_SLICE else Point(at.stage, edge=page[-1].edge)

    def _is_needless(self, reading: Reading, row: graph_rows.EdgeRow) -> bool:
        """Whether an edge is wrong for certain. Raises Unsound where it may tell of an event that was lost."""
        if not _is_unsound(partial(check_edge, reading, row)):
            return False
        self._subject = f"the edge of kind {row.edge[1]} from event number {row.edge[2]} to number {row.edge[0]}"
        source = None if row.source_id is None else reading.find(row.source_id)
        if source is None:
            raise Unsound("it leads from an event that is not here, and may be all that tells of it")
        named = (*source.event.prev_event_ids, *source.event.auth_event_ids)
        if row.target_id is None and any(reading.find(other) is None for other in named):
            raise Unsound("it leads to an event that is not here, and may be all that tells of it")
        return True

    # --- What came early, and what waits ---

    def _through_early_redactions(self, reading: Reading, at: Point, mended: Callable[[int], None]) -> Point | None:
        """First each redaction, then each row; `key` is empty until the rows come."""
        if at.key == ("", ""):
            following = self._through_events(reading, at, lambda *of: mended(self._mend_early_redaction(*of)))
            if following is not None and following.stage is at.stage:
                return following
        page = graph_rows.early_redaction_rows(
            reading.tx,
            self._room_id,
            after=(EventID(at.key[0]), EventID(at.key[1])),
            limit=ROWS_PER_SLICE,
        )
        for target_id, redaction_id in page:
            if reading.find(redaction_id) is None:
                self._subject = f"the redaction {redaction_id} of {target_id}"
                raise Unsound("it is not here, and that it came early may be all that tells of it")
        wrong = [row for row in page if _is_unsound(partial(check_early_redaction, reading, row))]
        for target_id, redaction_id in wrong:
            delete_early_redaction(reading.tx, self._room_id, target_id=target_id, redaction_id=redaction_id)
        mended(len(wrong))
        return _next(at.stage) if len(page) < ROWS_PER_SLICE else Point(at.stage, key=page[-1])

    def _mend_early_redaction(self, reading: Reading, kept: Kept, _gaps: set[EventID]) -> int:
        target_id = kept.event.redacts
        if target_id is None or not _is_unsound(lambda: check_early_redaction_of(reading, kept)):
            return 0
        note_early_redaction(reading.tx, self._room_id, target_id=target_id, redaction_id=kept.event.event_id)
        return 1

    def _through_waiting(self, reading: Reading, at: Point, mended: Callable[[int], None]) -> Point | None:
        tx, room_id = reading.tx, self._room_id
        page = graph_rows.waiting_after(tx, room_id, at.key[0], limit=EVENTS_PER_SLICE)
        for row in page:
            self._subject = row.event_id
            is_whole = row.form == Form.FULL
            event = read_stored(row.pdu, reading.version, event_id=row.event_id, room_id=room_id, is_whole=is_whole)
            needless, unnoted = gaps_of_waiting(reading, event)
            for one in needless:
                mending.delete_gap(tx, room_id, event.event_id, one)
            insert_gaps(tx, room_id, event.event_id, sorted(unnoted))
            mended(len(needless) + len(unnoted))
        if len(page) == EVENTS_PER_SLICE:
            return Point(at.stage, key=(page[-1].event_id, ""))
        mended(mending.delete_stray_gaps(tx, room_id))
        return _next(at.stage)

    # --- Readers ---

    def _mend_readers(self, reading: Reading) -> int:
        tx, room_id = reading.tx, self._room_id
        above = BEFORE_ALL if reading.purge_horizon is None else reading.purge_horizon
        return (
            mending.delete_stray_notifications(tx, room_id)
            + mending.mend_sent_places(tx, room_id, self._server_name, above=above)
            + mending.mend_receipts(tx, room_id)
        )

    # --- The present ---

    def _follow(self, reading: Reading, kept: Kept, _gaps: set[EventID]) -> None:
        self._of_present(lambda present: present.follow(reading, kept))

    def _of_present(self, mend: Callable[[PresentMending], T]) -> T:
        try:
            return mend(self._present)
        except Unsound:
            self._subject = self._present.subject
            raise

    def _mend_shadows(self, reading: Reading, kept: Kept, heads: set[EventID]) -> int:
        if kept.root_before is None or kept.is_accepted:
            return 0  # a row that says otherwise goes with the rows
        own, least, most = shadows_around(reading, kept, heads)
        insert_shadows(reading.tx, self._room_id, kept.event.event_id, sorted(least - own))
        for stray in own - most:
            mending.delete_shadow(reading.tx, self._room_id, kept.event.event_id, stray)
        return len(least - own) + len(own - most)

    def _through_shadows(
        self, reading: Reading, row: RoomRow, at: Point, mended: Callable[[int], None]
    ) -> Point | None:
        heads = heads_of(row)
        after = (EventID(at.key[0]), EventID(at.key[1]))
        page = graph_rows.shadow_rows(reading.tx, self._room_id, after=after, limit=ROWS_PER_SLICE)
        for event_id, head_id in page:
            if reading.find(event_id) is None:
                self._subject = event_id
                raise Unsound(f"it is not here, and that it stands on {head_id} may be all that tells of it")
        wrong = [one for one in page if _is_unsound(partial(check_shadow, reading, one, heads))]
        for event_id, head_id in wrong:
            mending.delete_shadow(reading.tx, self._room_id, event_id, head_id)
        mended(len(wrong))
        return _next(at.stage) if len(page) < ROWS_PER_SLICE else Point(at.stage, key=page[-1])

    # --- Members ---

    def _through_members(
        self, reading: Reading, row: RoomRow, at: Point, mended: Callable[[int], None], now_ms: int
    ) -> Point | None:
        self._subject = "the current state"
        reading.check_map(row.current_root, "it")
        if row.is_partial or not state_map.is_whole(reading.node, row.current_root):
            return None  # the rest of the room is still to come
        self._subject = "the memberships"
        if at.key == ("", ""):
            mended(mending.delete_changes_of_nobody(reading.tx, self._room_id))
        mending_members = MemberMending(reading, row.current_root, self._server_name, now_ms)
        page = rows.member_rows(reading.tx, self._room_id, after=at.key[0], limit=ROWS_PER_SLICE)
        mending_members.mend(page)
        if len(page) < ROWS_PER_SLICE:
            mending_members.add_missing()
        mended(mending_members.mended)
        return _next(at.stage) if len(page) < ROWS_PER_SLICE else Point(at.stage, key=(page[-1].user_id, ""))

    def _mend_counts(self, reading: Reading, row: RoomRow, now_ms: int) -> int:
        try:
            selected: Mapping[tuple[str, str], Kept] = reading.select(row.current_root, FACTS_FROM)
        except UnknownState:
            return 0
        facts = room_facts({key: kept.event for key, kept in selected.items()})
        mended = mending.mend_facts(reading.tx, self._room_id, facts)
        return mended + mending.mend_counts(reading.tx, self._room_id, self._server_name, now_ms=now_ms)


def _lacking(reading: Reading, kept: Kept) -> set[EventID]:
    """What an event is built on, and is not here, or not with the state around it."""
    named = ((other, reading.find(other)) for other in kept.event.prev_event_ids)
    return {other for other, found in named if found is None or found.root is None}


def _after_page(at: Point, page: Sequence[EventRow], *, placed_alone: bool) -> Point | None:
    """From where to go on after a page of events."""
    if len(page) == EVENTS_PER_SLICE:
        last = page[-1]
        return Point(at.stage, last.place) if at.place is not None else Point(at.stage, None, last.nid)
    if at.place is not None and not placed_alone:
        return Point(at.stage, None)
    return _next(at.stage)


def _next(stage: Stage) -> Point | None:
    stages = list(Stage)
    following: Iterable[Stage] = stages[stages.index(stage) + 1 :]
    return next((Point(one) for one in following), None)


def _is_unsound(check: Callable[[], None]) -> bool:
    """Whether an audit would find fault."""
    try:
        check()
    except Unsound:
        return True
    return False
