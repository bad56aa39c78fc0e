"""The state of a room as a persistent Merkle map: (event type, state key) -> event.

What nodes look like is in state_nodes.py, the recomputation of a whole map in state_verification.py; where nodes are
kept is in storage/state_nodes.py.

A map is known by its root, a digest. It is a trie over the SHA-256 of the event types, under which each type has a
trie over the SHA-256 of its state keys. The form of a trie follows from its entries alone, so equal maps have equal
roots, whatever the order in which they came about, and maps that differ a little share most of their nodes.

Every function asks `nodes` for a node by its digest, and raises MissingNodes where `nodes` gives None: load those, and
call again. One round asks for all that can be known to be needed by then.

A partial map does not know everything: a type can be *open* (its entries here are known, others may exist), and so
can the whole map. To a key that is not there it answers `Absence.UNKNOWN` instead of `Absence.ABSENT`. So does a
complete map of which some nodes were never received, through `partial_nodes`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import EventID
from homeserver.core.state_nodes import (
    KNOWN_ABSENT,
    OPEN,
    SHAPE,
    STUB,
    TYPES,
    Branch,
    HashedEventID,
    Leaf,
    Node,
    Shape,
    Slot,
    Stub,
    decode_value,
    digest_of,
    encode,
    encode_value,
    read_slot,
    single_slot,
    slot_root,
    subtree_slot,
)

StateKey = tuple[str, str]  # event type, state key
StateMap = Mapping[StateKey, EventID]
Nodes = Callable[[bytes], Node | Stub | None]


class Absence(Enum):
    """Why a map has no event for a key."""

    ABSENT = "there is none"
    UNKNOWN = "this map is partial and does not know"


class UnknownState(Exception):  # noqa: N818 - not an error of the map: it is partial
    """The answer, or the new root, depends on a part of the map that this server does not have."""


class Updated(NamedTuple):
    """A new root and what was made for it: the same nodes as bytes, to store, and as nodes, to keep in a cache."""

    root: bytes
    new_nodes: Mapping[bytes, bytes]
    parsed: Mapping[bytes, Node]


_EMPTY_TYPES: Final = Leaf(TYPES, {})
_EMPTY_TYPE: Final = Leaf(0, {})
_UNKNOWN_TYPES: Final = Leaf(TYPES | OPEN, {})
_UNKNOWN_TYPE: Final = Leaf(OPEN, {})

EMPTY_ROOT: Final = digest_of(encode(_EMPTY_TYPES))
EMPTY_SUBTREE: Final = digest_of(encode(_EMPTY_TYPE))  # a type without entries
UNKNOWN_ROOT: Final = digest_of(encode(_UNKNOWN_TYPES))  # a map of which nothing is known yet
UNKNOWN_SUBTREE: Final = digest_of(encode(_UNKNOWN_TYPE))

# Nobody needs to store these.
FIXED_NODES: Final[Mapping[bytes, Leaf]] = {
    EMPTY_ROOT: _EMPTY_TYPES,
    EMPTY_SUBTREE: _EMPTY_TYPE,
    UNKNOWN_ROOT: _UNKNOWN_TYPES,
    UNKNOWN_SUBTREE: _UNKNOWN_TYPE,
}

PLACE_BITS: Final = 64


def layered(nodes: Nodes, *layers: Mapping[bytes, Node]) -> Nodes:
    """`nodes` with further nodes before it, such as `Updated.parsed` of an update that is not stored yet."""

    def find(digest: bytes) -> Node | Stub | None:
        for layer in layers:
            node = layer.get(digest)
            if node is not None:
                return node
        return nodes(digest)

    return find


def partial_nodes(nodes: Nodes) -> Nodes:
    """`nodes` of a map that never came whole: what it does not have is unknown, and there is nowhere to load it."""

    def find(digest: bytes) -> Node | Stub | None:
        node = nodes(digest)
        return STUB if node is None and digest not in FIXED_NODES else node

    return find


# --- Reading ---


def get(nodes: Nodes, root: bytes, event_type: str, state_key: str, *, shape: Shape = SHAPE) -> EventID | None:
    """The event of a key; None when there is none. Raises UnknownState when a partial map does not know."""
    value = _value(nodes, root, event_type, state_key, shape)
    if isinstance(value, bytes):
        return decode_value(value)
    if value is Absence.UNKNOWN:
        raise UnknownState(f"{event_type!r} {state_key!r} is not known in this partial state")
    return None


def lookup(nodes: Nodes, root: bytes, event_type: str, state_key: str, *, shape: Shape = SHAPE) -> EventID | Absence:
    """The event of a key in a map that may be partial."""
    value = _value(nodes, root, event_type, state_key, shape)
    return value if isinstance(value, Absence) else decode_value(value)


def get_many(nodes: Nodes, root: bytes, keys: Iterable[StateKey], *, shape: Shape = SHAPE) -> dict[StateKey, EventID]:
    """The events of those of `keys` that have one. Raises UnknownState when a partial map does not know."""
    found: dict[StateKey, EventID] = {}
    missing: set[bytes] = set()
    for event_type, state_key in keys:
        try:
            event_id = get(nodes, root, event_type, state_key, shape=shape)
        except MissingNodes as lacking:
            missing |= lacking.digests
        else:
            if event_id is not None:
                found[event_type, state_key] = event_id
    if missing:
        raise MissingNodes(missing)
    return found


def known_of(nodes: Nodes, root: bytes, keys: Sequence[StateKey]) -> dict[StateKey, EventID]:
    """As `get_many`; keys of which a partial map does not know what they have are left out, too."""
    try:
        return get_many(nodes, root, keys)
    except UnknownState:
        found = {key: lookup(nodes, root, *key) for key in keys}
        return {key: event_id for key, event_id in found.items() if not isinstance(event_id, Absence)}


def subtree_root(nodes: Nodes, root: bytes, event_type: str, *, shape: Shape = SHAPE) -> bytes:
    """The digest of the entries of one type; EMPTY_SUBTREE when it has none. Another type's may be equal."""
    slot = _slot(nodes, root, event_type, shape)
    if slot is Absence.ABSENT:
        return EMPTY_SUBTREE
    if slot is Absence.UNKNOWN:
        return UNKNOWN_SUBTREE
    return slot.root if slot.single is None else digest_of(encode(slot.single))


def count_of_type(nodes: Nodes, root: bytes, event_type: str, *, shape: Shape = SHAPE) -> int:
    """How many entries a type has. Raises UnknownState when a partial map does not know."""
    slot = _slot(nodes, root, event_type, shape)
    if slot is Absence.ABSENT:
        return 0
    if slot is Absence.UNKNOWN or slot.is_open:
        raise UnknownState(f"the entries of {event_type!r} are not all known in this partial state")
    return _count(slot.single or _whole(_node(nodes, slot.root)))


def count_known(nodes: Nodes, root: bytes) -> int:
    """How many entries a map has; of a partial map those that it knows."""
    slots = _type_slots(nodes, root).values()
    subtrees = _level(nodes, [slot.root for slot in slots if slot.single is None])
    return sum(map(_count, (*subtrees, *(slot.single for slot in slots if slot.single is not None))))


def items(nodes: Nodes, root: bytes, *, left_out: str | None = None) -> Iterator[tuple[StateKey, EventID]]:
    """All entries, or all but those of one type, in no order that means anything; of a partial map those it knows."""
    slots = _type_slots(nodes, root)
    if left_out is not None:
        slots.pop(left_out, None)
    return _events(_leaves(nodes, slots))


def items_of_type(
    nodes: Nodes, root: bytes, event_type: str, *, shape: Shape = SHAPE
) -> Iterator[tuple[StateKey, EventID]]:
    """All entries of one type, as `items`."""
    slot = _slot(nodes, root, event_type, shape)
    if isinstance(slot, Absence):
        return iter([])
    return _events(_leaves(nodes, {event_type: slot}))


def types(nodes: Nodes, root: bytes) -> list[str]:
    """The types that have entries, sorted; of a partial map those that are known to."""
    return sorted(_type_slots(nodes, root))


def open_types(nodes: Nodes, root: bytes) -> frozenset[str]:
    """The types whose entries are not all known. A map for which `is_open` holds may have more."""
    return frozenset(event_type for event_type, slot in _type_slots(nodes, root).items() if slot.is_open)


def is_open_type(nodes: Nodes, root: bytes, event_type: str, *, shape: Shape = SHAPE) -> bool:
    """True when not all entries of a type are known."""
    slot = _slot(nodes, root, event_type, shape)
    return slot is Absence.UNKNOWN if isinstance(slot, Absence) else slot.is_open


def is_whole(nodes: Nodes, root: bytes) -> bool:
    """True when everything is known: nothing that the map lacks exists."""
    return not is_open(nodes, root) and not open_types(nodes, root)


def is_part(nodes: Nodes, partial: bytes, whole: bytes) -> bool:
    """True when a whole map has all that a partial one knows, and nothing of what that one knows to be absent."""
    return all(
        before is None and lookup(nodes, partial, *key) is Absence.UNKNOWN
        for key, (before, _) in difference(nodes, partial, whole).items()
    )


def is_open(nodes: Nodes, root: bytes) -> bool:
    """True when the map may have types that are not known."""
    return bool(_node(nodes, root).flags & OPEN)


def _node(nodes: Nodes, digest: bytes) -> Node | Stub:
    node = nodes(digest)
    if node is None:
        node = FIXED_NODES.get(digest)
        if node is None:
            raise MissingNodes((digest,))
    return node


def _whole(node: Node | Stub) -> Node:
    if isinstance(node, Stub):
        raise UnknownState("a part of this state was never received")
    return node


def place_of(key: str) -> int:
    """Where a key belongs in its trie: the first 64 bits of its SHA-256."""
    return int.from_bytes(sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big")


@lru_cache(maxsize=256)
def _place_of_type(event_type: str) -> int:
    return place_of(event_type)


def _find(nodes: Nodes, digest: bytes, key: str, place: int, slot_bits: int) -> bytes | Absence:
    """The value of a key in one trie."""
    node = nodes(digest) or _node(nodes, digest)
    shift = PLACE_BITS
    mask = (1 << slot_bits) - 1
    while isinstance(node, Branch):
        shift -= slot_bits
        child = node.children[place >> shift & mask]
        if not child:
            return Absence.UNKNOWN if node.flags & OPEN else Absence.ABSENT
        found = nodes(child)
        if found is None:
            raise MissingNodes((child,))
        node = found
    if isinstance(node, Leaf):
        value = node.entries.get(key)
        if value:
            return value
        if value is not None or not node.flags & OPEN:
            return Absence.ABSENT
    return Absence.UNKNOWN


def _slot(nodes: Nodes, root: bytes, event_type: str, shape: Shape) -> Slot | Absence:
    slot = _find(nodes, root, event_type, _place_of_type(event_type), shape.slot_bits)
    return slot if isinstance(slot, Absence) else read_slot(slot)


def _value(nodes: Nodes, root: bytes, event_type: str, state_key: str, shape: Shape) -> bytes | Absence:
    slot = _find(nodes, root, event_type, _place_of_type(event_type), shape.slot_bits)
    if isinstance(slot, Absence):
        return slot
    subtree = slot_root(slot)
    if subtree is not None:
        return _find(nodes, subtree, state_key, place_of(state_key), shape.slot_bits)
    single = read_slot(slot).single
    return single.entries.get(state_key, Absence.ABSENT) if single is not None else Absence.ABSENT


def _level(nodes: Nodes, digests: Iterable[bytes]) -> list[Node]:
    """Nodes that belong to one level, so that one round loads all of them."""
    level, missing = [], []
    for digest in digests:
        node = nodes(digest)
        if node is None:
            node = FIXED_NODES.get(digest)
            if node is None:
                missing.append(digest)
                continue
        level.append(_whole(node))
    if missing:
        raise MissingNodes(missing)
    return level


def _leaves(nodes: Nodes, slots: Mapping[str, Slot]) -> list[tuple[str, Leaf]]:
    """The leaves of several types, all types level by level at once."""
    leaves = [(event_type, slot.single) for event_type, slot in slots.items() if slot.single is not None]
    level = [(event_type, slot.root) for event_type, slot in slots.items() if slot.single is None]
    while level:
        below: list[tuple[str, bytes]] = []
        for (event_type, _), node in zip(level, _level(nodes, [digest for _, digest in level]), strict=True):
            if isinstance(node, Branch):
                below += [(event_type, child) for child in node.children if child]
            else:
                leaves.append((event_type, node))
        level = below
    return leaves


def _type_slots(nodes: Nodes, root: bytes) -> dict[str, Slot]:
    """The slots of all types."""
    return {
        event_type: read_slot(slot)
        for _, leaf in _leaves(nodes, {"": _trie(root)})
        for event_type, slot in leaf.entries.items()
        if slot != KNOWN_ABSENT
    }


def _events(leaves: Iterable[tuple[str, Leaf]]) -> Iterator[tuple[StateKey, EventID]]:
    for event_type, leaf in leaves:
        for state_key, value in leaf.entries.items():
            if value != KNOWN_ABSENT:
                yield (event_type, state_key), decode_value(value)


# --- Changing ---


class _Change(NamedTuple):
    place: int
    key: str
    value: bytes  # KNOWN_ABSENT: the key has none


def update(
    nodes: Nodes,
    root: bytes,
    changes: Mapping[StateKey, EventID | HashedEventID | None],
    *,
    shape: Shape = SHAPE,
) -> Updated:
    """The map with some keys set to another event, or to none. In room versions 1 and 2 events come with their hash.

    The result names only nodes on changed paths. They are all to be stored, also those that look stored already:
    a collection may be about to delete them. Raises UnknownState when the new form depends on what is not known.
    """
    by_type: dict[str, list[_Change]] = {}
    for (event_type, state_key), event in changes.items():
        value = KNOWN_ABSENT if event is None else encode_value(event)
        by_type.setdefault(event_type, []).append(_Change(place_of(state_key), state_key, value))
    writer = _Writer(nodes, shape)
    slots = []
    for event_type, changes_of_type in by_type.items():
        try:
            before = _base_of_type(nodes, root, event_type, shape)
        except MissingNodes as lacking:
            writer.missing |= lacking.digests
            continue
        after = writer.change(before, 0, changes_of_type)
        if after is not before:
            slots.append(_Change(_place_of_type(event_type), event_type, writer.slot(after)))
    return writer.finish(root, slots)


def leave_open(nodes: Nodes, root: bytes, event_types: Iterable[str], *, shape: Shape = SHAPE) -> Updated:
    """The map with types of which not all entries are known: those that it has stay, others may exist."""
    writer = _Writer(nodes, shape)
    slots = []
    for event_type in event_types:
        slot = _slot(nodes, root, event_type, shape)
        leaves = [] if isinstance(slot, Absence) else _leaves(nodes, {event_type: slot})
        known = [_Change(place_of(key), key, value) for _, leaf in leaves for key, value in leaf.entries.items()]
        slots.append(_Change(_place_of_type(event_type), event_type, writer.slot(writer.grow(OPEN, 0, known))))
    return writer.finish(root, slots)


def _base_of_type(nodes: Nodes, root: bytes, event_type: str, shape: Shape) -> Node:
    slot = _slot(nodes, root, event_type, shape)
    if isinstance(slot, Absence):
        return _UNKNOWN_TYPE if slot is Absence.UNKNOWN else _EMPTY_TYPE
    return _whole(_node(nodes, slot.root)) if slot.single is None else slot.single


def _count(node: Node) -> int:
    return node.total if isinstance(node, Branch) else len(node.entries)


class _Writer:
    """Makes the new nodes of one update. Recursion goes as deep as `shape.depth` allows, whatever the keys are."""

    def __init__(self, nodes: Nodes, shape: Shape) -> None:
        self.missing: set[bytes] = set()
        self._nodes = nodes
        self._shape = shape
        self._mask = (1 << shape.slot_bits) - 1
        self._bodies: dict[bytes, bytes] = {}
        self._parsed: dict[bytes, Node] = {}

    def change(self, node: Node, depth: int, changes: Sequence[_Change]) -> Node:
        """The root of a trie after some changes, not saved; `node` itself when they change nothing."""
        if isinstance(node, Branch):
            return self._change_branch(node, depth, changes)
        entries = dict(node.entries)
        for _, key, value in changes:
            if value or node.flags & OPEN:
                entries[key] = value
            else:
                entries.pop(key, None)
        if entries == node.entries:
            return node
        if len(entries) <= self._shape.leaf_entries or depth == self._shape.depth:
            return Leaf(node.flags, entries)
        return self.grow(node.flags, depth, [_Change(place_of(key), key, value) for key, value in entries.items()])

    def grow(self, flags: int, depth: int, entries: Sequence[_Change]) -> Node:
        """The root of a trie with these entries, not saved."""
        shape = self._shape
        if len(entries) <= shape.leaf_entries or depth == shape.depth:
            return Leaf(flags, {key: value for _, key, value in entries})
        children = [b""] * (self._mask + 1)
        for slot, below in self._by_slot(depth, entries).items():
            children[slot] = self._save(self.grow(flags, depth + 1, below))
        return Branch(flags, len(entries), tuple(children))

    def slot(self, subtree: Node) -> bytes:
        """What the trie over types says of this subtree, which is saved if it needs to be."""
        if subtree == _EMPTY_TYPE:
            return KNOWN_ABSENT
        single = single_slot(subtree) if isinstance(subtree, Leaf) else None
        return single or subtree_slot(self._save(subtree), is_open=bool(subtree.flags & OPEN))

    def finish(self, root: bytes, slots: Sequence[_Change]) -> Updated:
        """Change the trie over types, once all subtrees are made. Raises MissingNodes when any were missing."""
        top = self._nodes(root) or FIXED_NODES.get(root)
        if top is None or self.missing:
            raise MissingNodes(self.missing or (root,))
        if slots:
            root = self._save(self.change(_whole(top), 0, slots))
        if self.missing:
            raise MissingNodes(self.missing)
        return Updated(root, self._bodies, self._parsed)

    def _by_slot(self, depth: int, changes: Sequence[_Change]) -> dict[int, list[_Change]]:
        shift = PLACE_BITS - self._shape.slot_bits * (depth + 1)
        by_slot: dict[int, list[_Change]] = {}
        for change in changes:
            by_slot.setdefault(change.place >> shift & self._mask, []).append(change)
        return by_slot

    def _change_branch(self, node: Branch, depth: int, changes: Sequence[_Change]) -> Node:
        flags, total, children = node
        changed: dict[int, Node] = {}
        for slot, below in self._by_slot(depth, changes).items():
            before: Node | None = self._load(children[slot]) if children[slot] else Leaf(flags, {})
            if before is None:
                continue
            after = self.change(before, depth + 1, below)
            if after is not before:
                changed[slot] = after
                total += _count(after) - _count(before)
        if not changed or self.missing:
            return node
        if total <= self._shape.leaf_entries:
            return self._merge(node, changed)
        digests = list(children)
        for slot, after in changed.items():
            digests[slot] = self._save(after) if _count(after) else b""
        return Branch(flags, total, tuple(digests))

    def _merge(self, node: Branch, changed: Mapping[int, Node]) -> Node:
        """The one leaf that a branch becomes when few entries are left below it: its children are leaves then."""
        entries: dict[str, bytes] = {}
        for slot, digest in enumerate(node.children):
            child = changed.get(slot) or (self._load(digest) if digest else None)
            if isinstance(child, Leaf):
                entries |= child.entries
        return Leaf(node.flags, entries)

    def _load(self, digest: bytes) -> Node | None:
        node = self._nodes(digest)
        if node is None:
            self.missing.add(digest)
            return None
        return _whole(node)

    def _save(self, node: Node) -> bytes:
        body = encode(node)
        digest = digest_of(body)
        if digest not in FIXED_NODES:
            self._bodies[digest] = body
            self._parsed[digest] = node
        return digest


# --- Comparing ---


def difference(
    nodes: Nodes, a: bytes, b: bytes, event_type: str | None = None, *, shape: Shape = SHAPE
) -> dict[StateKey, tuple[EventID | None, EventID | None]]:
    """What differs between two maps, or in one type of them: the event in `a` and the event in `b`, None for none.

    Only paths that differ are read. Of a partial map the known entries count: what it does not know is None.
    """
    if a == b:
        return {}
    slots: Mapping[str, tuple[bytes | None, bytes | None]]
    if event_type is None:
        slots = {key: pair for (_, key), pair in _differing(nodes, {"": (_trie(a), _trie(b))}).items()}
    else:
        slots = {event_type: _slots_of_type(nodes, (a, b), event_type, shape)}
    pairs = {key: (_read(before), _read(after)) for key, (before, after) in slots.items()}
    return {
        key: (decode_value(before) if before else None, decode_value(after) if after else None)
        for key, (before, after) in _differing(nodes, pairs).items()
    }


def reachable(nodes: Nodes, roots: Iterable[bytes]) -> set[bytes]:
    """The digests of all nodes of the maps with these roots: what a collection keeps."""
    reached: set[bytes] = set()
    level = set(roots) - FIXED_NODES.keys()
    while level:
        below: set[bytes] = set()
        for node in _level(nodes, level):
            if isinstance(node, Branch):
                below.update(node.children)
            elif node.flags & TYPES:
                below.update(slot.root for slot in map(_read, node.entries.values()) if slot)
        reached |= level
        level = below - reached - FIXED_NODES.keys() - {b""}
    return reached


def _trie(root: bytes) -> Slot:
    return Slot(root=root, is_open=False, single=None)


def _read(slot: bytes | None) -> Slot | None:
    return read_slot(slot) if slot else None


def _slots_of_type(
    nodes: Nodes, roots: tuple[bytes, bytes], event_type: str, shape: Shape
) -> tuple[bytes | None, bytes | None]:
    found: list[bytes | None] = []
    missing: set[bytes] = set()
    for root in roots:
        try:
            slot = _find(nodes, root, event_type, _place_of_type(event_type), shape.slot_bits)
        except MissingNodes as lacking:
            missing |= lacking.digests
        else:
            found.append(None if isinstance(slot, Absence) else slot)
    if missing:
        raise MissingNodes(missing)
    return found[0], found[1]


def _differing(
    nodes: Nodes, pairs: Mapping[str, tuple[Slot | None, Slot | None]]
) -> dict[StateKey, tuple[bytes | None, bytes | None]]:
    """The values that differ between two tries, for several pairs of tries at once, each known by a label."""
    sides: tuple[dict[StateKey, bytes], dict[StateKey, bytes]] = ({}, {})
    level: list[tuple[str, bytes, bytes]] = []
    for label, pair in pairs.items():
        for side, slot in zip(sides, pair, strict=True):
            if slot is not None and slot.single is not None:
                side.update({(label, key): value for key, value in slot.single.entries.items()})
        before, after = (slot.root if slot is not None else b"" for slot in pair)
        if before != after:
            level.append((label, before, after))
    while level:
        digests = list({digest for _, *pair in level for digest in pair if digest})
        loaded: dict[bytes, Node] = dict(zip(digests, _level(nodes, digests), strict=True))
        below: list[tuple[str, bytes, bytes]] = []
        for label, *digest_pair in level:
            old, new = (loaded.get(digest) for digest in digest_pair)
            if isinstance(old, Branch) and isinstance(new, Branch):
                children = zip(old.children, new.children, strict=True)
                below += [(label, before, after) for before, after in children if before != after]
                continue
            # Other than between branches, whatever is on one side alone is part of the difference.
            for side, node in zip(sides, (old, new), strict=True):
                if isinstance(node, Leaf):
                    side.update({(label, key): value for key, value in node.entries.items()})
            if isinstance(old, Branch):
                below += [(label, child, b"") for child in old.children if child]
            if isinstance(new, Branch):
                below += [(label, b"", child) for child in new.children if child]
        level = below
    keys = sides[0].keys() | sides[1].keys()
    pairs_of_values = {key: (sides[0].get(key) or None, sides[1].get(key) or None) for key in keys}
    return {key: pair for key, pair in pairs_of_values.items() if pair[0] != pair[1]}
