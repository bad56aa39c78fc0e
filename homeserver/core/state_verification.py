"""The recomputation of a state map from its bytes: does every node have its digest, and is the form canonical?

What nodes look like is in state_nodes.py, how they make up a map in state_map.py.
"""

from collections.abc import Callable
from typing import NamedTuple

from homeserver.core.state_map import FIXED_NODES, PLACE_BITS, place_of
from homeserver.core.state_nodes import (
    KNOWN_ABSENT,
    OPEN,
    SHAPE,
    TYPES,
    BadNode,
    Branch,
    Leaf,
    Node,
    Shape,
    check_value,
    decode,
    digest_of,
    encode,
    read_slot,
    single_slot,
)


class Fault(NamedTuple):
    """The first node of a map that is wrong, and what is wrong with it."""

    digest: bytes
    reason: str


class Position(NamedTuple):
    """Where a node stands: what may be in it depends on it."""

    digest: bytes
    flags: int
    depth: int
    prefix: int  # the first depth * slot_bits bits of the places of all keys below


def verify(
    bodies: Callable[[bytes], bytes | None],
    root: bytes,
    *,
    passed: set[Position] | None = None,
    shape: Shape = SHAPE,
) -> Fault | None:
    """The first thing wrong with a map, top down and from left to right; None when its root can be relied on.

    `bodies` gives the bytes stored under a digest, None when there are none. Whoever verifies many maps of one room
    gives the same `passed` to each call: what has passed once is not looked at again.
    """
    known: set[Position] = set() if passed is None else passed
    verification = _Verification(bodies, known, shape)
    try:
        flags = verification.node(root).flags & OPEN | TYPES
        verification.trie(Position(root, flags, 0, 0))
    except _Faulty as faulty:
        return faulty.fault
    return None


class _Faulty(Exception):  # noqa: N818 - carries the answer up
    def __init__(self, digest: bytes, reason: str) -> None:
        self.fault = Fault(digest, reason)


class _Verification:
    """One pass over a map. It goes no deeper than `shape.depth` per trie, whatever the nodes claim."""

    def __init__(self, bodies: Callable[[bytes], bytes | None], passed: set[Position], shape: Shape) -> None:
        self._bodies = bodies
        self._passed = passed
        self._shape = shape

    def node(self, digest: bytes) -> Node:
        """A node whose bytes are right in themselves."""
        fixed = FIXED_NODES.get(digest)
        if fixed is not None:
            return fixed
        body = self._bodies(digest)
        if body is None:
            raise _Faulty(digest, "it is missing")
        if digest_of(body) != digest:
            raise _Faulty(digest, "its content has another digest")
        try:
            node = decode(body, self._shape)
        except BadNode as bad:
            raise _Faulty(digest, str(bad)) from None
        if encode(node) != body:
            raise _Faulty(digest, "its entries are not in order")
        return node

    def trie(self, position: Position) -> None:
        """Check the node at a position and all that is below it."""
        if position in self._passed:
            return
        node = self.node(position.digest)
        if node.flags != position.flags:
            raise _Faulty(position.digest, "it belongs to another kind of trie")
        if isinstance(node, Branch):
            self._branch(node, position)
        else:
            self._leaf(node, position)
        self._passed.add(position)

    def _branch(self, node: Branch, position: Position) -> None:
        digest, flags, depth, prefix = position
        if depth >= self._shape.depth:
            raise _Faulty(digest, "it is a branch deeper than branches go")
        if node.total <= self._shape.leaf_entries:
            raise _Faulty(digest, "it is a branch with so few entries that it ought to be a leaf")
        total = 0
        for slot, child in enumerate(node.children):
            if child:
                self.trie(Position(child, flags, depth + 1, prefix << self._shape.slot_bits | slot))
                below = self.node(child)
                total += below.total if isinstance(below, Branch) else len(below.entries)
        if total != node.total:
            raise _Faulty(digest, f"it announces {node.total} entries and has {total}")

    def _leaf(self, node: Leaf, position: Position) -> None:
        digest, flags, depth, prefix = position
        if len(node.entries) > self._shape.leaf_entries and depth < self._shape.depth:
            raise _Faulty(digest, "it is a leaf with so many entries that it ought to be a branch")
        if not node.entries and depth:
            raise _Faulty(digest, "it is an empty leaf below a branch")
        if not node.entries and not flags & (TYPES | OPEN):
            raise _Faulty(digest, "it is the subtree of a type without entries")
        shift = PLACE_BITS - depth * self._shape.slot_bits
        for key, value in node.entries.items():
            if place_of(key) >> shift != prefix:
                raise _Faulty(digest, f"the key {key!r:.80} does not belong into it")
            if value == KNOWN_ABSENT:
                if not flags & OPEN:
                    raise _Faulty(digest, f"the key {key!r:.80} has no value")
                continue
            try:
                self._slot(value) if flags & TYPES else check_value(value)
            except BadNode as bad:
                raise _Faulty(digest, f"the key {key!r:.80}: {bad}") from None

    def _slot(self, value: bytes) -> None:
        slot = read_slot(value)
        if slot.single is not None:
            ((_, event),) = slot.single.entries.items()
            check_value(event)
            if single_slot(slot.single) != value:
                raise BadNode("its only entry is not written in its canonical form")
            return
        self.trie(Position(slot.root, OPEN if slot.is_open else 0, 0, 0))
        subtree = self.node(slot.root)
        if isinstance(subtree, Leaf) and single_slot(subtree) is not None:
            raise BadNode("its subtree has one entry, which ought to stand in its slot")
