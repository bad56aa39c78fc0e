"""The states that a write to a room makes: only what is new of them is stored, when the write is finished."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from homeserver.core import state_map
from homeserver.core.event import Event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import Absence, Nodes, StateKey
from homeserver.core.state_nodes import HashedEventID, Node
from homeserver.services.errors import RoomIsPartial
from homeserver.services.events.room_state import RoomStates
from homeserver.services.events.state_merging import Overlay, StateMerging
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.storage.events import StoredEvent
from homeserver.storage.state_nodes import store_nodes

T = TypeVar("T")
Entry = EventID | HashedEventID
MEMBER: Final = "m.room.member"
NO_EVENTS: Final[Mapping[EventID, StoredEvent]] = {}


class StatesInMaking:
    """States of one room by their roots: those that are stored, and those made in this write."""

    def __init__(self, at_hand: EventsAtHand, version: RoomVersion, states: RoomStates, merging: StateMerging) -> None:
        self.has_merged = False  # some heads had different states
        self._tx = at_hand.tx
        self._room_id = at_hand.room_id
        self._at_hand = at_hand
        self._version = version
        self._states = states
        self._merging = merging
        self._new: dict[bytes, bytes] = {}
        self._parsed: dict[bytes, Node] = {}

    def select(self, root: bytes, keys: Iterable[StateKey], *, for_rules: bool = False) -> dict[StateKey, Event]:
        """The state events under these keys; `for_rules`: as the authorisation rules are to see them."""
        return self._states.select(
            self._tx,
            self._room_id,
            root,
            keys,
            fresh=self._parsed,
            new_events=self._at_hand.known,
            for_rules=for_rules,
        )

    def whole(self, root: bytes) -> dict[StateKey, EventID] | None:
        """All entries of a state; None if some are not known here."""
        return self._ask(lambda nodes: dict(state_map.items(nodes, root))) if self.is_whole(root) else None

    def is_whole(self, root: bytes) -> bool:
        """Whether all of a state is known."""
        return self._states.is_whole(self._tx, self._room_id, root, self._parsed)

    def difference(self, before: bytes, after: bytes) -> Mapping[StateKey, tuple[EventID | None, EventID | None]]:
        """What differs between two states: (before, after) for each key."""
        return self._states.difference(self._tx, self._room_id, before, after, self._parsed)

    def members_root(self, root: bytes) -> bytes:
        """The digest of the members in a state."""
        return self._states.subtree_root(self._tx, self._room_id, root, MEMBER, self._parsed)

    def members_looked_up(self, root: bytes, user_ids: Iterable[str]) -> dict[str, Entry | Absence]:
        """What a state, which may be known in part, says of each of these users."""
        asked = tuple(user_ids)
        return self._ask(lambda nodes: {one: state_map.lookup(nodes, root, MEMBER, one) for one in asked})

    def add(self, entries: Mapping[StateKey, Entry]) -> bytes:
        """Keep a whole state that another server tells of; its root."""
        return self.change(state_map.EMPTY_ROOT, entries)

    def change(self, root: bytes, changes: Mapping[StateKey, Entry | None]) -> bytes:
        """Keep a state that another server tells of by what is different from one that is here; its root."""
        return self._keep(lambda nodes: state_map.update(nodes, root, changes))

    def add_partial(self, entries: Mapping[StateKey, Entry | None]) -> bytes:
        """Keep a state of which members may be missing; its root. None: there is no such entry."""
        told = self.add({key: entry for key, entry in entries.items() if entry is not None})
        opened = self._keep(lambda nodes: state_map.leave_open(nodes, told, [MEMBER]))
        absent: dict[StateKey, Entry | None] = {key: None for key, entry in entries.items() if entry is None}
        return self._keep(lambda nodes: state_map.update(nodes, opened, absent))

    def after(self, root: bytes, event: Event) -> bytes:
        """The root of the state with a state event in it."""
        return self._keep(lambda nodes: state_map.update(nodes, root, {_key(event): state_entry_of(event)}))

    def replaced_by(self, root: bytes, event: Event) -> EventID | None:
        """The event in a state whose place a state event would take."""
        return self._ask(lambda nodes: state_map.get(nodes, root, *_key(event)))

    def merged(
        self,
        event_ids: Iterable[EventID],
        fresh: Mapping[EventID, StoredEvent] = NO_EVENTS,
        given_root: bytes | None = None,
    ) -> bytes:
        """The state after several events: what one that is built on all of them has before it.

        `given_root` stands for the state after those that are not here. Raises NotMerged, RoomIsPartial.
        """
        known = {**self._at_hand.load(event_id for event_id in event_ids if event_id not in fresh), **fresh}
        roots = {root for stored in known.values() if (root := stored.root) is not None}
        roots |= set() if given_root is None else {given_root}
        if not roots:
            return state_map.EMPTY_ROOT
        if len(roots) > 1 and not all(self.is_whole(root) for root in roots):
            raise RoomIsPartial(self._room_id)  # what is not known would be taken for what does not exist
        overlay = Overlay(self._parsed, {**self._at_hand.added, **fresh})
        merged = self._merging.merge(self._tx, self._room_id, self._version, roots, overlay)
        self.has_merged |= len(roots) > 1
        self._new.update(merged.new_nodes)
        self._parsed.update(merged.parsed)
        return merged.root

    def store(self) -> None:
        """Write what is new."""
        store_nodes(self._tx, self._room_id, self._new)

    def remember(self) -> None:
        """Let what was committed be found in memory."""
        self._states.keep_nodes(self._parsed)

    def _ask(self, question: Callable[[Nodes], T]) -> T:
        return self._states.with_nodes(self._tx, self._room_id, question, self._parsed)

    def _keep(self, change: Callable[[Nodes], state_map.Updated]) -> bytes:
        """The root of a new state, whose nodes are stored with the rest."""
        updated = self._ask(change)
        self._new.update(updated.new_nodes)
        self._parsed.update(updated.parsed)
        return updated.root


def state_entry_of(event: Event) -> Entry:
    """What a state holds of an event: in room versions 1 and 2, where IDs are given at will, its hash too."""
    if event.version.event_ids_are_hashes:
        return event.event_id
    return HashedEventID(event.event_id, reference_hash(event.pdu, event.version))


def _key(event: Event) -> StateKey:
    return event.type, event.state_key or ""
