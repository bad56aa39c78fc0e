"""Puts lost and damaged events of a room back, each in its place, number and states and all, as another server gave it.

A damaged row keeps all that is noted of the event beside its bytes, as far as that can be. Of a lost one it is found
out: the state before it follows from what it is built on; its number from the edges that lead to and from it; where it
stood is in event_places.py. It is judged as it was when it came. Whatever an audit would not hold to be sound is not
put back: Unsound is raised, and the transaction is to be undone. Which events are lost is found in lost_events.py.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from homeserver.core import state_map
from homeserver.core.canonical_json import encode_for
from homeserver.core.errors import MissingNodes
from homeserver.core.event import EncodedEvent, Event
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
    read_stored,
)
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.redaction import redacted_event
from homeserver.core.relations import thread_id_of
from homeserver.core.state_map import EMPTY_ROOT, UnknownState
from homeserver.services.admin.audit_reading import Counts, Memory, Reading
from homeserver.services.admin.event_places import Stand, find_stand
from homeserver.services.admin.graph_audit import check_is_history
from homeserver.services.admin.lost_events import Lost
from homeserver.services.admin.room_audit import KnownKeys, heads_of, version_of
from homeserver.services.errors import NotFound
from homeserver.services.events.receipt import Received
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage import graph_audit as graph_rows
from homeserver.storage import lost_events as lost_rows
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import EdgeKind
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, find_event, insert_event, store_redacted
from homeserver.storage.room_audit import RoomRow
from homeserver.storage.rooms import hold_room, roots_at
from homeserver.storage.search import index_event, remove_event
from homeserver.storage.state_nodes import store_nodes

MOST_OPEN_EDGES: Final = 5_000
REASON: Final = "it was lost, and so it was judged again"


class EventRestoring:
    """Puts events of one room back: one in each transaction, or several."""

    def __init__(self, room_id: RoomID, keys: KnownKeys, lost: Lost) -> None:
        self._room_id = room_id
        self._keys = keys
        self._lost = lost
        self._memory = Memory()

    def restore(self, tx: Transaction, received: Received, server: ServerName | None) -> StoredEvent:
        """Put back the event that a server gave, or (None) which its own row still has.

        Raises Unsound; Pause when it has read enough for one transaction: it is to be undone, and tried again.
        """
        hold_room(tx, self._room_id)
        event_id = received.encoded.event.event_id
        try:
            row = rows.find_event_row(tx, self._room_id, event_id)
            if row is None:
                self._restore_lost(self._reading(tx), received, server)
            else:
                self._restore_damaged(tx, row, received)
                if self._is_wrong(tx, event_id):
                    self._restore_anew(tx, row, received, server)
            self._check(self._reading(tx), event_id)
        except MissingNodes as missing:
            raise Unsound(f"state node {min(missing.digests).hex()[:16]} is missing") from missing
        stored = find_event(tx, event_id)
        if stored is None:
            raise Unsound("it is not here")
        return stored

    def sound_content(self, tx: Transaction, event_id: EventID) -> Received:
        """The event that the bytes of a row are. Raises Unsound unless it is the one with that ID, and signed."""
        row = rows.find_event_row(tx, self._room_id, event_id)
        if row is None:
            raise Unsound("it is not here")
        version = version_of(self._row(tx))
        is_whole = row.form not in (Form.REDACTED, Form.EXPIRED)
        try:
            event = read_stored(row.pdu, version, event_id=event_id, room_id=self._room_id, is_whole=is_whole)
        except Unsound:
            is_whole = False  # its hash was wrong when it came
            event = read_stored(row.pdu, version, event_id=event_id, room_id=self._room_id, is_whole=is_whole)
        check_signatures_of(event, event, lambda server: self._keys.of_server(tx, server), may_lack=not is_whole)
        return Received(EncodedEvent(event, row.pdu), Form.FULL if is_whole else Form.WRONG_HASH)

    def _row(self, tx: Transaction) -> RoomRow:
        row = rows.room_row(tx, self._room_id)
        if row is None:
            raise NotFound(NO_ROOM)
        return row

    def _reading(self, tx: Transaction) -> Reading:
        row = self._row(tx)
        self._memory.tidy()
        self._memory.events.clear()  # what was written of them may have been undone
        return Reading(tx, self._room_id, version_of(row), self._memory, Counts(), row.purge_horizon)

    def _check(self, reading: Reading, event_id: EventID) -> None:
        """What an audit looks at, of the event itself."""
        kept = reading.find_now(event_id)
        if kept is None:
            raise Unsound("it is not here")
        check_signatures(kept, lambda server: self._keys.of_server(reading.tx, server))
        check_standing(kept)
        noted = graph_rows.gaps_of(reading.tx, self._room_id, [event_id]).get(event_id, set())
        check_references(kept, reading.find, reading.node, noted | self._lacking(reading, kept.event), _nowhere)
        check_roots(kept, reading.find, reading.node, reading.merge)
        check_authorisation(kept, reading.find, reading.select)
        check_redaction(kept, reading.find_now, reading.select)

    def _is_wrong(self, tx: Transaction, event_id: EventID) -> bool:
        try:
            self._check(self._reading(tx), event_id)
        except Unsound:
            return True
        return False

    # --- A damaged row ---

    def _restore_anew(self, tx: Transaction, row: rows.EventRow, received: Received, server: ServerName | None) -> None:
        """What is noted beside its bytes cannot be either: but for where it stood, it is found out as of a lost one."""
        if row.given_by is not None or row.redacted_by is not None or row.form in (Form.REDACTED, Form.EXPIRED):
            raise Unsound("what was noted of it beside its content is nowhere else")
        lost_rows.take_out_of_order(tx, row.nid)
        self._restore_lost(self._reading(tx), received, server, known=row)

    @staticmethod
    def _restore_damaged(tx: Transaction, row: rows.EventRow, received: Received) -> None:
        """Its bytes, and the columns that follow from them, in the form in which it was kept."""
        encoded, form = received.encoded, Form(row.form) if row.form in tuple(Form) else Form.FULL
        if form in (Form.FULL, Form.WRONG_HASH):
            form = received.form  # it is whole now, or a redacted copy is all that there is
        elif received.form is Form.FULL:
            encoded = _redacted(encoded.event)
        lost_rows.replace_content(tx, row.nid, encoded, form)

    # --- A lost one ---

    def _restore_lost(
        self, reading: Reading, received: Received, server: ServerName | None, known: rows.EventRow | None = None
    ) -> None:
        """`known` is what its row said: its number and where it stood are believed, as far as that can be."""
        tx, event = reading.tx, received.encoded.event
        nid = self._nid(reading, event) if known is None else EventNid(known.nid)
        # Of those without a place, only what was refused has a state before it.
        was_refused = known is not None and known.has_reason and known.root_before is not None
        was_placed = was_refused or (known is not None and known.place is not None)
        root_before, given_by = self._state_before(reading, event, server, was_placed=was_placed)
        stored = StoredEvent(
            nid=nid,
            event=event,
            log_position=None,
            place=None,
            verdict=Verdict.ACCEPTED,
            form=received.form,
            redacted_by=None,
            replaces_state=None,
            thread_id=thread_id_of(event),
            transaction=None,
            root_before=root_before,
            root_after=None,
            size_bytes=len(received.encoded.pdu_json),
            root_given_by=given_by,
        )
        stand = Stand(None, None)
        if _is_refused(reading, stored):
            stored = replace(stored, verdict=Verdict.REJECTED)
        elif root_before is not None:
            traces = lost_rows.traces_of(tx, self._room_id, event.event_id, nid)
            if known is not None and known.place is not None:
                traces = lost_rows.Traces(known.place, known.log_position)
            followers, lost = self._above(reading, event.event_id)
            stand = find_stand(reading, event, followers, traces, is_last=len(lost) == 1)
            stored = replace(stored, place=stand.place, log_position=stand.log_position)
            if self._is_soft_failed(reading, stored):
                stored = replace(stored, verdict=Verdict.SOFT_FAILED)
            stored = self._with_state_after(reading, stored)
            if given_by is None and self._came_over_gap(reading, stored):
                stored = replace(stored, root_given_by=server)
        reason = None if stored.verdict is Verdict.ACCEPTED else REASON
        if known is not None:
            lost_rows.set_standing(tx, stored, verdict_reason=reason)
            return
        insert_event(tx, stored, received.encoded.pdu_json, verdict_reason=reason)
        self._redact_again(reading, stored)
        self._redact_by(reading, stored)

    def _came_over_gap(self, reading: Reading, stored: StoredEvent) -> bool:
        """Whether what it is built on can only have come from the past, after it: then its state was given."""
        if stored.log_position is None:
            return False
        for other in stored.event.prev_event_ids:
            kept = reading.find(other)
            try:
                if kept is not None:
                    check_is_history(reading, kept)
            except Unsound:
                return True
        return False

    def _redact_again(self, reading: Reading, stored: StoredEvent) -> None:
        """Have it redacted by what had redacted it; else let it be found by its words."""
        redaction_id = self._lost.redactions.get(stored.event.event_id)
        kept = reading.find_now(stored.event.event_id)
        redaction = None if redaction_id is None else reading.find_now(redaction_id)
        if stored.form is Form.FULL and kept is not None and redaction is not None:
            try:
                check_redaction(redaction, reading.find_now, reading.select)
            except Unsound:  # it redacts what is kept whole
                store_redacted(reading.tx, stored, redacted=_redacted(stored.event), by=redaction.event.event_id)
                return
        if stored.verdict is Verdict.ACCEPTED and stored.place is not None:
            index_event(reading.tx, stored.nid, stored.event, is_history=stored.log_position is None)

    def _redact_by(self, reading: Reading, stored: StoredEvent) -> None:
        """Have what it redacts redacted, if that was put back before."""
        kept = reading.find_now(stored.event.event_id)
        target_id = stored.event.redacts
        target = None if target_id is None else find_event(reading.tx, target_id)
        if kept is None or target is None:
            return
        try:
            check_redaction(kept, reading.find_now, reading.select)
        except Unsound:
            store_redacted(reading.tx, target, redacted=_redacted(target.event), by=kept.event.event_id)
            remove_event(reading.tx, target.nid, target.event)

    def _nid(self, reading: Reading, event: Event) -> EventNid:
        """The number that an event had, if edges tell; else a new one."""
        edges = lost_rows.open_edges(reading.tx, self._room_id, limit=MOST_OPEN_EDGES)
        candidates: set[int] | None = None
        for follower_id in self._lost.followers.get(event.event_id, ()):
            follower = self._find(reading, follower_id)
            if follower is not None:
                named = {
                    one.target
                    for one in edges
                    if not one.has_target and one.source == follower.nid and one.kind == EdgeKind.PREV
                }
                candidates = named if candidates is None or not candidates & named else candidates & named
        own = {one.nid for other in event.prev_event_ids if (one := reading.find(other)) is not None}
        led: dict[int, set[int]] = {}
        for edge in edges:
            if not edge.has_source and edge.has_target and edge.kind == EdgeKind.PREV:
                led.setdefault(edge.source, set()).add(edge.target)
        leading = {source for source, targets in led.items() if own and targets == own}
        if candidates is None:
            candidates = leading
        elif candidates & leading:
            candidates &= leading
        return lost_rows.free_nid(reading.tx, sorted(candidates))

    # The state before it

    def _lacking(self, reading: Reading, event: Event) -> set[EventID]:
        found = {other: reading.find(other) for other in event.prev_event_ids}
        return {other for other, one in found.items() if one is None or one.root is None}

    def _state_before(
        self, reading: Reading, event: Event, server: ServerName | None, *, was_placed: bool
    ) -> tuple[bytes | None, ServerName | None]:
        """The state before an event, None where it was known by its auth events alone; and by whom that is given."""
        if not was_placed and not self._is_placed(reading, event.event_id):
            return None, None
        if not self._lacking(reading, event):
            roots = {one.root for other in event.prev_event_ids if (one := reading.find(other)) is not None}
            known = sorted(root for root in roots if root is not None)
            merged = reading.merge(known) if len(known) > 1 else frozenset(known or [EMPTY_ROOT])
            if len(merged) > 1:
                raise Unsound("which state was before it is not certain")
            [root] = merged
            reading.check_map(root, "the state before it")
            return root, None
        if event.state_key is None:
            for follower in self._followers(reading, event):
                if follower.given_by is None and follower.event.prev_event_ids == (event.event_id,):
                    return follower.root_before, server
        raise Unsound("the state before it was another server's word, and is nowhere else")

    def _followers(self, reading: Reading, event: Event) -> list[Kept]:
        """What is built on an event right away, as far as it is here and sound."""
        found = [self._find(reading, one) for one in self._lost.followers.get(event.event_id, ())]
        return [one for one in found if one is not None]

    def _above(self, reading: Reading, event_id: EventID) -> tuple[list[Kept], set[EventID]]:
        """What is built on an event, and here: what was lost as well is passed over, and is told besides."""
        left, found = list(self._lost.followers.get(event_id, ())), list[Kept]()
        lost, seen = {event_id}, set[EventID]()
        while left:
            follower_id = left.pop()
            if follower_id in seen:
                continue
            seen.add(follower_id)
            kept = self._find(reading, follower_id)
            if kept is None:
                lost.add(follower_id)
                left += self._lost.followers.get(follower_id, ())
            else:
                found.append(kept)
        return found, lost

    @staticmethod
    def _find(reading: Reading, event_id: EventID) -> Kept | None:
        try:
            return reading.find_now(event_id)
        except Unsound:
            return None

    def _is_placed(self, reading: Reading, event_id: EventID) -> bool:
        """Whether it was a part of the room, and not known by its auth events alone."""
        followers, lost = self._above(reading, event_id)
        return any(one.root_before is not None for one in followers) or any(
            self._is_told_of(reading, one) for one in sorted(lost)
        )

    def _is_told_of(self, reading: Reading, event_id: EventID) -> bool:
        """Whether something beside other events says that one was a part of the room."""
        try:
            heads = heads_of(self._row(reading.tx))
        except Unsound:
            heads = set()
        traces = lost_rows.traces_of(reading.tx, self._room_id, event_id, None)
        shadows = graph_rows.shadows_of(reading.tx, self._room_id, [event_id])
        return event_id in heads or traces != lost_rows.Traces(None, None) or bool(shadows)

    def _is_soft_failed(self, reading: Reading, stored: StoredEvent) -> bool:
        """Whether the room had moved on without it when it came."""
        event_id = stored.event.event_id
        if graph_rows.shadows_of(reading.tx, self._room_id, [event_id]):
            return True
        if stored.log_position is None:
            return False
        return any(
            _is_refused(reading, replace(stored, root_before=root))
            for root in self._states_then(reading, stored.log_position)
        )

    def _states_then(self, reading: Reading, log_position: int) -> Iterable[bytes]:
        """The room's current state right before a position: events that came together left one for all of them."""
        logged = roots_at(reading.tx, [self._room_id], at=log_position - 1).get(self._room_id)
        last_id = lost_rows.accepted_before(reading.tx, self._room_id, log_position)
        last = None if last_id is None else reading.find(last_id)
        roots = sorted({root for root in (logged, None if last is None else last.root) if root is not None})
        return roots if len(roots) < 2 else reading.merge(roots)

    def _with_state_after(self, reading: Reading, stored: StoredEvent) -> StoredEvent:
        event, before = stored.event, stored.root_before
        if event.state_key is None or before is None:
            return stored
        key = (event.type, event.state_key)
        try:
            updated = state_map.update(reading.node, before, {key: _kept(stored).state_value})
            replaced = state_map.get(reading.node, before, *key)
        except UnknownState as unknown:
            raise Unsound("the state before it is known in part") from unknown
        store_nodes(reading.tx, self._room_id, updated.new_nodes)
        return replace(stored, root_after=updated.root, replaces_state=replaced)


def _is_refused(reading: Reading, stored: StoredEvent) -> bool:
    """Whether the rules refuse an event by its auth events, or in the state before it."""
    try:
        check_authorisation(_kept(stored), reading.find, reading.select)
    except Unsound:
        return True
    return False


def _kept(stored: StoredEvent) -> Kept:
    """An event as an audit looks at it, before it is kept."""
    return Kept(
        nid=stored.nid,
        event=stored.event,
        place=stored.place,
        log_position=stored.log_position,
        is_accepted=True,
        is_rejected=False,
        has_reason=False,
        was_accepted=False,
        is_whole=stored.form is Form.FULL,
        redacted_by=None,
        rules_content=None,
        replaces_state=None,
        root_before=stored.root_before,
        root_after=None,
        given_by=stored.root_given_by,
    )


def _redacted(event: Event) -> EncodedEvent:
    redacted = redacted_event(event)
    return EncodedEvent(redacted, encode_for(event.version, redacted.pdu))


def _nowhere(_event_id: EventID) -> bool:
    return False
