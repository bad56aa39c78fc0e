"""Deleting state nodes that no root of their room reaches any more.

Each event names the state before it, and so keeps it. But a current state that was merged from several heads is named
by the log of states alone, which is short: such a room is noted when that state is replaced, and collected when the
state has left the log. Who purges older history of a room collects it afterwards. A room that is purged as a whole
needs no collection, for its nodes are its own and go with it. One of which the rest is looked for is not collected: a
whole state is stored in slices before anything names it (completion.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import RoomID
from homeserver.core.slices import slices
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.storage.collectable_rooms import find_collectable, note_collectable, note_collected
from homeserver.storage.database import Database, Transaction
from homeserver.storage.kept_roots import NamedRoots, all_kept_roots, count_stateless, kept_roots
from homeserver.storage.partial_rooms import find_partial_room
from homeserver.storage.rooms import SYNC_HORIZON_MS, hold_room
from homeserver.storage.state_nodes import Survey, collect_surveyed, survey_nodes

NODES_PER_WRITE: Final = 500
MOST_SURVEYS: Final = 3  # of a room in one turn

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoomSurvey:
    """What of a room's nodes could go, and what named them at that moment."""

    nodes: Survey
    named: NamedRoots


class StateCollection:
    """Collects the state nodes of rooms."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def collect_due(self) -> int:
        """Collect the rooms of which a merged state has left the log of states; how many nodes went."""
        before_ms = self._clock.now_ms() - SYNC_HORIZON_MS
        deleted = 0
        while (room_id := await self._database.read(find_collectable, before_ms)) is not None:
            deleted += await self.collect(room_id)
            await self._database.write(note_collected, room_id, before_ms)
        return deleted

    async def collect(self, room_id: RoomID) -> int:
        """Delete what no root of the room reaches: surveyed in one read, deleted in small writes. How many went.

        A room that does not keep still for so long gets another turn.
        """
        deleted = 0
        for _ in range(MOST_SURVEYS):
            try:
                surveyed = await self._database.read(survey_room, room_id)
            except MissingNodes:
                # What is below the missing ones cannot be told from garbage.
                log.exception("a room's state is damaged, so nothing of it is collected", room_id=room_id)
                return deleted
            if surveyed is None:
                break
            garbage = surveyed.nodes.garbage
            for some in slices(garbage, NODES_PER_WRITE):
                gone = await self._database.write(delete_surveyed, room_id, surveyed, some)
                if gone is None:
                    break
                deleted += gone
            else:
                return deleted
        await self._database.write(note_collectable, room_id, self._clock.now_ms())
        return deleted


def survey_room(tx: Transaction, room_id: RoomID) -> RoomSurvey | None:
    """Find out which of a room's nodes could go; None while the rest of it is looked for. Raises MissingNodes."""
    if find_partial_room(tx, room_id) is not None:
        return None
    named = all_kept_roots(tx, room_id)
    return RoomSurvey(survey_nodes(tx, room_id, named.roots), named)


def delete_surveyed(tx: Transaction, room_id: RoomID, surveyed: RoomSurvey, some: Sequence[bytes]) -> int | None:
    """Delete some of what a survey found, but for what came to be named since; return how many went.

    Whoever names a root swaps the room's head, so none is on its way while the room is held; and roots that are new
    since the survey are those of newer events. None, and nothing done, when an event that was known before was given
    its states since, or the rest of the room is looked for: for that the room must be surveyed anew.
    """
    hold_room(tx, room_id)
    named = surveyed.named
    if find_partial_room(tx, room_id) is not None:
        return None
    if count_stateless(tx, room_id, upto_nid=named.newest_nid) != named.stateless:
        return None
    return collect_surveyed(tx, room_id, surveyed.nodes, some, kept_roots(tx, room_id, after_nid=named.newest_nid))
