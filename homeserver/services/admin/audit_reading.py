"""What an audit of a room reads, and what it keeps of that between its slices.

Events and nodes are handed out only if they are what they are stored as: core/event_audit.py and
core/state_verification.py say so. What they are compared with is in room_audit.py, graph_audit.py and member_audit.py.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from homeserver.core import state_map
from homeserver.core.auth_chains import SearchedAuthChains
from homeserver.core.errors import MissingEvents
from homeserver.core.event import Event
from homeserver.core.event_audit import Kept, Unsound, read_rules_content, read_stored
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_conflicts import conflict_of_differences
from homeserver.core.state_map import EMPTY_ROOT, FIXED_NODES, StateKey
from homeserver.core.state_nodes import BadNode, HashedEventID, Node, child_digests, decode, digest_of
from homeserver.core.state_resolution import resolve
from homeserver.core.state_verification import Position, verify
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import every_auth_follower
from homeserver.storage.events import Verdict, as_column
from homeserver.storage.room_audit import EventRow
from homeserver.storage.state_nodes import load_bodies

NODES_PER_SLICE: Final = 2_000  # read for the first time
NODES_PER_ROUND: Final = 256
MERGES_PER_SLICE: Final = 8
ENTRIES_PER_SLICE: Final = 5_000
ENTRIES_PER_ROUND: Final = 500
FOLLOWERS_PER_PAGE: Final = 50

# What is kept between slices. Of a map that passed and was forgotten, all is gone through once more.
MOST_KEPT_EVENTS: Final = 4_000
MOST_KEPT_NODES: Final = 20_000
MOST_PASSED: Final = 200_000
MOST_MERGED: Final = 2_000
MOST_BELOW: Final = 20_000


@dataclass(slots=True)
class Counts:
    """What an audit has gone through so far. `unverified` are the signatures for which this server has no key."""

    events: int = 0
    nodes: int = 0
    members: int = 0
    unverified: int = 0


class Pause(Exception):  # noqa: N818 - says what is to be done
    """This slice has read enough: go on in another one."""


@dataclass(frozen=True, slots=True)
class Below:
    """The heads on which an event stands by way of events that are none.

    `is_open`: something on the way came before what it is built on, so that heads may be there that came later.
    """

    heads: frozenset[EventID]
    is_open: bool


@dataclass(slots=True)
class Memory:
    """What an audit keeps between its slices: events that were checked, nodes, and which maps are sound."""

    events: OrderedDict[EventID, Kept] = field(default_factory=OrderedDict)
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    nodes: dict[bytes, Node] = field(default_factory=dict)
    passed: set[Position] = field(default_factory=set)
    sound_roots: set[bytes] = field(default_factory=set)
    merged: dict[frozenset[bytes], frozenset[bytes]] = field(default_factory=dict)
    known_state: bytes = EMPTY_ROOT  # all of its entries are events of the room
    unknown_entries: tuple[bytes, list[tuple[StateKey, EventID]]] | None = None
    begins_late: bool = False  # the room's first event was no news
    below: OrderedDict[EventID, Below] = field(default_factory=OrderedDict)

    def tidy(self) -> None:
        """Forget what is too much."""
        if len(self.passed) > MOST_PASSED:
            self.passed.clear()
            self.sound_roots.clear()
        if len(self.merged) > MOST_MERGED:
            self.merged.clear()
        for kept in (self.bodies, self.nodes):
            if len(kept) > MOST_KEPT_NODES:
                kept.clear()
        while len(self.events) > MOST_KEPT_EVENTS:
            self.events.popitem(last=False)
        while len(self.below) > MOST_BELOW:
            self.below.popitem(last=False)


class Reading:
    """What one slice reads of the room. Events and nodes that were read are kept in the audit's memory."""

    def __init__(
        self,
        tx: Transaction,
        room_id: RoomID,
        version: RoomVersion,
        memory: Memory,
        counts: Counts,
        purge_horizon: int | None = None,
    ) -> None:
        """`purge_horizon`: up to there some of the room's history was deleted."""
        self.tx = tx
        self.room_id = room_id
        self.version = version
        self.counts = counts
        self.memory = memory
        self.purge_horizon = purge_horizon
        self._nodes_left = NODES_PER_SLICE
        self._merges_left = MERGES_PER_SLICE
        self._entries_left = ENTRIES_PER_SLICE

    def keep(self, row: EventRow) -> Kept:
        """The event of a row, if it is what the row says. Raises Unsound."""
        if not row.is_of_known_kind:
            raise Unsound(f"it is of verdict {row.verdict} and form {row.form}, redacted by {row.redacted_by}")
        event = read_stored(row.pdu, self.version, event_id=row.event_id, room_id=self.room_id, is_whole=row.is_whole)
        columns = (row.type, row.sender, row.state_key, row.origin_server_ts)
        state_key = None if event.state_key is None else as_column(event.state_key)
        if columns != (as_column(event.type), event.sender, state_key, event.origin_server_ts):
            raise Unsound(f"its row has columns that are not its own: {columns}")
        rules_content = read_rules_content(row.rules_content, event, is_whole=row.is_whole, redacted_by=row.redacted_by)
        kept = Kept(
            nid=row.nid,
            event=event,
            place=row.place,
            log_position=row.log_position,
            is_accepted=row.is_accepted,
            is_rejected=row.is_rejected,
            has_reason=row.has_reason,
            was_accepted=row.was_accepted,
            is_whole=row.is_whole,
            redacted_by=row.redacted_by,
            rules_content=rules_content,
            replaces_state=row.replaces_state,
            root_before=row.root_before,
            root_after=row.root_after,
            given_by=row.given_by,
            is_expired=row.is_expired,
        )
        self.memory.events[row.event_id] = kept
        return kept

    def find(self, event_id: EventID) -> Kept | None:
        """An event of this room; it may have been redacted since it was read."""
        known = self.memory.events.get(event_id)
        if known is None or known.root_before is None:  # it may have found its place since
            return self.find_now(event_id)
        self.memory.events.move_to_end(event_id)
        return known

    def find_now(self, event_id: EventID) -> Kept | None:
        """An event of this room as it is now."""
        row = rows.find_event_row(self.tx, self.room_id, event_id)
        if row is None:
            return None
        try:
            return self.keep(row)
        except Unsound as unsound:
            raise Unsound(f"it refers to {event_id}: {unsound.reason}") from unsound

    def is_elsewhere(self, event_id: EventID) -> bool:
        """Whether an event is here, in another room."""
        return rows.is_elsewhere(self.tx, self.room_id, event_id)

    def check_map(self, root: bytes, name: str) -> None:
        """Raise Unsound unless the map with this root is here, whole and as maps are written."""
        if root in self.memory.sound_roots:
            return
        fault = verify(self._body, root, passed=self.memory.passed)
        if fault is not None:
            raise Unsound(f"{name}: state node {fault.digest.hex()[:16]}: {fault.reason}")
        self.memory.sound_roots.add(root)

    def check_entries(self, root: bytes, name: str) -> None:
        """Raise Unsound unless all of a state that another server gave are events of this room, under their keys.

        The map was checked before. Raises Pause when this slice has looked at enough.
        """
        memory = self.memory
        if memory.unknown_entries is None or memory.unknown_entries[0] != root:
            memory.unknown_entries = (root, self._entries_beside_known(root))
        entries = memory.unknown_entries[1]
        while entries:
            if self._entries_left <= 0:
                raise Pause
            some = entries[-ENTRIES_PER_ROUND:]
            found = rows.entry_rows(self.tx, self.room_id, [event_id for _, event_id in some])
            for key, event_id in some:
                row = found.get(event_id)
                if row is None or (row.type, row.state_key) != (as_column(key[0]), as_column(key[1])):
                    raise Unsound(f"{name} has {event_id} as {key}, which is {'not here' if row is None else 'not it'}")
                if row.verdict == Verdict.REJECTED and not row.has_state:
                    raise Unsound(f"{name} has {event_id}, which was rejected")
            del entries[-len(some) :]
            self._entries_left -= len(some)
        memory.known_state, memory.unknown_entries = root, None

    def _entries_beside_known(self, root: bytes) -> list[tuple[StateKey, EventID]]:
        """The entries of a state that are not in the last one that was gone through."""
        difference = state_map.difference(self.node, self.memory.known_state, root)
        return [(key, after) for key, (_, after) in difference.items() if after is not None]

    def node(self, digest: bytes) -> Node | None:
        """A node of a map that was checked."""
        node = self.memory.nodes.get(digest)
        if node is None and digest not in FIXED_NODES:
            body = self.memory.bodies.get(digest) or load_bodies(self.tx, self.room_id, [digest]).get(digest)
            if body is None or digest_of(body) != digest:
                return None
            try:
                node = self.memory.nodes[digest] = decode(body)
            except BadNode as bad:
                raise Unsound(f"state node {digest.hex()[:16]}: {bad}") from bad
        return node

    def select(self, root: bytes, keys: Iterable[StateKey]) -> dict[StateKey, Kept]:
        """The events under some keys of a state. Raises UnknownState; Unsound when one of them is not here."""
        found: dict[StateKey, Kept] = {}
        for key, event_id in state_map.get_many(self.node, root, tuple(keys)).items():
            kept = self.find(event_id)
            if kept is None:
                raise Unsound(f"the state before it has {event_id}, which is not here")
            found[key] = kept
        return found

    def merge(self, roots: Sequence[bytes]) -> frozenset[bytes]:
        """The root of the resolution of several states, at the cost of what they differ in.

        Where it depends on an event that was accepted for some time, two: with it and without. Raises Pause when this
        slice has merged enough.
        """
        asked = frozenset(roots)
        known = self.memory.merged.get(asked)
        if known is None:
            if self._merges_left <= 0:
                raise Pause
            self._merges_left -= 1
            rejected = _Rejected(self)
            merged = {self._merged(sorted(asked), rejected)}
            if rejected.has_met_doubt:
                merged.add(self._merged(sorted(asked), _Rejected(self, in_doubt=False)))
            known = self.memory.merged[asked] = frozenset(merged)
        return known

    def _merged(self, roots: Sequence[bytes], rejected: Container[EventID]) -> bytes:
        first = roots[0]

        def entry(key: StateKey) -> EventID | None:
            return state_map.get(self.node, first, *key)

        conflict = conflict_of_differences(
            [state_map.difference(self.node, first, other) for other in roots[1:]], entry
        )

        def is_agreed(event_id: EventID) -> bool:
            event = self._find_event(event_id)
            if event is None or event.state_key is None:
                return False
            key = (event.type, event.state_key)
            return key not in conflict.candidates and entry(key) == event_id

        chains = SearchedAuthChains(self._auth_edges, self._auth_followers, is_agreed)
        try:
            resolved = resolve(
                conflict,
                self._find_event,
                chains,
                room_id=self.room_id,
                version=self.version,
                rejected=rejected,
            )
        except MissingEvents as missing:
            raise Unsound(f"states cannot be merged without {min(missing.event_ids)}, which is not here") from missing
        changes = {
            key: None if event_id is None else self._state_value(event_id)
            for key in conflict.candidates.keys() | resolved.keys()
            if (event_id := resolved.get(key)) != entry(key)
        }
        return state_map.update(self.node, first, changes).root

    def _find_event(self, event_id: EventID) -> Event | None:
        kept = self.find(event_id)
        return None if kept is None else kept.for_rules

    def _auth_edges(self, event_id: EventID) -> tuple[EventID, ...] | None:
        kept = self.find(event_id)
        return None if kept is None else kept.event.auth_event_ids

    def _auth_followers(self, event_id: EventID) -> Iterator[EventID]:
        return every_auth_follower(self.tx, event_id, page_size=FOLLOWERS_PER_PAGE)

    def _state_value(self, event_id: EventID) -> EventID | HashedEventID:
        kept = self.find(event_id)
        if kept is None:
            raise Unsound(f"the merged state has {event_id}, which is not here")
        return kept.state_value

    def _body(self, digest: bytes) -> bytes | None:
        """The bytes of a node, read together with some below it. Raises Pause when this slice has read enough."""
        bodies = self.memory.bodies
        body = bodies.get(digest)
        if body is not None:
            return body
        if self._nodes_left <= 0:
            raise Pause
        level, read = {digest}, 0
        while level and read < NODES_PER_ROUND:
            found = load_bodies(self.tx, self.room_id, level)
            bodies.update(found)
            read += len(found)
            below = {child for body in found.values() for child in _children(body)}
            level = {child for child in below if child not in bodies and child not in FIXED_NODES}
        self._nodes_left -= max(read, 1)
        self.counts.nodes += read
        return bodies.get(digest)


class _Rejected(Container[EventID]):
    """The events that were rejected; `in_doubt`: those, too, that were accepted for some time."""

    def __init__(self, reading: Reading, *, in_doubt: bool = True) -> None:
        self._reading = reading
        self._in_doubt = in_doubt
        self.has_met_doubt = False

    def __contains__(self, event_id: object) -> bool:
        kept = self._reading.find(EventID(str(event_id)))
        if kept is None or not kept.is_rejected:
            return False
        self.has_met_doubt |= kept.was_accepted
        return self._in_doubt or not kept.was_accepted


def _children(body: bytes) -> list[bytes]:
    """The nodes that a node names; none for bytes that are no node."""
    try:
        return child_digests(body)
    except (BadNode, IndexError):
        return []
