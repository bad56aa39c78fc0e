"""The summaries of rooms: how many are in each, and who stands for one without a name.

Spec: client-server-api/#syncing, RoomSummary
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.state_map import StateKey
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import hero_candidates, member_counts_of_rooms

MOST_HEROES: Final = 5
NAMES: Final[Mapping[StateKey, str]] = {("m.room.name", ""): "name", ("m.room.canonical_alias", ""): "alias"}
NAMING_TYPES: Final = frozenset(event_type for event_type, _ in NAMES)


@dataclass(frozen=True, slots=True)
class Summary:
    """How many are in the room, None where that is not known; who stands for it, None where it has a name."""

    heroes: tuple[UserID, ...] | None
    joined: int | None
    invited: int | None

    @property
    def shown(self) -> dict[str, Any]:
        """As a sync shows it."""
        parts: dict[str, Any] = {
            "m.heroes": None if self.heroes is None else list(self.heroes),
            "m.joined_member_count": self.joined,
            "m.invited_member_count": self.invited,
        }
        return {name: part for name, part in parts.items() if part is not None}


def read_summaries(
    tx: Transaction,
    states: RoomStates,
    roots: Mapping[RoomID, bytes],
    viewer: UserID,
    partial: Collection[RoomID] = (),
) -> dict[RoomID, Summary]:
    """The summaries of these rooms, whose current states are `roots`, for one of their members.

    Of those that are `partial` it is not known how many are in them; of their members those are named who are known to
    be in the state, and can be shown.
    """
    nameless = [room_id for room_id, root in roots.items() if not _has_name(tx, states, room_id, root)]
    counts = member_counts_of_rooms(tx, list(roots))
    whole = [room_id for room_id in nameless if room_id not in partial]
    heroes = hero_candidates(tx, whole, viewer, limit=MOST_HEROES) if whole else {}
    heroes |= {
        room_id: _known_heroes(tx, states, room_id, roots[room_id], viewer)
        for room_id in nameless
        if room_id in partial
    }
    unnamed = frozenset(nameless)
    return {
        room_id: Summary(
            tuple(heroes.get(room_id, ())) if room_id in unnamed else None,
            None if room_id in partial else counts.get(room_id, {}).get("join", 0),
            None if room_id in partial else counts.get(room_id, {}).get("invite", 0),
        )
        for room_id in roots
    }


def was_renamed(tx: Transaction, states: RoomStates, room_id: RoomID, before: bytes, after: bytes) -> bool:
    """Whether a room got or lost a name between two states: then its heroes may be needed."""
    if before == after:
        return False
    return any(states.event_id(tx, room_id, before, *key) != states.event_id(tx, room_id, after, *key) for key in NAMES)


def _known_heroes(tx: Transaction, states: RoomStates, room_id: RoomID, root: bytes, viewer: UserID) -> list[UserID]:
    members = states.of_type(tx, room_id, root, "m.room.member", as_far_as_known=True)
    found = [
        (one.place or 0, UserID(one.event.state_key or ""))
        for one in members
        if one.event.content.get("membership") in ("join", "invite")
    ]
    return [user_id for _, user_id in sorted(found) if user_id != viewer][:MOST_HEROES]


def _has_name(tx: Transaction, states: RoomStates, room_id: RoomID, root: bytes) -> bool:
    named = states.select(tx, room_id, root, NAMES)
    return any(_says(named.get(key), field) for key, field in NAMES.items())


def _says(event: Event | None, field: str) -> bool:
    value = None if event is None else event.content.get(field)
    return isinstance(value, str) and value != ""
