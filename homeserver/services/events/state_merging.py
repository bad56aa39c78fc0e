"""States merged by their roots: state resolution at the cost of what the states differ in, and never twice.

The algorithms are in core/state_resolution.py; here they are given what they ask for, from a transaction. The process
in which much of it is done is in merging_process.py.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

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
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Database, Transaction
from homeserver.storage.event_edges import every_auth_follower
from homeserver.storage.events import StoredEvent, Verdict

INLINE_LIMIT: Final = 200  # conflicted keys, or events loaded: what may be done inside a write
FOLLOWERS_PER_PAGE: Final = 50
LATEST: Final = 4  # merged states that wait to be used, for which a cache may be too small
LARGE_ROOMS: Final = 1_000  # of which it is known that their states are too much


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged state: its root, and the nodes that it needs beside those of the states that were merged."""

    root: bytes
    new_nodes: Mapping[bytes, bytes] = field(default_factory=dict)
    parsed: Mapping[bytes, Node] = field(default_factory=dict)
    cost: int = field(default=0, compare=False)  # conflicted keys, or events loaded, whichever are more


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a writing transaction has and the database has not yet."""

    nodes: Mapping[bytes, Node]
    events: Mapping[EventID, StoredEvent]


NO_OVERLAY: Final = Overlay({}, {})


Key = tuple[RoomID, frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class MergeQuestion:
    """Which states are to be merged: all of it can be pickled."""

    room_id: RoomID
    version: RoomVersion
    roots: frozenset[bytes]
    overlay: Overlay

    @property
    def key(self) -> Key:
        """What the answer depends on."""
        return self.room_id, self.roots


class NotMerged(Exception):  # noqa: N818 - says what is to be done
    """These states are too much to be merged inside a write: let `StateMerging.merge_elsewhere` do it, and retry."""

    def __init__(self, question: MergeQuestion) -> None:
        super().__init__(f"{len(question.roots)} states of {question.room_id} are to be merged")
        self.question = question


class Elsewhere(Protocol):
    """A place outside of this process."""

    async def merge(self, question: MergeQuestion) -> Merged | None:
        """The merged state; None when there is no answer to be had from there."""


class _TooMuch(Exception):  # noqa: N818 - a turn of control inside this file
    """The limit is reached."""


class StateMerging:
    """Merges states of a room. Without `elsewhere`, large ones in a reading thread of the database."""

    def __init__(
        self, database: Database, states: RoomStates, budget: CacheBudget, elsewhere: Elsewhere | None = None
    ) -> None:
        self._database = database
        self._states = states
        self._elsewhere = elsewhere
        self._memo: BoundedCache[Key, Merged] = BoundedCache("merged states", budget, _merged_size)
        self._latest: OrderedDict[Key, Merged] = OrderedDict()
        self._large: OrderedDict[RoomID, None] = OrderedDict()
        self._locks: KeyedLocks[Key] = KeyedLocks()

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

        Raises NotMerged when it would touch more than `limit` conflicted keys or events; None: whatever it costs. In a
        room where the last merge did, it is not tried: under a flood of them, trying is what would cost the server.
        """
        asked = frozenset(roots)
        if len(asked) < 2:
            return Merged(next(iter(asked), state_map.EMPTY_ROOT))
        question = MergeQuestion(room_id, version, asked, overlay)
        merged = self._find(question)
        if merged is None:
            if limit is not None and room_id in self._large:
                raise NotMerged(question)
            try:
                merged = merge_all(self._states, tx, question, limit)
            except _TooMuch:
                raise NotMerged(question) from None
            self._memo.put(question.key, merged)
        return merged

    async def merge_elsewhere(self, not_merged: NotMerged) -> None:
        """Merge what was too much, outside of the write and once for all that wait for it, and remember the result."""
        question = not_merged.question
        async with self._locks(question.key):
            if self._find(question) is not None:
                return
            merged = None if self._elsewhere is None else await self._elsewhere.merge(question)
            if merged is None:
                merged = await self._database.read(self._merge_whole, question)
            self._remember(question, merged)

    def _remember(self, question: MergeQuestion, merged: Merged) -> None:
        self._memo.put(question.key, merged)
        self._latest[question.key] = merged
        if len(self._latest) > LATEST:
            self._latest.popitem(last=False)
        self._large.pop(question.room_id, None)
        if merged.cost > INLINE_LIMIT:
            self._large[question.room_id] = None
            if len(self._large) > LARGE_ROOMS:
                self._large.popitem(last=False)

    def _merge_whole(self, tx: Transaction, question: MergeQuestion) -> Merged:
        return merge_all(self._states, tx, question)

    def _find(self, question: MergeQuestion) -> Merged | None:
        return self._memo.get(question.key) or self._latest.get(question.key)


def merge_all(states: RoomStates, tx: Transaction, question: MergeQuestion, limit: int | None = None) -> Merged:
    """The resolution of the states that are asked for, with what it needs read from `tx`."""
    return _Resolution(states, tx, question, limit).answer(sorted(question.roots))


class _Resolution:
    """One resolution, and what it has loaded."""

    def __init__(self, states: RoomStates, tx: Transaction, question: MergeQuestion, limit: int | None) -> None:
        self._states = states
        self._tx = tx
        self._room_id = question.room_id
        self._version = question.version
        self._overlay = question.overlay
        self._limit = limit
        self._events: dict[EventID, StoredEvent] = {}
        self._naming: dict[EventID, list[EventID]] = {}
        for stored in question.overlay.events.values():
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
        cost = max(len(conflict.candidates), len(self._events))
        return Merged(updated.root, updated.new_nodes, updated.parsed, cost)

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
        yield from every_auth_follower(self._tx, event_id, page_size=FOLLOWERS_PER_PAGE)

    def _value(self, event_id: EventID) -> EventID | HashedEventID:
        if self._version.event_ids_are_hashes:
            return event_id
        event = self._find(event_id)
        if event is None:
            raise MissingEvents([event_id])
        return HashedEventID(event_id, reference_hash(event.pdu, self._version))


class _Rejected(Container[EventID]):
    """The events that were rejected."""

    def __init__(self, resolution: _Resolution) -> None:
        self._resolution = resolution

    def __contains__(self, event_id: object) -> bool:
        return self._resolution.is_rejected(EventID(str(event_id)))


def _merged_size(merged: Merged) -> int:
    return 200 + sum(3 * len(body) + 300 for body in merged.new_nodes.values())
