"""Finds the events of a room that ought to be here and are not, and those whose own rows are damaged.

Lost is what other events of the room are built on or authorised by, what is said to be a head of it, and by what
somebody is a member, and that is not noted as missing. Damaged is a row that is not that of the event with its ID, or
that its servers have not signed so, or that says of the event what cannot be. It goes in slices as the audit does
(room_audit.py). How they are put back is in event_restoring.py.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any, Final

from homeserver.core.errors import MissingNodes
from homeserver.core.event import Event
from homeserver.core.event_audit import (
    Kept,
    Unsound,
    check_authorisation,
    check_redaction,
    check_roots,
    check_signatures,
    check_standing,
)
from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.admin.audit_reading import Counts, Memory, Pause, Reading
from homeserver.services.admin.room_audit import (
    BEFORE_ALL,
    EVENTS_PER_SLICE,
    KnownKeys,
    heads_of,
    version_of,
)
from homeserver.services.errors import NotFound
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage import graph_audit as graph_rows
from homeserver.storage import lost_events as lost_rows
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.room_audit import EventRow

MOST_LOST: Final = 200  # that are looked for at once; others come in another repair


@dataclass(slots=True)
class Lost:
    """What was found: lost events, damaged ones with what is wrong with them, and what is said of both elsewhere."""

    event_ids: dict[EventID, None] = field(default_factory=dict)  # in the order in which they were found
    damaged: dict[EventID, str] = field(default_factory=dict)
    followers: dict[EventID, list[EventID]] = field(default_factory=dict)  # what is built on them
    redactions: dict[EventID, EventID] = field(default_factory=dict)  # by what lost ones were redacted
    hashes: dict[EventID, set[str]] = field(default_factory=dict)  # by which they are named, where IDs are no hashes

    @property
    def wanted(self) -> list[EventID]:
        """All of them, as many as are looked for at once."""
        return [*self.damaged, *self.event_ids][:MOST_LOST]

    def hashes_of(self, event_id: EventID) -> frozenset[str]:
        """By which hashes it is named."""
        return frozenset(self.hashes.get(event_id, ()))


class LostEvents:
    """One search in one room."""

    def __init__(self, room_id: RoomID, keys: KnownKeys) -> None:
        self.found: Final = Lost()
        self._room_id = room_id
        self._keys = keys
        self._place: int | None = BEFORE_ALL
        self._nid = BEFORE_ALL
        self._memory = Memory()
        self._redacted: dict[EventID, EventID] = {}

    def go_on(self, tx: Transaction) -> bool:
        """Go through the next slice; False when there is no more. Raises NotFound, Unsound.

        One may be gone through more than once.
        """
        row = rows.room_row(tx, self._room_id)
        if row is None:
            raise NotFound(NO_ROOM)
        self._memory.tidy()
        reading = Reading(tx, self._room_id, version_of(row), self._memory, Counts(), row.purge_horizon)
        if self._place is not None:
            page = rows.placed_events(tx, self._room_id, after=self._place, limit=EVENTS_PER_SLICE)
        else:
            page = rows.unplaced_events(tx, self._room_id, after=self._nid, limit=EVENTS_PER_SLICE)
        try:
            self._look_at(reading, page)
        except Pause:
            return True
        is_last = len(page) < EVENTS_PER_SLICE
        if self._place is None:
            self._nid = page[-1].nid if page else self._nid
            if is_last:
                self._look_beside(reading, row)
            return not is_last
        self._place = None if is_last else page[-1].place
        return True

    def _look_at(self, reading: Reading, page: list[EventRow]) -> None:
        gaps = graph_rows.gaps_of(reading.tx, self._room_id, [one.event_id for one in page])
        named: dict[EventID, None] = {}
        for event_row in page:
            try:
                kept = reading.keep(event_row)
                check_signatures(kept, lambda server: self._keys.of_server(reading.tx, server))
            except Unsound as unsound:
                self.found.damaged[event_row.event_id] = unsound.reason
                continue
            lacked = gaps.get(event_row.event_id, set())
            named.update(dict.fromkeys(self._named(kept, lacked)))
            with contextlib.suppress(MissingNodes):  # states are not put back
                self._check_stand(reading, kept)
        self._note_lost(reading, named)

    def _check_stand(self, reading: Reading, kept: Kept) -> None:
        """Note that what is said of an event beside its bytes cannot be, if nothing is lost that it rests on."""
        try:
            check_standing(kept)
            for root in (kept.root_before, kept.root_after):
                if root is not None:
                    reading.check_map(root, "a state around it")
            check_roots(kept, reading.find, reading.node, reading.merge)
            check_authorisation(kept, reading.find, reading.select)
            check_redaction(kept, reading.find_now, reading.select)
        except Unsound as unsound:
            rests_on = {*kept.event.prev_event_ids, *kept.event.auth_event_ids}
            rests_on |= set() if kept.redacted_by is None else {kept.redacted_by}
            if rests_on.isdisjoint(self.found.damaged) and rests_on <= lost_rows.events_here(reading.tx, rests_on):
                self.found.damaged[kept.event.event_id] = unsound.reason

    def _named(self, kept: Kept, lacked: set[EventID]) -> list[EventID]:
        """What an event names that ought to be here. What is said of it is noted."""
        event = kept.event
        if kept.counts_as_redaction and event.redacts is not None:
            self._redacted.setdefault(event.redacts, event.event_id)
        if not event.version.event_ids_are_hashes:
            self._note_hashes(event)
        others = [*event.auth_event_ids, *([] if kept.redacted_by is None else [kept.redacted_by])]
        if kept.root_before is None:
            return others
        for other in event.prev_event_ids:
            followers = self.found.followers.setdefault(other, [])
            if event.event_id not in followers:
                followers.append(event.event_id)
        return [*others, *(other for other in event.prev_event_ids if other not in lacked)]

    def _note_hashes(self, event: Event) -> None:
        named: list[Any] = [*event.pdu["prev_events"], *event.pdu["auth_events"]]  # Any: JSON
        for event_id, hashes in named:
            if isinstance(digest := hashes.get("sha256"), str):
                self.found.hashes.setdefault(event_id, set()).add(digest.rstrip("="))

    def _note_lost(self, reading: Reading, named: dict[EventID, None]) -> None:
        here = lost_rows.events_here(reading.tx, named.keys())
        self.found.event_ids.update((one, None) for one in named if one not in here)

    def _look_beside(self, reading: Reading, row: rows.RoomRow) -> None:
        with contextlib.suppress(Unsound):  # then what they are follows from the events
            self._note_lost(reading, dict.fromkeys(sorted(heads_of(row))))
        beside = lost_rows.named_beside(reading.tx, self._room_id, limit=MOST_LOST)
        self.found.event_ids.update(dict.fromkeys(beside))
        found = self.found
        lost = found.event_ids.keys() | found.damaged.keys()
        absent = self._redacted.keys() - lost_rows.events_here(reading.tx, self._redacted.keys())
        found.redactions = {target: self._redacted[target] for target in absent | (self._redacted.keys() & lost)}
        found.followers = {one: followers for one, followers in found.followers.items() if one in lost}
        found.hashes = {one: hashes for one, hashes in found.hashes.items() if one in lost}
