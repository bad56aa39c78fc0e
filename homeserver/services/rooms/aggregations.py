"""What is told of an event's children with the event itself: its newest edit, its thread, what references it.

Spec: client-server-api/#aggregations-of-child-events. All events of a page are looked up together; a page to which
nothing relates costs one statement. The children themselves, page by page, are in relations.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.relations import REFERENCE, REPLACEMENT, THREAD, may_be_thread_root, newest_replacement
from homeserver.services.events.client_format import NOTHING_RELATES, ClientFormat, Sight, Viewer
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.readers import Readers
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.relations import (
    ChildCount,
    Children,
    child_counts,
    first_references,
    newest_edits,
    newest_in_threads,
    thread_events_at,
    threads_with,
)

MOST_EDITS_TRIED: Final = 5  # of one event: whoever sends more edits in a row that are none is shown none
MOST_REFERENCES: Final = 100  # of one event: more are to be had page by page
MOST_LOOKED_AT: Final = 100  # of one thread, for a reader who may not see each of its events
MOST_CHILDREN: Final = 2_000  # of all events of a page

Aggregated = Mapping[EventID, Mapping[str, Any]]  # Any: JSON and fragments of it


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Who looks at a room: what they see of it, up to which place at most, and whose messages they do not want."""

    viewer: Viewer
    room_id: RoomID
    sight: Sight
    upto_place: int
    ignored: frozenset[str]


class Aggregations:
    """Aggregates the children of events."""

    def __init__(self, readers: Readers, states: RoomStates, formats: ClientFormat) -> None:
        self._readers = readers
        self._states = states
        self._formats = formats

    def of(self, tx: Transaction, onlooker: Onlooker, events: Sequence[StoredEvent]) -> Aggregated:
        """The `m.relations` of these events of a room, which the onlooker may see; of those alone that have any."""
        return self._of(tx, onlooker, events, with_threads=True)

    def shown(
        self,
        tx: Transaction,
        onlooker: Onlooker,
        seen: Sequence[tuple[StoredEvent, str]],
        relations: Aggregated | None = None,
    ) -> list[orjson.Fragment]:
        """Events that the onlooker sees, each given with their membership at it, as clients are shown them.

        `relations` is what `of` says of them, for whoever has asked it.
        """
        events = [stored for stored, _ in seen]
        memberships = {stored.event.event_id: membership for stored, membership in seen}
        known = self.of(tx, onlooker, events) if relations is None else relations
        return self._rendered(tx, onlooker, events, memberships, known)

    def _of(
        self, tx: Transaction, onlooker: Onlooker, events: Sequence[StoredEvent], *, with_threads: bool
    ) -> Aggregated:
        # State has no aggregations.
        parents = {one.event.event_id: one for one in events if one.event.state_key is None and one.place is not None}
        counts = child_counts(tx, _children(onlooker, parents))
        if not counts:
            return NOTHING_RELATES
        sees_all = self._readers.sees_all(
            tx, onlooker.room_id, onlooker.sight, from_place=min(parents[one].place or 0 for one in counts)
        )
        found: dict[EventID, dict[str, Any]] = {}
        edited = [parents[one] for one in counts if REPLACEMENT in counts[one]]
        for event_id, edit in self._edits(tx, onlooker, edited).items():
            found.setdefault(event_id, {})[REPLACEMENT] = edit
        referenced = [one for one in counts if REFERENCE in counts[one]]
        for event_id, referring in self._references(tx, onlooker, referenced, sees_all=sees_all).items():
            found.setdefault(event_id, {})[REFERENCE] = {"chunk": [{"event_id": one} for one in referring]}
        if with_threads:
            threads = {
                one: counts[one][THREAD] for one in counts if THREAD in counts[one] and _may_be_root(parents[one])
            }
            for event_id, thread in self._threads(tx, onlooker, parents, threads, sees_all=sees_all).items():
                found.setdefault(event_id, {})[THREAD] = thread
        return found

    def _edits(
        self, tx: Transaction, onlooker: Onlooker, edited: Sequence[StoredEvent]
    ) -> dict[EventID, orjson.Fragment]:
        """The newest edit of each event that has a valid one and is not redacted."""
        originals = {one.event.event_id: one.event for one in edited if not one.form.is_given_up}
        tried = newest_edits(tx, _children(onlooker, originals), most=MOST_EDITS_TRIED)
        seen, memberships = self._seen(tx, onlooker, tried)
        newest = {
            event_id: edit
            for event_id, candidates in seen.items()
            if (edit := newest_replacement(originals[event_id], [one.event for one in candidates])) is not None
        }
        chosen = [one for event_id in newest for one in seen[event_id] if one.event is newest[event_id]]
        return dict(zip(newest, self._rendered(tx, onlooker, chosen, memberships), strict=True))

    def _references(
        self, tx: Transaction, onlooker: Onlooker, referenced: Sequence[EventID], *, sees_all: bool
    ) -> Mapping[EventID, Sequence[EventID]]:
        found = first_references(tx, _children(onlooker, referenced), most=MOST_REFERENCES, limit=MOST_CHILDREN)
        if sees_all:
            return found
        seen, _ = self._seen(tx, onlooker, found)
        return {event_id: [one.event.event_id for one in children] for event_id, children in seen.items()}

    def _threads(
        self,
        tx: Transaction,
        onlooker: Onlooker,
        parents: Mapping[EventID, StoredEvent],
        counts: Mapping[EventID, ChildCount],
        *,
        sees_all: bool,
    ) -> dict[EventID, dict[str, Any]]:
        """What is told of each thread: only what the onlooker sees of it counts, as far as that can be found out."""
        if not counts:
            return {}
        if sees_all:
            newest = thread_events_at(tx, onlooker.room_id, {one: counts[one].latest_place for one in counts})
        else:
            asked = _children(onlooker, counts)
            newest = newest_in_threads(tx, asked, most=MOST_LOOKED_AT, limit=MOST_CHILDREN)
        seen, memberships = self._seen(tx, onlooker, newest)
        latest = [children[0] for children in seen.values()]
        user_id = onlooker.viewer.user_id
        taken_part = threads_with(tx, onlooker.room_id, list(seen), user_id)
        # A thread's event has no thread of its own: this goes no deeper.
        inner = self._of(tx, onlooker, latest, with_threads=False)
        rendered = self._rendered(tx, onlooker, latest, memberships, inner)
        threads = {}
        for event_id, event in zip(seen, rendered, strict=True):
            hidden = len(newest[event_id]) - len(seen[event_id])
            threads[event_id] = {
                "latest_event": event,
                "count": counts[event_id].number - hidden,
                "current_user_participated": event_id in taken_part or parents[event_id].event.sender == user_id,
            }
        return threads

    def _seen(
        self, tx: Transaction, onlooker: Onlooker, children: Mapping[EventID, Sequence[EventID]]
    ) -> tuple[dict[EventID, list[StoredEvent]], dict[EventID, str]]:
        """Those of the children that the onlooker sees, by their parent, and the onlooker's membership at each."""
        stored = self._states.load(tx, [one for some in children.values() for one in some])
        visible = self._readers.in_sight(
            tx, onlooker.room_id, onlooker.viewer.user_id, list(stored.values()), onlooker.sight
        )
        memberships = {one.event.event_id: membership for one, membership in visible}
        seen = {parent: [stored[one] for one in some if one in memberships] for parent, some in children.items()}
        return {parent: some for parent, some in seen.items() if some}, memberships

    def _rendered(
        self,
        tx: Transaction,
        onlooker: Onlooker,
        events: Sequence[StoredEvent],
        memberships: Mapping[EventID, str],
        relations: Aggregated = NOTHING_RELATES,
    ) -> list[orjson.Fragment]:
        return self._formats.render(
            tx,
            events,
            onlooker.viewer,
            with_room_id=True,
            memberships=memberships,
            sight=onlooker.sight,
            relations=relations,
        )


def _children(onlooker: Onlooker, parents: Collection[EventID]) -> Children:
    return Children(onlooker.room_id, list(parents), onlooker.upto_place, onlooker.ignored)


def _may_be_root(stored: StoredEvent) -> bool:
    """What was in a thread before it was redacted begins none after."""
    return stored.thread_id is None and may_be_thread_root(stored.event.content)
