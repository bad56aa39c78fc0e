"""The nodes of the state map: what a node holds, its bytes, and the digest that names it.

How nodes make up a map is in state_map.py, the recomputation of a whole map in state_verification.py.

A node is a branch or a leaf of one of two kinds of trie: the trie of a map's types, whose values are slots (where the
entries of that type are), or the trie of one type's state keys, whose values name events. The first byte of a node
tells all of this, so that no two different nodes share their bytes:

    branch: tag (1)  entries below it (4)  children present, a bit each (1)  their digests (32 each, lowest bit first)
    leaf:   tag (1)  then per entry, sorted by key: length of key (2)  length of value (2)  key  value
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from homeserver.core.identifiers import EventID

DIGEST_BYTES: Final = 32

# The first byte of a node: the format's number in the high half, these flags in the low one.
FORMAT: Final = 0x10
BRANCH: Final = 1
TYPES: Final = 2  # the trie over types; else the trie over the state keys of one type
OPEN: Final = 4  # what is not in this trie is unknown rather than absent

_BRANCH_HEAD: Final = Struct(">BIB")
_LENGTHS: Final = Struct(">HH")

# The first byte of a value: how the event ID is written, and whether a reference hash stands before it.
_ID_TEXT: Final = 0
_ID_URLSAFE: Final = 1
_ID_STANDARD: Final = 2
_HASHED: Final = 4
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
KNOWN_ABSENT: Final = b""  # a value that occurs in open tries alone

# The first byte of a slot.
_SLOT_SUBTREE: Final = b"\x00"
_SLOT_OPEN_SUBTREE: Final = b"\x01"
_SLOT_SINGLE: Final = b"\x02"
_SINGLE_TAG: Final = 2
# A longer single entry gets a leaf of its own: else a long state key would be copied at every change of the room.
_SINGLE_BYTES: Final = 128


class Shape(NamedTuple):
    """How a trie grows. Maps of different shapes have different roots: there is one for all rooms, `SHAPE`."""

    slot_bits: int  # a branch has 2 ** slot_bits children, at most 8
    leaf_entries: int  # a trie of at most so many entries is one leaf; a larger one begins with a branch
    depth: int  # a leaf below so many branches takes any number of entries; slot_bits * depth is at most 64


# Chosen by measuring what a change in a large room stores. 64 bits of SHA-256 are as deep as a trie gets: whoever
# grinds state keys with equal beginnings makes a path of 32 small branches at most, and pays 2^64 hashes for each entry
# of a leaf that is there.
SHAPE: Final = Shape(slot_bits=2, leaf_entries=6, depth=32)


class BadNode(Exception):  # noqa: N818 - named as the other things that can be bad
    """The bytes of a node, slot or value that no map can have written."""


class Branch(NamedTuple):
    """An inner node: `total` entries are below it. `children` has one digest per slot, b"" where nothing is."""

    flags: int
    total: int
    children: tuple[bytes, ...]


class Leaf(NamedTuple):
    """A bucket of entries, never modified: state key to value, or type to slot."""

    flags: int
    entries: Mapping[str, bytes]


class Stub(NamedTuple):
    """Stands for a node that this server never received: whatever is below it is unknown. It has no bytes."""

    flags: int = OPEN


Node = Branch | Leaf
STUB: Final = Stub()


class HashedEventID(NamedTuple):
    """An event of room version 1 or 2, whose ID says nothing about its content, with its reference hash (32 bytes)."""

    event_id: EventID
    reference_hash: bytes


def encode(node: Node) -> bytes:
    """The bytes of a node."""
    if isinstance(node, Branch):
        children = node.children
        if b"" in children:
            present = sum(1 << slot for slot, child in enumerate(children) if child)
        else:
            present = (1 << len(children)) - 1
        return _BRANCH_HEAD.pack(FORMAT | BRANCH | node.flags, node.total, present) + b"".join(children)
    parts = [bytes((FORMAT | node.flags,))]
    for key, value in sorted(node.entries.items()):
        key_bytes = key.encode("utf-8", "surrogatepass")
        parts += (_LENGTHS.pack(len(key_bytes), len(value)), key_bytes, value)
    return b"".join(parts)


def decode(body: bytes, shape: Shape = SHAPE) -> Node:
    """The node that has these bytes. Raises BadNode; whether the node is in canonical form is not asked here."""
    if not body or body[0] & 0xF0 != FORMAT or body[0] & 0x08:
        raise BadNode("it begins with a tag of no known format")
    flags = body[0] & (TYPES | OPEN)
    if body[0] & BRANCH:
        return _decode_branch(body, flags, 1 << shape.slot_bits)
    return Leaf(flags, _decode_entries(body))


def _decode_entries(body: bytes) -> dict[str, bytes]:
    entries: dict[str, bytes] = {}
    at, end = 1, len(body)
    while at < end:
        if at + 4 > end:
            raise BadNode("its last entry is cut short")
        key_bytes, value_bytes = _LENGTHS.unpack_from(body, at)
        value_at = at + 4 + key_bytes
        at, key_at = value_at + value_bytes, at + 4
        try:
            entries[body[key_at:value_at].decode("utf-8", "surrogatepass")] = body[value_at:at]
        except UnicodeDecodeError:
            raise BadNode("a key is not UTF-8") from None
    if at != end:
        raise BadNode("its last entry is cut short")
    return entries


def _decode_branch(body: bytes, flags: int, fan_out: int) -> Branch:
    if len(body) < _BRANCH_HEAD.size:
        raise BadNode("a branch is cut short")
    _, count, present = _BRANCH_HEAD.unpack_from(body)
    if present >> fan_out or len(body) != _BRANCH_HEAD.size + DIGEST_BYTES * present.bit_count():
        raise BadNode("a branch does not have the children that it announces")
    children = []
    at = _BRANCH_HEAD.size
    for slot in range(fan_out):
        if present >> slot & 1:
            children.append(body[at : at + DIGEST_BYTES])
            at += DIGEST_BYTES
        else:
            children.append(b"")
    return Branch(flags, count, tuple(children))


def digest_of(body: bytes) -> bytes:
    """The name of the node that has these bytes."""
    return sha256(body).digest()


def size_bytes(node: Node) -> int:
    """About how much memory a node takes, for the budget of a cache."""
    if isinstance(node, Branch):
        return 120 + 73 * len(node.children)
    return 300 + sum(150 + len(key) + len(value) for key, value in node.entries.items())


def encode_value(event: EventID | HashedEventID) -> bytes:
    """The bytes that stand for an event in a leaf: an ID that is a hash takes 32 bytes instead of 44."""
    if isinstance(event, HashedEventID):
        event_id, kind, reference_hash = event.event_id, _HASHED, event.reference_hash
        if len(reference_hash) != DIGEST_BYTES:
            raise ValueError("a reference hash has 32 bytes")
    else:
        event_id, kind, reference_hash = event, 0, b""
    if len(event_id) == 44 and event_id[0] == "$" and event_id.isascii():
        text = event_id[1:].encode()
        for written, encoded in ((_ID_URLSAFE, text.translate(_TO_STANDARD)), (_ID_STANDARD, text)):
            try:
                packed = a2b_base64(encoded + b"=")
            except ValueError:
                continue
            # Not every text that decodes is what its bytes encode to: that one is kept as it is.
            if len(packed) == DIGEST_BYTES and _decode_id(written, packed) == event_id:
                return bytes((kind | written,)) + reference_hash + packed
    return bytes((kind | _ID_TEXT,)) + reference_hash + event_id.encode("utf-8", "surrogatepass")


def decode_value(value: bytes) -> EventID:
    """The event ID in a value that `encode_value` wrote."""
    kind = value[0]
    return _decode_id(kind & 3, value[33:] if kind & _HASHED else value[1:])


def _decode_id(written: int, packed: bytes) -> EventID:
    if written == _ID_URLSAFE:
        return EventID("$" + b2a_base64(packed).translate(_TO_URLSAFE)[:43].decode())
    if written == _ID_STANDARD:
        return EventID("$" + b2a_base64(packed)[:43].decode())
    return EventID(packed.decode("utf-8", "surrogatepass"))


def check_value(value: bytes) -> None:
    """Raises BadNode unless `encode_value` writes these bytes."""
    if not value or value[0] & ~(_HASHED | 3) or (value[0] & _HASHED and len(value) < 1 + DIGEST_BYTES):
        raise BadNode("a value does not name an event")
    try:
        event_id = decode_value(value)
    except UnicodeDecodeError:
        raise BadNode("an event ID is not UTF-8") from None
    hashed = value[0] & _HASHED
    if encode_value(HashedEventID(event_id, value[1:33]) if hashed else event_id) != value:
        raise BadNode("an event ID is not written in its canonical form")


class Slot(NamedTuple):
    """Where the entries of one type are: in a subtree, or, when there is but one, here."""

    root: bytes  # b"" when `single` is set
    is_open: bool
    single: Leaf | None


def subtree_slot(root: bytes, *, is_open: bool) -> bytes:
    """The slot of a type whose entries are in a subtree of their own."""
    return (_SLOT_OPEN_SUBTREE if is_open else _SLOT_SUBTREE) + root


def single_slot(leaf: Leaf) -> bytes | None:
    """The slot that holds the only entry of a closed leaf; None for a leaf that needs to be a node of its own."""
    if len(leaf.entries) != 1 or leaf.flags & OPEN:
        return None
    ((key, value),) = leaf.entries.items()
    key_bytes = key.encode("utf-8", "surrogatepass")
    if len(key_bytes) + len(value) > _SINGLE_BYTES:
        return None
    return _SLOT_SINGLE + bytes((len(key_bytes),)) + key_bytes + value


def read_slot(slot: bytes) -> Slot:
    """What a slot says. Raises BadNode."""
    kind = slot[:1]
    if kind == _SLOT_SINGLE and len(slot) > 2 and len(slot) > 2 + slot[1]:
        value_at = 2 + slot[1]
        try:
            key = slot[2:value_at].decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise BadNode("a key is not UTF-8") from None
        return Slot(b"", False, Leaf(0, {key: slot[value_at:]}))  # noqa: FBT003 - a record's field
    if len(slot) != 1 + DIGEST_BYTES or kind not in (_SLOT_SUBTREE, _SLOT_OPEN_SUBTREE):
        raise BadNode("a type's slot names no subtree")
    return Slot(slot[1:], kind == _SLOT_OPEN_SUBTREE, None)


def slot_root(slot: bytes) -> bytes | None:
    """The subtree that a slot names; None when it holds the only entry itself."""
    return None if slot[0] == _SINGLE_TAG else slot[1:]


def child_digests(body: bytes) -> list[bytes]:
    """The nodes that a node names, without reading more of it than that needs."""
    tag = body[0]
    if tag & BRANCH:
        return [body[at : at + DIGEST_BYTES] for at in range(_BRANCH_HEAD.size, len(body), DIGEST_BYTES)]
    if not tag & TYPES:
        return []
    slots = _decode_entries(body).values()
    return [slot[1:] for slot in slots if slot[:1] != _SLOT_SINGLE]
