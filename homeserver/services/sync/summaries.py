"""The summary of a room for those who load members lazily. Spec: client-server-api/#syncing, RoomSummary"""

from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import hero_candidates, member_counts

MOST_HEROES: Final = 5
NAMES: Final = (("m.room.name", "", "name"), ("m.room.canonical_alias", "", "alias"))


@dataclass(frozen=True, slots=True)
class Summary:
    """How many are in the room, and who stands for it where it has no name."""

    heroes: tuple[UserID, ...]
    joined: int
    invited: int

    @property
    def shown(self) -> dict[str, Any]:
        """As a sync shows it."""
        counts: dict[str, Any] = {"m.joined_member_count": self.joined, "m.invited_member_count": self.invited}
        return {"m.heroes": list(self.heroes), **counts} if self.heroes else counts


def read_summary(tx: Transaction, states: RoomStates, room_id: RoomID, root: bytes, viewer: UserID) -> Summary:
    """The summary of the room, whose current state is `root`, for one of its members."""
    counts = member_counts(tx, room_id)
    heroes: tuple[UserID, ...] = ()
    named = states.select(tx, room_id, root, [(event_type, key) for event_type, key, _ in NAMES])
    if not any(
        (event := named.get((event_type, key))) is not None and event.content.get(field)
        for event_type, key, field in NAMES
    ):
        heroes = tuple(hero_candidates(tx, room_id, viewer, limit=MOST_HEROES))
    return Summary(heroes, counts.get("join", 0), counts.get("invite", 0))
