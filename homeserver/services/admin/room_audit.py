"""The audit of one room: everything that is stored of it, recomputed from the bytes, until something does not hold.

It goes in slices, each within a transaction of its own: while it goes on, the room may. What holds of a single event
is in core/event_audit.py; how audits are asked for and gone on with, in audits.py.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

import orjson

from homeserver.core import state_map
from homeserver.core.errors import MissingEvents, MissingNodes, UnsupportedRoomVersion
from homeserver.core.event import Event
from homeserver.core.event_audit import (
    Kept,
    Unsound,
    check_authorisation,
    check_redaction,
    check_references,
    check_roots,
    check_signatures,
    merged_root,
    read_stored,
)
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.core.signing import SigningKey, VerifyKey
from homeserver.core.state_map import FIXED_NODES, StateKey, UnknownState
from homeserver.core.state_nodes import BadNode, HashedEventID, Node, child_digests, decode, digest_of
from homeserver.core.state_resolution import resolve_states
from homeserver.core.state_verification import Position, verify
from homeserver.services.errors import NotFound
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.room_audit import ChangeRow, EventRow, MemberRow, RoomRow
from homeserver.storage.state_nodes import load_bodies

EVENTS_PER_SLICE: Final = 32
ROWS_PER_SLICE: Final = 200
NODES_PER_SLICE: Final = 2_000  # read for the first time
NODES_PER_ROUND: Final = 256
BEFORE_ALL: Final = -(1 << 62)  # no place, position or number is as low

# What is kept between slices. Of a map that passed and was forgotten, all is gone through once more.
MOST_KEPT_EVENTS: Final = 4_000
MOST_KEPT_NODES: Final = 20_000
MOST_PASSED: Final = 200_000


class KnownKeys(Protocol):
    """The keys by which servers sign events, as far as this server has them."""

    def of_server(self, tx: Transaction, server_name: ServerName) -> Iterable[VerifyKey]:
        """All keys of a server that are known here, the old ones too."""


class OwnKeys:
    """This server's own key, and nobody else's."""

    def __init__(self, server_name: ServerName, signing_key: SigningKey) -> None:
        self._server_name = server_name
        self._key = signing_key.verify_key

    def of_server(self, _tx: Transaction, server_name: ServerName) -> Iterable[VerifyKey]:
        """See KnownKeys."""
        return (self._key,) if server_name == self._server_name else ()


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that does not hold: what it is about (an event's ID, or a few words), and what is wrong."""

    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


@dataclass(slots=True)
class Counts:
    """What an audit has gone through so far. `unverified` are the signatures for which this server has no key."""

    events: int = 0
    nodes: int = 0
    members: int = 0
    unverified: int = 0


class _Stage(Enum):
    EVENTS = "the events in the room's order, and then its present"
    OUTLIERS = "the events without a place"
    ROOTS = "the log of the room's states"
    MEMBERS = "the rows of its members"
    DONE = "done"


class _Pause(Exception):  # noqa: N818 - a turn of control inside this file
    """This slice has read enough."""


@dataclass(slots=True)
class _Memory:
    """What an audit keeps between its slices: events that were checked, nodes, and which maps are sound."""

    events: OrderedDict[EventID, Kept] = field(default_factory=OrderedDict)
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    nodes: dict[bytes, Node] = field(default_factory=dict)
    passed: set[Position] = field(default_factory=set)
    sound_roots: set[bytes] = field(default_factory=set)

    def tidy(self) -> None:
        """Forget what is too much."""
        if len(self.passed) > MOST_PASSED:
            self.passed.clear()
            self.sound_roots.clear()
        for kept in (self.bodies, self.nodes):
            if len(kept) > MOST_KEPT_NODES:
                kept.clear()
        while len(self.events) > MOST_KEPT_EVENTS:
            self.events.popitem(last=False)


class RoomAudit:
    """One audit of one room."""

    def __init__(self, room_id: RoomID, keys: KnownKeys, server_name: ServerName) -> None:
        self.room_id: Final = room_id
        self.counts: Final = Counts()
        self.fault: Fault | None = None
        self._keys = keys
        self._server_name = server_name
        self._memory = _Memory()
        self._stage = _Stage.EVENTS
        self._subject = ""
        # How far each stage has come.
        self._place = BEFORE_ALL
        self._nid = BEFORE_ALL
        self._position = BEFORE_ALL
        self._user_id = ""
        # The events on which no accepted one is built; those of them on which only soft-failed ones are.
        self._heads: set[EventID] = set()
        self._half_heads: set[EventID] = set()
        self._deepest = 0

    def go_on(self, tx: Transaction) -> bool:
        """Go through the next slice; False when there is no more, or a fault was found. Raises NotFound.

        A slice that failed half-way, for want of a database, may be gone through again.
        """
        self._subject = "the room"
        self._memory.tidy()
        try:
            row = rows.room_row(tx, self.room_id)
            if row is None:
                raise NotFound("This server knows no such room")
            self._go_on(_Reading(tx, self.room_id, _version(row), self._memory, self.counts), row)
        except _Pause:
            return True
        except Unsound as unsound:
            self.fault = Fault(self._subject, unsound.reason)
        except MissingNodes as missing:
            self.fault = Fault(self._subject, f"state node {min(missing.digests).hex()[:16]} is missing")
        return self.fault is None and self._stage is not _Stage.DONE

    def _go_on(self, reading: "_Reading", row: RoomRow) -> None:
        match self._stage:
            case _Stage.EVENTS:
                self._go_through_events(reading, row)
            case _Stage.OUTLIERS:
                self._go_through_outliers(reading)
            case _Stage.ROOTS:
                self._go_through_roots(reading)
            case _Stage.MEMBERS:
                self._go_through_members(reading, row)
            case _Stage.DONE:
                pass

    # --- Events ---

    def _go_through_events(self, reading: "_Reading", row: RoomRow) -> None:
        page = rows.placed_events(reading.tx, self.room_id, after=self._place, limit=EVENTS_PER_SLICE)
        positions = [one.log_position for one in page if one.log_position is not None]
        noted = rows.roots_at_positions(reading.tx, self.room_id, positions)
        for event_row in page:
            kept = self._check_event(reading, event_row)
            self._follow(kept, None if kept.log_position is None else noted.get(kept.log_position))
            self._place = self._place if kept.place is None else kept.place
        if len(page) < EVENTS_PER_SLICE:
            self._check_present(reading, row)
            self._stage = _Stage.OUTLIERS

    def _go_through_outliers(self, reading: "_Reading") -> None:
        page = rows.unplaced_events(reading.tx, self.room_id, after=self._nid, limit=EVENTS_PER_SLICE)
        for event_row in page:
            self._check_event(reading, event_row)
            self._nid = event_row.nid
        if len(page) < EVENTS_PER_SLICE:
            self._stage = _Stage.ROOTS

    def _check_event(self, reading: "_Reading", event_row: EventRow) -> Kept:
        self._subject = event_row.event_id
        kept = reading.keep(event_row)
        unverified = check_signatures(kept, lambda server: self._keys.of_server(reading.tx, server))
        check_references(kept, reading.find)
        for root, when in ((kept.root_before, "before"), (kept.root_after, "after")):
            if root is not None:
                reading.check_map(root, f"the state {when} it")
        check_roots(kept, reading.find, reading.node, reading.merge)
        check_authorisation(kept, reading.find, reading.select)
        check_redaction(kept, reading.find_now, reading.select)
        self.counts.events += 1
        self.counts.unverified += unverified
        return kept

    def _follow(self, kept: Kept, noted: bytes | None) -> None:
        """Follow the heads of the room from event to event; `noted` is what room_roots says of the event's position."""
        if kept.log_position is None or kept.is_rejected:
            return
        event = kept.event
        self._deepest = max(self._deepest, event.depth if kept.is_accepted else 0)
        self._half_heads |= self._heads.intersection(event.prev_event_ids)
        if kept.is_accepted:
            self._heads.difference_update(event.prev_event_ids)
            self._half_heads.difference_update(event.prev_event_ids)
            self._heads.add(event.event_id)
        if noted is not None and self._heads == {event.event_id} and noted != kept.root:
            raise Unsound("room_roots has another state at its position")

    # --- The present ---

    def _check_present(self, reading: "_Reading", row: RoomRow) -> None:
        """The room's row against its last events."""
        self._subject = "the room"
        heads = _heads(row)
        if not self._heads - self._half_heads <= heads <= self._heads:
            raise Unsound(f"its heads are {sorted(heads)}, and nothing is built on {sorted(self._heads)}")
        if self._place != BEFORE_ALL and row.last_place != self._place:
            raise Unsound(f"its last place is said to be {row.last_place}, and is {self._place}")
        if row.depth != self._deepest:
            raise Unsound(f"its depth is said to be {row.depth}, and is {self._deepest}")
        self._subject = "the current state"
        reading.check_map(row.current_root, "it")
        after = [kept.root for head in sorted(heads) if (kept := reading.find(head)) is not None]
        roots = [root for root in after if root is not None]
        if roots and merged_root(roots, reading.merge) != row.current_root:
            raise Unsound("it is not the one after the room's last events")
        if rows.newest_root(reading.tx, self.room_id) != row.current_root:
            raise Unsound("the newest row of room_roots is another one")

    def _go_through_roots(self, reading: "_Reading") -> None:
        page = rows.root_rows(reading.tx, self.room_id, after=self._position, limit=ROWS_PER_SLICE)
        for row in page:
            self._subject = f"the state at position {row.log_position}"
            if not row.has_event:
                raise Unsound("room_roots has a position that is no event's")
            reading.check_map(row.root, "it")
            self._position = row.log_position
        if len(page) < ROWS_PER_SLICE:
            self._stage = _Stage.MEMBERS

    # --- Members ---

    def _go_through_members(self, reading: "_Reading", row: RoomRow) -> None:
        """A row for each member event of the current state, and no other; and how it came to be so."""
        self._subject = "the current state"
        root = row.current_root
        reading.check_map(root, "it")
        page = rows.member_rows(reading.tx, self.room_id, after=self._user_id, limit=ROWS_PER_SLICE)
        changes: dict[str, list[ChangeRow]] = {}
        for change in rows.change_rows(reading.tx, self.room_id, [member.user_id for member in page]):
            changes.setdefault(change.user_id, []).append(change)
        for member in page:
            self._subject = f"the membership of {member.user_id}"
            self._check_member(reading, root, member)
            _check_changes(member, changes.get(member.user_id, ()))
            self._user_id = member.user_id
            self.counts.members += 1
        if len(page) < ROWS_PER_SLICE:
            self._subject = "the memberships"
            self._check_nobody_is_missing(reading, root)
            self._stage = _Stage.DONE

    def _check_member(self, reading: "_Reading", root: bytes, member: MemberRow) -> None:
        try:
            event_id = state_map.get(reading.node, root, "m.room.member", member.user_id)
        except UnknownState:
            return  # the state is partial
        if event_id is None:
            raise Unsound("it has a row, and no member event")
        kept = reading.find_now(event_id)
        if kept is None:
            raise Unsound(f"its member event {event_id} is not here")
        event = kept.event
        expected = {
            "event_id": (member.event_id, event_id),
            "membership": (member.membership, str(event.content.get("membership", "leave"))),
            "sender": (member.sender, event.sender),
            "place": (member.place, kept.place or 0),
            "display_name": (member.display_name, _text(event.content.get("displayname"))),
            "avatar_url": (member.avatar_url, _text(event.content.get("avatar_url"))),
            "is_local": (member.is_local, server_name_of(UserID(member.user_id)) == self._server_name),
        }
        for column, (found, right) in expected.items():
            if found != right:
                raise Unsound(f"its row has {column} {found!r}, and ought to have {right!r}")
        if kept.log_position is not None and member.log_position < kept.log_position:
            raise Unsound("its row is older than its member event")

    def _check_nobody_is_missing(self, reading: "_Reading", root: bytes) -> None:
        try:
            count = state_map.count_of_type(reading.node, root, "m.room.member")
        except UnknownState:
            return
        if rows.member_count(reading.tx, self.room_id) == count:
            return  # each row has an event of its own: then no event is left without a row
        known = rows.member_ids(reading.tx, self.room_id)
        for (_, user_id), _event_id in state_map.items_of_type(reading.node, root, "m.room.member"):
            if user_id not in known:
                raise Unsound(f"{user_id} has a member event, and no row")


class _Reading:
    """What one slice reads of the room. Events and nodes that were read are kept in the audit's memory."""

    def __init__(self, tx: Transaction, room_id: RoomID, version: RoomVersion, memory: _Memory, counts: Counts) -> None:
        self.tx = tx
        self._room_id = room_id
        self._version = version
        self._memory = memory
        self._counts = counts
        self._nodes_left = NODES_PER_SLICE

    def keep(self, row: EventRow) -> Kept:
        """The event of a row, if it is what the row says. Raises Unsound."""
        if not row.is_of_known_kind:
            raise Unsound(f"it is of verdict {row.verdict} and form {row.form}, redacted by {row.redacted_by}")
        event = read_stored(row.pdu, self._version, event_id=row.event_id, room_id=self._room_id, is_whole=row.is_whole)
        columns = (row.type, row.sender, row.state_key, row.origin_server_ts)
        if columns != (event.type, event.sender, event.state_key, event.origin_server_ts):
            raise Unsound(f"its row has columns that are not its own: {columns}")
        kept = Kept(
            event=event,
            place=row.place,
            log_position=row.log_position,
            is_accepted=row.is_accepted,
            is_rejected=row.is_rejected,
            is_whole=row.is_whole,
            redacted_by=row.redacted_by,
            replaces_state=row.replaces_state,
            root_before=row.root_before,
            root_after=row.root_after,
            given_by=row.given_by,
        )
        self._memory.events[row.event_id] = kept
        return kept

    def find(self, event_id: EventID) -> Kept | None:
        """An event of this room; it may have been redacted since it was read."""
        known = self._memory.events.get(event_id)
        if known is None:
            return self.find_now(event_id)
        self._memory.events.move_to_end(event_id)
        return known

    def find_now(self, event_id: EventID) -> Kept | None:
        """An event of this room as it is now."""
        row = rows.find_event_row(self.tx, self._room_id, event_id)
        if row is None:
            return None
        try:
            return self.keep(row)
        except Unsound as unsound:
            raise Unsound(f"it refers to {event_id}: {unsound.reason}") from unsound

    def check_map(self, root: bytes, name: str) -> None:
        """Raise Unsound unless the map with this root is here, whole and as maps are written."""
        if root in self._memory.sound_roots:
            return
        fault = verify(self._body, root, passed=self._memory.passed)
        if fault is not None:
            raise Unsound(f"{name}: state node {fault.digest.hex()[:16]}: {fault.reason}")
        self._memory.sound_roots.add(root)

    def node(self, digest: bytes) -> Node | None:
        """A node of a map that was checked."""
        node = self._memory.nodes.get(digest)
        if node is None and digest not in FIXED_NODES:
            body = self._memory.bodies.get(digest) or load_bodies(self.tx, self._room_id, [digest]).get(digest)
            if body is None or digest_of(body) != digest:
                return None
            node = self._memory.nodes[digest] = decode(body)
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

    def merge(self, roots: Sequence[bytes]) -> bytes:
        """The root of the resolution of several states."""
        states = [dict(state_map.items(self.node, root)) for root in roots]
        try:
            resolved = resolve_states(
                states, self._find_event, room_id=self._room_id, version=self._version, rejected=_Rejected(self)
            )
        except MissingEvents as missing:
            raise Unsound(f"states cannot be merged without {min(missing.event_ids)}, which is not here") from missing
        first = states[0]
        changes = {
            key: None if event_id is None else self._state_value(event_id)
            for key in first.keys() | resolved.keys()
            if (event_id := resolved.get(key)) != first.get(key)
        }
        return state_map.update(self.node, roots[0], changes).root

    def _find_event(self, event_id: EventID) -> Event | None:
        kept = self.find(event_id)
        return None if kept is None else kept.event

    def _state_value(self, event_id: EventID) -> EventID | HashedEventID:
        kept = self.find(event_id)
        if kept is None:
            raise Unsound(f"the merged state has {event_id}, which is not here")
        return kept.state_value

    def _body(self, digest: bytes) -> bytes | None:
        """The bytes of a node, read together with some below it. Raises _Pause when this slice has read enough."""
        bodies = self._memory.bodies
        body = bodies.get(digest)
        if body is not None:
            return body
        if self._nodes_left <= 0:
            raise _Pause
        level, read = {digest}, 0
        while level and read < NODES_PER_ROUND:
            found = load_bodies(self.tx, self._room_id, level)
            bodies.update(found)
            read += len(found)
            below = {child for body in found.values() for child in _children(body)}
            level = {child for child in below if child not in bodies and child not in FIXED_NODES}
        self._nodes_left -= max(read, 1)
        self._counts.nodes += read
        return bodies.get(digest)


class _Rejected(Container[EventID]):
    """The events that were rejected."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading

    def __contains__(self, event_id: object) -> bool:
        kept = self._reading.find(EventID(str(event_id)))
        return kept is not None and kept.is_rejected


def _children(body: bytes) -> list[bytes]:
    """The nodes that a node names; none for bytes that are no node."""
    try:
        return child_digests(body)
    except (BadNode, IndexError):
        return []


def _check_changes(member: MemberRow, changes: Sequence[ChangeRow]) -> None:
    """Each change follows the one before, and the last led to where the membership is."""
    last: ChangeRow | None = None
    for change in changes:
        if last is not None and change.before not in (last.membership, None):  # None: it was out of the state
            raise Unsound(f"it went from {change.before} at position {change.log_position}, and was {last.membership}")
        last = change
    if last is None:
        return
    led_to = (last.membership, last.event_id, last.log_position)
    if led_to != (member.membership, member.event_id, member.log_position):
        raise Unsound(f"it came to {last.membership} by {last.event_id}, and its row says otherwise")


def _version(row: RoomRow) -> RoomVersion:
    try:
        return room_version(row.version)
    except UnsupportedRoomVersion as unsupported:
        raise Unsound(unsupported.reason) from unsupported


def _heads(row: RoomRow) -> set[EventID]:
    try:
        heads = orjson.loads(row.heads)
    except orjson.JSONDecodeError:
        heads = None
    if not isinstance(heads, list) or not all(isinstance(head, str) for head in heads):
        raise Unsound("its heads are not a list of events")
    return set(heads)


def _text(value: object) -> str | None:
    """As memberships has it, where neither NUL nor a lone surrogate can be."""
    return value.replace("\0", "").encode(errors="ignore").decode() if isinstance(value, str) else None
