"""The nodes of the rooms' state maps: stored, loaded, collected when no kept root reaches them.

What a node is and how nodes make up a map is in core/state_nodes.py and core/state_map.py; which root belongs to which
event or position is in the tables of events and rooms.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import RoomID
from homeserver.core.slices import slices
from homeserver.core.state_map import FIXED_NODES
from homeserver.core.state_nodes import Node, child_digests, decode
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

DIGESTS_PER_STATEMENT: Final = 4096

BODIES = "SELECT digest, body FROM state_nodes WHERE room_id = :room_id AND digest IN :digests[bytes]"


def load_bodies(tx: Transaction, room_id: RoomID, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """The stored bytes of those of `digests` that the room has."""
    bodies: dict[bytes, bytes] = {}
    for some in slices(list(digests), DIGESTS_PER_STATEMENT):
        for digest, body in tx.all(BODIES, room_id=room_id, digests=some):
            bodies[bytes(digest)] = bytes(body)
    return bodies


def load_nodes(tx: Transaction, room_id: RoomID, digests: Iterable[bytes]) -> dict[bytes, Node]:
    """Those nodes of `digests` that the room has. When it has none, whoever asked asks for what was collected."""
    return {digest: decode(body) for digest, body in load_bodies(tx, room_id, digests).items()}


def load_subtree(tx: Transaction, room_id: RoomID, root: bytes) -> dict[bytes, Node]:
    """All nodes below a root, or below the root of one type, and itself: a statement or so per level."""
    return {digest: decode(body) for digest, body in load_subtree_bodies(tx, room_id, root).items()}


def load_subtree_bodies(tx: Transaction, room_id: RoomID, root: bytes) -> dict[bytes, bytes]:
    """As `load_subtree`, but the bytes as they are stored: for a verification."""
    bodies: dict[bytes, bytes] = {}
    for some in _levels(tx, room_id, {root}, frozenset(), bodies):
        bodies.update(some)
    return bodies


STORE = """
    INSERT INTO state_nodes (room_id, digest, body) VALUES (:room_id, :digest, :body)
    ON CONFLICT (room_id, digest) DO NOTHING"""


def store_nodes(tx: Transaction, room_id: RoomID, new_nodes: Mapping[bytes, bytes]) -> None:
    """Keep the nodes of an update (`Updated.new_nodes`), all of them, whatever is stored already."""
    tx.insert_many(STORE, [{"room_id": room_id, "digest": d, "body": body} for d, body in new_nodes.items()])


DELETE = "DELETE FROM state_nodes WHERE room_id = :room_id AND digest IN :digests[bytes]"


def delete_nodes(tx: Transaction, room_id: RoomID, digests: Iterable[bytes]) -> int:
    """Delete nodes, whether or not a root reaches them; return how many there were."""
    return sum(tx.run(DELETE, room_id=room_id, digests=some) for some in slices(list(digests), DIGESTS_PER_STATEMENT))


@dataclass(frozen=True, slots=True)
class Survey:
    """What a room's kept roots reached at one moment, and which of its nodes they did not."""

    roots: frozenset[bytes]
    reached: frozenset[bytes]
    garbage: tuple[bytes, ...]


DIGESTS = "SELECT digest FROM state_nodes WHERE room_id = :room_id"


def survey_nodes(tx: Transaction, room_id: RoomID, kept_roots: Iterable[bytes]) -> Survey:
    """Find out which nodes of a room could go: in a read, for it goes through every node that is kept.

    Raises MissingNodes when a kept root lacks some: then nothing of the room may be deleted by what is reached.
    """
    roots = frozenset(kept_roots)
    reached = frozenset(_reach(tx, room_id, roots, frozenset()))
    garbage = tuple(digest for (row,) in tx.all(DIGESTS, room_id=room_id) if (digest := bytes(row)) not in reached)
    return Survey(roots, reached, garbage)


def collect_surveyed(
    tx: Transaction, room_id: RoomID, survey: Survey, some: Sequence[bytes], kept_roots: Iterable[bytes]
) -> int:
    """Delete `some` of a survey's garbage, but for what `kept_roots` of this moment reach; return how many went.

    Only roots that are new since the survey are walked. `kept_roots` must be read in this transaction, after a write
    to the row by which writers of this room's state wait for one another: so no root can be on its way meanwhile.
    """
    rescued = _reach(tx, room_id, frozenset(kept_roots) - survey.roots, survey.reached)
    return delete_nodes(tx, room_id, [digest for digest in some if digest not in rescued])


def collect(tx: Transaction, room_id: RoomID, kept_roots: Iterable[bytes], limit: int) -> int:
    """Survey a room and delete at most `limit` of its nodes that no kept root reaches, all in one transaction.

    For a large room, survey in a read, then `collect_surveyed` in as many writes as there are slices of garbage; what
    is said there of `kept_roots` holds here too.
    """
    survey = survey_nodes(tx, room_id, kept_roots)
    return delete_nodes(tx, room_id, survey.garbage[:limit])


def _reach(tx: Transaction, room_id: RoomID, roots: frozenset[bytes], known: frozenset[bytes]) -> set[bytes]:
    """The nodes below some roots that are neither known already nor below such."""
    reached: set[bytes] = set()
    for some in _levels(tx, room_id, roots, known, reached, must_exist=True):
        reached.update(some)
    return reached


def _levels(
    tx: Transaction,
    room_id: RoomID,
    roots: Iterable[bytes],
    known: Container[bytes],
    reached: Container[bytes],
    *,
    must_exist: bool = False,
) -> Iterator[dict[bytes, bytes]]:
    """The nodes below some roots, level by level, some at a time: the caller puts them into `reached`.

    What is `known` is not loaded, nor what is below it.
    """
    level = set(roots)
    while level := {digest for digest in level if not (digest in FIXED_NODES or digest in known or digest in reached)}:
        below: set[bytes] = set()
        for some in slices(list(level), DIGESTS_PER_STATEMENT):
            bodies = load_bodies(tx, room_id, some)
            if must_exist and len(bodies) < len(some):
                raise MissingNodes(set(some) - bodies.keys())
            yield bodies
            below.update(child for body in bodies.values() for child in child_digests(body))
        level = below


TABLES: Final = (
    Table(
        "state_nodes",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("what the kept roots of a room reach; the rest is collected"),
    ),
)
