"""States merged by their roots: state resolution at the cost of what the states differ in, and never twice.

The algorithms are in core/state_resolution.py; here they are given what they ask for, from a transaction.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from homeserver.core import state_map
from homeserver.core.auth_chains import SearchedAuthChains
from homeserver.core.errors import MissingEvents
from homeserver.core.event import Event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_conflicts import conflict_of_differences
from homeserver.core.state_map import StateKey
from homeserver.core.state_nodes import HashedEventID, Node
from homeserver.core.state_resolution import resolve
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Database, Transaction
from homeserver.storage.event_edges import auth_followers
from homeserver.storage.events import StoredEvent, Verdict

INLINE_LIMIT: Final = 200  # conflicted keys, or events loaded: what may be done inside a write
FOLLOWERS_PER_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged state: its root, and the nodes that it needs beside those of the states that were merged."""

    root: bytes
    new_nodes: Mapping[bytes, bytes] = field(default_factory=dict)
    parsed: Mapping[bytes, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a writing transaction has and the database has not yet."""

    nodes: Mapping[bytes, Node]
    events: Mapping[EventID, StoredEvent]


NO_OVERLAY: Final = Overlay({}, {})


class NotMerged(Exception):  # noqa: N818 - says what is to be done
    """These states are too much to be merged inside a write: let `StateMerging.merge_elsewhere` do it, and retry."""

    def __init__(self, room_id: RoomID, version: RoomVersion, roots: frozenset[bytes], overlay: Overlay) -> None:
        super().__init__(f"{len(roots)} states of {room_id} are to be merged")
        self.room_id = room_id
        self.version = version
        self.roots = roots
        self.overlay = overlay


class _TooMuch(Exception):  # noqa: N818 - a turn of control inside this file
    """The limit is reached."""


class StateMerging:
    """Merges states of a room."""

    def __init__(self, database: Database, states: RoomStates, budget: CacheBudget) -> None:
        self._database = database
        self._states = states
        self._memo: BoundedCache[tuple[RoomID, frozenset[bytes]], Merged] = BoundedCache(
            "merged states", budget, _merged_size
        )

    def merge(
        self,
        tx: Transaction,
        room_id: RoomID,
        version: RoomVersion,
        roots: Iterable[bytes],
        overlay: Overlay = NO_OVERLAY,
        *,
        limit: int | None = INLINE_LIMIT,
    ) -> Merged:
        """The resolution of the states with these roots; whoever uses it stores its nodes.

        Raises NotMerged when it would touch more than `limit` conflicted keys or events; None: whatever it costs.
        """
        asked = frozenset(roots)
        if len(asked) < 2:
            return Merged(next(iter(asked), state_map.EMPTY_ROOT))
        known = self._memo.get((room_id, asked))
        if known is not None:
            return known
        question = _Question(self._states, tx, room_id, version, overlay, limit)
        try:
            merged = question.answer(sorted(asked))
        except _TooMuch:
            raise NotMerged(room_id, version, asked, overlay) from None
        self._memo.put((room_id, asked), merged)
        return merged

    async def merge_elsewhere(self, not_merged: NotMerged) -> None:
        """Merge what was too much, in a reading thread, and remember the result."""
        await self._database.read(self._merge_whole, not_merged)

    def _merge_whole(self, tx: Transaction, not_merged: NotMerged) -> None:
        self.merge(tx, not_merged.room_id, not_merged.version, not_merged.roots, not_merged.overlay, limit=None)


class _Question:
    """One resolution, and what it has loaded."""

    def __init__(
        self,
        states: RoomStates,
        tx: Transaction,
        room_id: RoomID,
        version: RoomVersion,
        overlay: Overlay,
        limit: int | None,
    ) -> None:
        self._states = states
        self._tx = tx
        self._room_id = room_id
        self._version = version
        self._overlay = overlay
        self._limit = limit
        self._events: dict[EventID, StoredEvent] = {}
        self._naming: dict[EventID, list[EventID]] = {}
        for stored in overlay.events.values():
            if stored.event.state_key is not None:
                for auth_id in stored.event.auth_event_ids:
                    self._naming.setdefault(auth_id, []).append(stored.event.event_id)

    def answer(self, roots: list[bytes]) -> Merged:
        """The resolution of the states with these roots."""
        first = roots[0]
        differences = [
            self._states.difference(self._tx, self._room_id, first, other, self._overlay.nodes) for other in roots[1:]
        ]
        conflict = conflict_of_differences(differences, lambda key: self._entry(first, key))
        if self._limit is not None and len(conflict.candidates) > self._limit:
            raise _TooMuch

        def is_agreed(event_id: EventID) -> bool:
            event = self._find(event_id)
            if event is None or event.state_key is None:
                return False
            key = (event.type, event.state_key)
            return key not in conflict.candidates and self._entry(first, key) == event_id

        chains = SearchedAuthChains(self._auth_edges, self._followers, is_agreed)
        resolved = resolve(
            conflict,
            self._find,
            chains,
            room_id=self._room_id,
            version=self._version,
            rejected=_Rejected(self),
        )
        changes = {
            key: None if event_id is None else self._value(event_id)
            for key in conflict.candidates.keys() | resolved.keys()
            if (event_id := resolved.get(key)) != self._entry(first, key)
        }
        updated = self._states.with_nodes(
            self._tx,
            self._room_id,
            lambda nodes: state_map.update(nodes, first, changes),
            self._overlay.nodes,
        )
        return Merged(updated.root, updated.new_nodes, updated.parsed)

    def is_rejected(self, event_id: EventID) -> bool:
        """Whether an event was rejected."""
        stored = self._load(event_id)
        return stored is not None and stored.verdict is Verdict.REJECTED

    def _entry(self, root: bytes, key: StateKey) -> EventID | None:
        return self._states.with_nodes(
            self._tx, self._room_id, lambda nodes: state_map.get(nodes, root, *key), self._overlay.nodes
        )

    def _load(self, event_id: EventID) -> StoredEvent | None:
        stored = self._events.get(event_id)
        if stored is None:
            stored = self._states.load(self._tx, [event_id], self._overlay.events).get(event_id)
            if stored is None:
                return None
            self._events[event_id] = stored
            if self._limit is not None and len(self._events) > self._limit:
                raise _TooMuch
        return stored

    def _find(self, event_id: EventID) -> Event | None:
        stored = self._load(event_id)
        return None if stored is None else stored.for_rules

    def _auth_edges(self, event_id: EventID) -> tuple[EventID, ...] | None:
        event = self._find(event_id)
        return None if event is None else event.auth_event_ids

    def _followers(self, event_id: EventID) -> Iterator[EventID]:
        yield from self._naming.get(event_id, ())
        after = 0
        while page := auth_followers(self._tx, event_id, after=after, limit=FOLLOWERS_PER_PAGE):
            for nid, follower in page:
                after = nid
                yield follower

    def _value(self, event_id: EventID) -> EventID | HashedEventID:
        if self._version.event_ids_are_hashes:
            return event_id
        event = self._find(event_id)
        if event is None:
            raise MissingEvents([event_id])
        return HashedEventID(event_id, reference_hash(event.pdu, self._version))


class _Rejected(Container[EventID]):
    """The events that were rejected."""

    def __init__(self, question: _Question) -> None:
        self._question = question

    def __contains__(self, event_id: object) -> bool:
        return self._question.is_rejected(EventID(str(event_id)))


def _merged_size(merged: Merged) -> int:
    return 200 + sum(3 * len(body) + 300 for body in merged.new_nodes.values())
