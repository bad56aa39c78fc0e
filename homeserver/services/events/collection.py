"""Deleting state nodes that no root of their room reaches any more.

As long as a room keeps its events there are none: each event names the state before it. They come to be when roots go,
as when a room's older history is purged: whoever lets roots go has the room collected afterwards. A room that is
purged as a whole needs no collection, for its nodes are its own and go with it.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import RoomID
from homeserver.runtime.logs import get_logger
from homeserver.storage.database import Database, Transaction
from homeserver.storage.kept_roots import all_kept_roots, kept_roots
from homeserver.storage.rooms import hold_room
from homeserver.storage.state_nodes import Survey, collect_surveyed, survey_nodes

NODES_PER_WRITE: Final = 500

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoomSurvey:
    """What of a room's nodes could go, and the newest event of that moment."""

    nodes: Survey
    newest_nid: int


class StateCollection:
    """Collects the state nodes of rooms."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def collect(self, room_id: RoomID) -> int:
        """Delete what no root of the room reaches: surveyed in one read, deleted in small writes. How many went."""
        try:
            surveyed = await self._database.read(survey_room, room_id)
        except MissingNodes:
            # What is below the missing ones cannot be told from garbage.
            log.exception("a room's state is damaged, so nothing of it is collected", room_id=room_id)
            return 0
        garbage, deleted = surveyed.nodes.garbage, 0
        for start in range(0, len(garbage), NODES_PER_WRITE):
            some = garbage[start : start + NODES_PER_WRITE]
            deleted += await self._database.write(delete_surveyed, room_id, surveyed, some)
        return deleted


def survey_room(tx: Transaction, room_id: RoomID) -> RoomSurvey:
    """Find out which of a room's nodes could go. Raises MissingNodes."""
    named = all_kept_roots(tx, room_id)
    return RoomSurvey(survey_nodes(tx, room_id, named.roots), named.newest_nid)


def delete_surveyed(tx: Transaction, room_id: RoomID, surveyed: RoomSurvey, some: tuple[bytes, ...]) -> int:
    """Delete some of what a survey found, but for what came to be named since; return how many went.

    An event names its roots from the beginning, and whoever adds one swaps the room's head: so roots that are new
    since the survey are those of newer events, and none is on its way while the room is held.
    """
    hold_room(tx, room_id)
    roots = kept_roots(tx, room_id, after_nid=surveyed.newest_nid)
    return collect_surveyed(tx, room_id, surveyed.nodes, some, roots)
