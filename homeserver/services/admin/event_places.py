"""Finds where an event stood that was lost: its place in the room's order, and its position in the log if it was news.

Rows that are about the event may tell; else it stood where something is free now, between what it is built on and what
is built on it. What else is found out of it is in event_restoring.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from homeserver.core.event import Event
from homeserver.core.event_audit import Kept, Unsound
from homeserver.services.admin.audit_reading import Reading
from homeserver.storage import lost_events as lost_rows
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import PLACE_STEP

MOST_BETWEEN: Final = 1_000
HIGHEST_PLACE: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Stand:
    """Where an event stood: both None for one that was rejected."""

    place: int | None
    log_position: int | None


def find_stand(
    reading: Reading, event: Event, followers: Sequence[Kept], traces: lost_rows.Traces, *, is_last: bool
) -> Stand:
    """Where an event stood. `followers` are built on it, `is_last`: and nothing that was lost too. Raises Unsound."""
    tx, room_id = reading.tx, reading.room_id
    places = [one.place for one in followers if one.place is not None]
    before = [one.place for other in event.prev_event_ids if (one := reading.find(other)) is not None]
    lower = max([place for place in before if place is not None], default=-HIGHEST_PLACE)
    upper = min([place for place in places if place > lower], default=HIGHEST_PLACE)
    is_news = traces.log_position is not None or _was_news(followers)
    between = lost_rows.placed_between(tx, room_id, lower=lower, upper=upper, limit=MOST_BETWEEN)
    row = rows.room_row(tx, room_id)
    last_place = 0 if row is None else row.last_place
    if upper == HIGHEST_PLACE and is_last and all(one.place < last_place for one in between):
        slots = [last_place]
    else:
        slots = _slots([one.place for one in between], lower, upper)
    if traces.place is not None:
        slots.insert(0, traces.place)
    for place in slots:
        if lower < place < upper and lost_rows.is_place_free(tx, room_id, place):
            position = _position(reading, place, traces) if is_news else None
            if position is not None or not is_news:
                return Stand(place, position)
    raise Unsound("there is no place for it between what it is built on and what is built on it")


def _was_news(followers: Sequence[Kept]) -> bool:
    """Whether it came before what is built on it: else it was brought in from the past.

    What was refused has no place, and tells nothing unless its state was given.
    """
    telling = [one for one in followers if one.place is not None or one.given_by is not None]
    came_later = [one.log_position is None or one.given_by is not None for one in telling]
    return not telling or not all(came_later)


def _position(reading: Reading, place: int, traces: lost_rows.Traces) -> int | None:
    """A position in the log that goes with a place; None if none is free."""
    tx: Transaction = reading.tx
    before, after = lost_rows.positions_around(tx, reading.room_id, place)
    least = 0 if before is None else before
    most = tx.log_position + 1 if after is None else after
    if traces.log_position is not None and least < traces.log_position < most:
        return traces.log_position
    stray = lost_rows.stray_root_between(tx, reading.room_id, after=least, before=most)
    if stray is not None:
        return stray
    return least + 1 if least + 1 < most else None


def _slots(taken: Sequence[int], lower: int, upper: int) -> list[int]:
    """Places between those that are taken, those first where one was taken away."""
    edges = list(taken) or [0]
    if edges[0] != lower:
        edges.insert(0, edges[0] - 2 * PLACE_STEP)
    if upper == HIGHEST_PLACE:
        edges.append(edges[-1] + 2 * PLACE_STEP)
    pairs = list(pairwise(edges))
    wide = [first + PLACE_STEP for first, second in pairs if second - first >= 2 * PLACE_STEP]
    narrow = [(first + second) // 2 for first, second in pairs if 1 < second - first < 2 * PLACE_STEP]
    return [*wide, *narrow]
