"""Pages of a room's history, as they lie in the database: read in either direction, until enough of them may be shown.

What of it somebody may see is asked of whoever reads: timeline.py for a room's readers, services/admin/rooms.py for
administrators.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, events_backwards, events_forwards
from homeserver.storage.relations import relations_to

LEAST_READ: Final = 20  # at once, of a history of which filters and visibility may leave little
MOST_PAGES_READ: Final = 20  # of a history that filters and visibility leave little of: whoever reads asks on
OLDEST: Final = -(2**62)  # before any place of any room

Seen: TypeAlias = tuple[StoredEvent, str]  # an event, and the membership at it of the one who sees it


@dataclass(frozen=True, slots=True)
class HistoryRange:
    """What is read: backwards from a place, or forwards from behind it, to `until` (None: to the end).

    What is above `upto_place` is not read.
    """

    room_id: RoomID
    place: int
    until: int | None
    upto_place: int
    backwards: bool


@dataclass(frozen=True, slots=True)
class RawPage:
    """Events that follow each other, and the place from which to go on."""

    events: Sequence[StoredEvent]
    next_place: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class SeenPage:
    """What may be shown of a history, and the place from which to go on."""

    seen: Sequence[Seen]
    next_place: int
    has_more: bool


def raw_page(tx: Transaction, wanted: HistoryRange, limit: int) -> RawPage:
    """The first events of a range."""
    place, until = wanted.place, wanted.until
    if wanted.backwards:
        events = events_backwards(tx, wanted.room_id, place=place, limit=limit + 1)
        inside = [stored for stored in events[:limit] if until is None or (stored.place or 0) > until]
    else:
        events = events_forwards(tx, wanted.room_id, place=place, limit=limit + 1)
        last = wanted.upto_place if until is None else min(until, wanted.upto_place)
        inside = [stored for stored in events[:limit] if (stored.place or 0) <= last]
    reached = len(inside) < len(events[:limit]) or len(events) <= limit
    return RawPage(inside, _beyond(inside[-1], wanted) if inside else place, not reached)


def seen_page(
    tx: Transaction,
    wanted: HistoryRange,
    limit: int,
    see: Callable[[Sequence[StoredEvent]], Sequence[Seen]],
    *,
    least_read: int = LEAST_READ,
) -> SeenPage:
    """The first events of a range of which `see` leaves so many; fewer where it leaves little of much."""
    seen: list[Seen] = []
    rest, has_more = wanted, True
    for number in range(MOST_PAGES_READ):
        lacking = limit - len(seen)
        raw = raw_page(tx, rest, max(lacking, least_read) if number else lacking)
        found = see(raw.events)
        seen += found[:lacking]
        place, has_more = raw.next_place, raw.has_more
        if len(found) > lacking:
            place, has_more = _beyond(seen[-1][0], wanted) if seen else wanted.place, True
        rest = HistoryRange(wanted.room_id, place, wanted.until, wanted.upto_place, wanted.backwards)
        if not has_more or len(seen) >= limit:
            break
    return SeenPage(seen, rest.place, has_more)


def wanted_events(
    tx: Transaction, room_id: RoomID, events: Sequence[StoredEvent], event_filter: RoomEventFilter
) -> list[StoredEvent]:
    """Those of a room's events that a filter lets pass."""
    if event_filter.is_default:
        return list(events)
    ids = [stored.event.event_id for stored in events]
    children = relations_to(tx, room_id, ids) if event_filter.needs_relations else {}
    return [
        stored
        for stored in events
        if event_filter.matches(
            event_type=stored.event.type,
            sender=stored.event.sender,
            room_id=room_id,
            has_url="url" in stored.event.content,
            children=children.get(stored.event.event_id, ()),
        )
    ]


def _beyond(stored: StoredEvent, wanted: HistoryRange) -> int:
    """From where to go on after an event."""
    place = stored.place or 0
    return place - 1 if wanted.backwards else place
