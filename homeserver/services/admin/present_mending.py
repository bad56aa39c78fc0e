"""Puts right where a room stands: its heads, its numbers, its current state, and the log of its states.

All of that follows from the events in the order in which they were news, which were checked before. A state is never
made up: it is the one after events that are here, and all of it is stored.
"""

from typing import Final

from homeserver.core.event_audit import Kept, Unsound, is_merged
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.services.admin.audit_reading import Reading
from homeserver.services.admin.graph_audit import HeadFollowing
from homeserver.services.admin.room_audit import heads_of
from homeserver.storage import graph_audit as graph_rows
from homeserver.storage import room_audit as rows
from homeserver.storage import room_mending as mending
from homeserver.storage.room_audit import RoomRow
from homeserver.storage.rooms import insert_root

ROWS_PER_PAGE: Final = 200


class PresentMending:
    """Follows a room from event to event, and then puts its row right. Raises Unsound where that cannot be."""

    def __init__(self, room_id: RoomID, server_name: ServerName) -> None:
        self.subject = "the room"
        self._room_id = room_id
        self._following = HeadFollowing(server_name)
        self._last_place = 0
        self._wrong: dict[int, bytes] = {}  # by position, the states that ought to be in the log
        self._since: tuple[bytes, int] | None = None  # the state after the last events, and from which position on

    def follow(self, reading: Reading, kept: Kept) -> None:
        """Go on by one event. Which rows of the log of states are wrong is remembered."""
        following, position = self._following, kept.log_position
        following.follow(reading, kept, None)
        if position is None:
            return
        self._last_place = kept.place or 0
        if following.certain != following.possible:
            self._since = None
            return
        roots = _roots_after(reading, following.certain)
        right = _merged(reading, roots)
        if right is None:
            self._since = None
        elif self._since is None or self._since[0] != right:
            self._since = (right, position)
        noted = rows.roots_at_positions(reading.tx, self._room_id, [position]).get(position)
        if noted is None or is_merged(noted, roots, reading.merge):
            return
        self.subject = f"the state at position {position}"
        if right is None:
            raise Unsound("another one is noted, and which one it was is not certain")
        reading.check_map(right, "the state that it ought to be")
        self._wrong[position] = right

    def mend_row(self, reading: Reading, row: RoomRow) -> int:
        """The room's heads, its numbers, and its current state; how many were put right."""
        self.subject = "the room"
        following, mended = self._following, 0
        heads = self._heads(reading, row)
        if heads is None:
            _check_nothing_is_left_out(reading)
            heads = set(following.certain)
            self._check_known(reading, row, heads)
            mending.set_heads(reading.tx, self._room_id, _in_order(reading, heads))
            mended += 1
        if (row.depth, row.last_place) != (following.depth, self._last_place):
            _check_nothing_is_left_out(reading)
            mending.set_numbers(reading.tx, self._room_id, depth=following.depth, last_place=self._last_place)
            mended += 1
        self.subject = "the current state"
        roots = _roots_after(reading, heads)
        if is_merged(row.current_root, roots, reading.merge):
            return mended
        newest = rows.newest_root(reading.tx, self._room_id)
        if newest is None or not is_merged(newest, roots, reading.merge):
            newest = _merged(reading, roots)
        if newest is None:
            raise Unsound("neither the room's row nor the log of states has the one after the room's last events")
        reading.check_map(newest, "the state after the room's last events")
        mending.set_current_root(reading.tx, self._room_id, newest)
        return mended + 1

    def mend_log(self, reading: Reading, row: RoomRow, now_ms: int) -> int:
        """The log of states, of which the newest is the current one; how many of its rows were put right."""
        tx, room_id, mended = reading.tx, self._room_id, 0
        self.subject = "the log of states"
        if self._wrong:
            _check_nothing_is_left_out(reading)
        for position, root in self._wrong.items():
            mending.set_root(tx, room_id, log_position=position, root=root)
        mended += len(self._wrong)
        before: bytes | None = None
        position = -(1 << 62)
        while page := rows.root_rows(tx, room_id, after=position, limit=ROWS_PER_PAGE):
            for one in page:
                position = one.log_position
                if one.has_event:
                    before = one.root
                elif one.root == before:
                    _check_nothing_is_left_out(reading)
                    mended += mending.delete_root(tx, room_id, log_position=position)
                else:
                    raise Unsound(f"that of position {position} is no event's, and may be all that tells of one")
        newest = rows.newest_root(tx, room_id)
        if newest == row.current_root or (newest is None and row.current_root == EMPTY_ROOT):
            return mended
        if self._since is None or self._since[0] != row.current_root:
            raise Unsound("the newest one is not the current one, and since when that has been so is not certain")
        insert_root(tx, room_id, log_position=self._since[1], root=row.current_root, written_ms=now_ms)
        if rows.newest_root(tx, room_id) != row.current_root:
            raise Unsound("a newer one than the current one is noted")
        return mended + 1

    def _check_known(self, reading: Reading, row: RoomRow, heads: set[EventID]) -> None:
        """Raise Unsound where these heads lead to a state of which nothing else knows: then events are wrong."""
        roots = _roots_after(reading, heads)
        newest = rows.newest_root(reading.tx, self._room_id)
        if not any(root is not None and is_merged(root, roots, reading.merge) for root in (row.current_root, newest)):
            raise Unsound(f"its heads are wrong, and so is its state if they are {min(heads, default=None)}")

    def _heads(self, reading: Reading, row: RoomRow) -> set[EventID] | None:
        """The room's heads, if those are right that are noted; None: they are those that were followed."""
        try:
            heads = heads_of(row)
            self._following.check(reading, heads)
        except Unsound:
            following = self._following
            if following.certain != following.possible:
                raise
            following.check(reading, following.certain)
            return None
        return heads


def _check_nothing_is_left_out(reading: Reading) -> None:
    """Raise Unsound where an event that was not followed may have been news: then nothing is certain."""
    left_out = graph_rows.unproven_history(reading.tx, reading.room_id, purge_horizon=reading.purge_horizon)
    if left_out is not None:
        raise Unsound(f"it follows from all events that were news, and whether {left_out} was is not certain")


def _roots_after(reading: Reading, heads: set[EventID]) -> list[bytes]:
    """The states after some events."""
    found = [reading.find(head) for head in sorted(heads)]
    return [one.root for one in found if one is not None and one.root is not None]


def _merged(reading: Reading, roots: list[bytes]) -> bytes | None:
    """The state after several events by those after each; None where that is not certain."""
    different = set(roots)
    merged = frozenset(different or {EMPTY_ROOT}) if len(different) < 2 else reading.merge(roots)
    return next(iter(merged)) if len(merged) == 1 else None


def _in_order(reading: Reading, heads: set[EventID]) -> list[EventID]:
    """Heads as they came."""
    positions = {head: kept.log_position or 0 for head in heads if (kept := reading.find(head)) is not None}
    return sorted(heads, key=lambda head: (positions.get(head, 0), head))
