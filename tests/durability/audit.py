"""Is a database consistent in itself? Every rule that its tables keep among each other, checked from the rows alone.

It looks at one snapshot and changes nothing. `audit` says what is wrong in sentences, the empty list when all is well.
Whether what was acknowledged is there is another question: see test_kills.py.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core import state_map
from homeserver.core.canonical_json import decode_checked, encode_for
from homeserver.core.event import Event, view_event
from homeserver.core.hashing import event_id_of, has_valid_content_hash, reference_hash
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.core.state_nodes import HashedEventID, Node, decode
from homeserver.core.state_verification import Position, verify
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, Verdict
from homeserver.storage.schema import TABLES

INTEGRITY = "PRAGMA integrity_check"
COUNTERS = "SELECT name, value FROM counters"
HIGHEST_NID = "SELECT MAX(event_nid) FROM events"
LOG_POSITION = "SELECT value FROM log_position"
ROOM_IDS = "SELECT room_id FROM rooms ORDER BY room_id"
ROOM = """
    SELECT version, current_root, heads, depth, last_place, generation FROM rooms WHERE room_id = :room_id"""
EVENTS = """
    SELECT event_id, event_nid, log_position, place, type, sender, state_key, origin_server_ts, verdict, form,
           redacted_by, replaces_state, root_before, root_after, pdu
      FROM events WHERE room_id = :room_id ORDER BY event_nid"""
EVENT_POSITIONS = "SELECT log_position FROM events WHERE log_position IS NOT NULL"
STRAY_EVENTS = """
    SELECT event_id FROM events e WHERE NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_id = e.room_id)"""
ROOTS = "SELECT log_position, root FROM room_roots WHERE room_id = :room_id ORDER BY log_position"
NODES = "SELECT digest, body FROM state_nodes WHERE room_id = :room_id"
MEMBERSHIPS = """
    SELECT user_id, membership, event_id, sender, place, log_position, display_name, avatar_url, is_local
      FROM memberships WHERE room_id = :room_id"""
CHANGES = """
    SELECT user_id, log_position, before, membership, event_id FROM membership_changes
     WHERE room_id = :room_id ORDER BY user_id, log_position"""
TRANSACTIONS = "SELECT user_id, device_id, scope, transaction_id, outcome FROM client_transactions"
SENT_EVENTS = """
    SELECT event_id, sender, transaction_device, transaction_id FROM events WHERE transaction_id IS NOT NULL"""
STRAY_RELATIONS = """
    SELECT event_nid FROM relations x WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event_nid = x.event_nid)"""
STRAY_CLASS_NOTIFICATIONS = """
    SELECT room_id, place FROM class_notifications n
     WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = n.room_id AND e.place = n.place)"""
STRAY_PERSONAL_NOTIFICATIONS = """
    SELECT room_id, place FROM personal_notifications n
     WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = n.room_id AND e.place = n.place)"""
MISPLACED_RECEIPTS = """
    SELECT r.room_id, r.user_id, r.event_id FROM receipts r
     WHERE r.place IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM events e
                        WHERE e.event_id = r.event_id AND e.room_id = r.room_id AND e.place = r.place)"""


def audit(tx: Transaction) -> list[str]:
    """Whatever is wrong with the database, a sentence each."""
    return list(_database(tx)) + [
        f"{room_id}: {fault}" for (room_id,) in tx.all(ROOM_IDS) for fault in audit_room(tx, RoomID(room_id))
    ]


def audit_room(tx: Transaction, room_id: RoomID) -> list[str]:
    """Whatever is wrong with one room, a sentence each."""
    return list(_Room(tx, room_id).faults())


# --- What concerns no single room ---


def _database(tx: Transaction) -> Iterator[str]:
    if tx.dialect.name == "sqlite":
        found = [row[0] for row in tx.all(INTEGRITY)]
        if found != ["ok"]:
            yield f"SQLite says: {found}"
    counters: dict[str, int] = dict(tx.all(COUNTERS))
    ((highest_nid,),) = tx.all(HIGHEST_NID)
    if highest_nid is not None and highest_nid > counters.get("event_nid", 0):
        yield f"an event has the number {highest_nid}, and the counter stands at {counters.get('event_nid')}"
    yield from _positions(tx)
    for (event_id,) in tx.all(STRAY_EVENTS):
        yield f"{event_id} belongs to no room"
    for (nid,) in tx.all(STRAY_RELATIONS):
        yield f"there is a relation of event number {nid}, which there is not"
    for room_id, place in (*tx.all(STRAY_CLASS_NOTIFICATIONS), *tx.all(STRAY_PERSONAL_NOTIFICATIONS)):
        yield f"{room_id}: something notifies of place {place}, where no event is"
    for room_id, user_id, event_id in tx.all(MISPLACED_RECEIPTS):
        yield f"{room_id}: the receipt of {user_id} stands at {event_id}, but not at its place"
    yield from _client_transactions(tx)


def _positions(tx: Transaction) -> Iterator[str]:
    """No position is beyond the end of the log, and no two events share one."""
    ((end,),) = tx.all(LOG_POSITION)
    for table in _tables_with_positions(tx):
        ((highest,),) = tx.all(f"SELECT MAX(log_position) FROM {table}")
        if highest is not None and highest > end:
            yield f"{table} has position {highest}, and the log ends at {end}"
    for position, count in Counter(row[0] for row in tx.all(EVENT_POSITIONS)).items():
        if count > 1:
            yield f"{count} events have position {position}"


COLUMN_OF: Final = {
    "sqlite": "SELECT 1 FROM pragma_table_info(:name) WHERE name = 'log_position'",
    "postgresql": """
        SELECT 1 FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = :name AND column_name = 'log_position'""",
}


def _tables_with_positions(tx: Transaction) -> list[str]:
    return [table.name for table in TABLES if tx.one(COLUMN_OF[tx.dialect.name], name=table.name) is not None]


def _client_transactions(tx: Transaction) -> Iterator[str]:
    """Each transaction ID led to one event, which says so; each event that was sent with one has its row."""
    sent: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for event_id, sender, device, transaction_id in tx.all(SENT_EVENTS):
        sent[sender, device, transaction_id].append(event_id)
    outcomes: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for user_id, device, _, transaction_id, outcome in tx.all(TRANSACTIONS):
        if outcome.startswith("$"):
            outcomes[user_id, device, transaction_id].append(outcome)
    for key in sent.keys() | outcomes.keys():
        if sorted(sent[key]) != sorted(outcomes[key]):
            yield f"the transaction {key} led to {outcomes[key]}, and these events were sent with it: {sent[key]}"


# --- One room ---


@dataclass(frozen=True, slots=True)
class _Row:
    """An event as its row has it; `columns` are those that were extracted from the PDU."""

    event: Event
    nid: int
    log_position: int | None
    place: int | None
    columns: tuple[Any, ...]  # Any: of several types
    verdict: Verdict
    form: Form
    redacted_by: str | None
    replaces_state: str | None
    root_before: bytes | None
    root_after: bytes | None
    pdu_json: bytes

    @property
    def root(self) -> bytes | None:
        """The state with this event in it."""
        return self.root_after or self.root_before


class _Room:
    """All rows of one room, and the rules among them."""

    def __init__(self, tx: Transaction, room_id: RoomID) -> None:
        ((name, current_root, heads, depth, last_place, _),) = tx.all(ROOM, room_id=room_id)
        self.room_id = room_id
        self.version: RoomVersion = room_version(name)
        self.current_root = bytes(current_root)
        self.heads: set[str] = set(orjson.loads(heads))
        self.depth: int = depth
        self.last_place: int = last_place
        self.rows = [self._row(row) for row in tx.all(EVENTS, room_id=room_id)]
        self.by_id: dict[str, _Row] = {row.event.event_id: row for row in self.rows}
        self.placed = sorted((row for row in self.rows if row.place is not None), key=lambda row: row.place or 0)
        self.roots = [(position, bytes(root)) for position, root in tx.all(ROOTS, room_id=room_id)]
        self.bodies = {bytes(digest): bytes(body) for digest, body in tx.all(NODES, room_id=room_id)}
        self.memberships = {row[0]: row for row in tx.all(MEMBERSHIPS, room_id=room_id)}
        self.changes = tx.all(CHANGES, room_id=room_id)
        self._parsed: dict[bytes, Node] = {}

    def faults(self) -> Iterator[str]:
        """Whatever is wrong."""
        yield from self._events()
        yield from self._graph()
        faulty_maps = list(self._maps())
        yield from faulty_maps
        if faulty_maps:
            return  # what follows reads the maps
        yield from self._roots_of_events()
        yield from self._current_state()
        yield from self._log_of_roots()
        yield from self._members()
        yield from self._membership_log()

    def _row(self, row: tuple[Any, ...]) -> _Row:
        pdu_json = bytes(row[14])
        event = view_event(decode_checked(self.version, pdu_json), self.version, event_id=EventID(row[0]))
        return _Row(
            event=event,
            nid=row[1],
            log_position=row[2],
            place=row[3],
            columns=(row[4], row[5], row[6], row[7]),
            verdict=Verdict(row[8]),
            form=Form(row[9]),
            redacted_by=row[10],
            replaces_state=row[11],
            root_before=None if row[12] is None else bytes(row[12]),
            root_after=None if row[13] is None else bytes(row[13]),
            pdu_json=pdu_json,
        )

    def _events(self) -> Iterator[str]:
        """Each event in itself: its ID, its hash, its bytes, its columns."""
        for row in self.rows:
            event, event_id = row.event, row.event.event_id
            if event.room_id != self.room_id:
                yield f"{event_id} says that it is of {event.room_id}"
            if event_id_of(event.pdu, self.version) != event_id:
                yield f"{event_id} is stored with the content of {event_id_of(event.pdu, self.version)}"
            if row.form is Form.FULL and not has_valid_content_hash(event.pdu, self.version):
                yield f"{event_id} is said to be whole, and its content hash is wrong"
            if encode_for(self.version, event.pdu) != row.pdu_json:
                yield f"{event_id} is not stored as canonical JSON"
            if row.columns != (event.type, event.sender, event.state_key, event.origin_server_ts):
                yield f"{event_id} has columns that are not its own: {row.columns}"
            if (row.form is Form.REDACTED) != (row.redacted_by is not None):
                yield f"{event_id} is of form {row.form.name}, redacted by {row.redacted_by}"
            if row.redacted_by is not None and row.redacted_by not in self.by_id:
                yield f"{event_id} was redacted by {row.redacted_by}, which is not here"

    def _graph(self) -> Iterator[str]:
        """What events are built on is here and stands before them; the heads are what nothing is built on."""
        built_on: set[str] = set()
        for row in self.rows:
            event_id = row.event.event_id
            if row.log_position is None:
                continue  # it came from before this server was in the room
            if row.place is None:
                yield f"{event_id} was news, and has no place"
                continue
            if row.verdict is not Verdict.REJECTED:
                built_on.update(row.event.prev_event_ids)
            for kind, others in (("prev", row.event.prev_event_ids), ("auth", row.event.auth_event_ids)):
                for other in others:
                    found = self.by_id.get(other)
                    if found is None and row is not self.placed[0]:
                        yield f"{event_id} has the {kind} event {other}, which is not here"
                    elif found is not None and found.place is not None and found.place >= row.place:
                        yield f"{event_id} stands before its {kind} event {other}"
        heads = {
            row.event.event_id
            for row in self.rows
            if row.verdict is Verdict.ACCEPTED and row.log_position is not None and row.event.event_id not in built_on
        }
        if heads != self.heads:
            yield f"its heads are {sorted(self.heads)}, and nothing is built on {sorted(heads)}"
        in_log = sorted(
            (row for row in self.rows if row.log_position is not None), key=lambda row: row.log_position or 0
        )
        if [row.place for row in in_log] != sorted(row.place or 0 for row in in_log):
            yield "its events came in another order than that of their places"
        if self.placed and self.placed[-1].place != self.last_place:
            yield f"its last place is said to be {self.last_place}, and is {self.placed[-1].place}"
        deepest = max((row.event.depth for row in self.placed), default=0)
        if deepest != self.depth:
            yield f"its depth is said to be {self.depth}, and is {deepest}"

    def _maps(self) -> Iterator[str]:
        """Every map that something names is there, whole and in its one form."""
        named: dict[bytes, str] = {self.current_root: "the current state"}
        for position, root in self.roots:
            named.setdefault(root, f"the state at position {position}")
        for row in self.rows:
            for at in (row.root_before, row.root_after):
                if at is not None:
                    named.setdefault(at, f"the state at {row.event.event_id}")
        passed: set[Position] = set()
        for root, what in named.items():
            fault = verify(self.bodies.get, root, passed=passed)
            if fault is not None:
                yield f"{what}: node {fault.digest.hex()[:16]}: {fault.reason}"

    def _roots_of_events(self) -> Iterator[str]:
        """The state before an event is that after the one it is built on; after it, that with the event in it."""
        for row in self.placed:
            event, event_id = row.event, row.event.event_id
            if row.verdict is Verdict.REJECTED or row.root_before is None:
                continue
            before = {found.root for prev in event.prev_event_ids if (found := self.by_id.get(prev)) is not None}
            if not event.prev_event_ids:
                before = {EMPTY_ROOT}
            if len(before) == 1 and before != {row.root_before} and None not in before:
                yield f"the state before {event_id} is not the one after what it is built on"
            if (row.root_after is None) != (event.state_key is None):
                yield f"{event_id} {'has no' if row.root_after is None else 'has a'} state after it"
            if event.state_key is None or row.root_after is None:
                continue
            key = (event.type, event.state_key)
            updated = state_map.update(self._node, row.root_before, {key: self._value(event)})
            if updated.root != row.root_after:
                yield f"the state after {event_id} is not the one before with the event in it"
            replaced = state_map.get(self._node, row.root_before, *key)
            if row.replaces_state != replaced:
                yield f"{event_id} replaces {replaced}, and is said to replace {row.replaces_state}"

    def _current_state(self) -> Iterator[str]:
        """The current state is that after the heads; in a room without forks, what its state events in order make."""
        after = {row.root for head in self.heads if (row := self.by_id.get(head)) is not None}
        if len(after) == 1 and after != {self.current_root}:
            yield "its current state is not the one after its head"
        accepted = [row for row in self.placed if row.verdict is Verdict.ACCEPTED]
        pairs = itertools.pairwise(accepted)
        if not accepted or accepted[0].event.prev_event_ids:
            return
        if any(later.event.prev_event_ids != (earlier.event.event_id,) for earlier, later in pairs):
            return
        state: dict[StateKey, EventID | HashedEventID | None] = {
            (row.event.type, row.event.state_key): self._value(row.event)
            for row in accepted
            if row.event.state_key is not None
        }
        if state_map.update(self._node, EMPTY_ROOT, state).root != self.current_root:
            yield "its current state is not what its state events make, one after another"

    def _log_of_roots(self) -> Iterator[str]:
        """Each row of room_roots is the state at an event of its position; the newest is the current one."""
        at = {row.log_position: row for row in self.rows if row.log_position is not None}
        if not self.roots or self.roots[-1][1] != self.current_root:
            yield "its newest row of room_roots is not the current state"
        for position, root in self.roots:
            row = at.get(position)
            if row is None:
                yield f"room_roots has position {position}, which is no event's"
            elif row.root != root:
                yield f"room_roots has another state at position {position} than {row.event.event_id}"
        for (_, earlier), (position, later) in itertools.pairwise(self.roots):
            if earlier == later:
                yield f"room_roots has position {position}, where nothing changed"

    def _members(self) -> Iterator[str]:
        """A membership row for each member event of the current state, and no other."""
        state = {
            user_id: event_id
            for (_, user_id), event_id in state_map.items_of_type(self._node, self.current_root, "m.room.member")
        }
        for user_id in sorted(state.keys() - self.memberships.keys()):
            yield f"{user_id} has a member event and no row in memberships"
        for user_id in sorted(self.memberships.keys() - state.keys()):
            yield f"{user_id} has a row in memberships and no member event"
        for user_id in sorted(self.memberships.keys() & state.keys()):
            _, membership, event_id, sender, place, log_position, display_name, avatar_url, _ = self.memberships[
                user_id
            ]
            member = self.by_id.get(state[user_id])
            if member is None:
                yield f"{user_id}'s member event {state[user_id]} is not here"
                continue
            content = member.event.content
            expected = {
                "event_id": (event_id, member.event.event_id),
                "membership": (membership, content.get("membership")),
                "sender": (sender, member.event.sender),
                "place": (place, member.place),
                "display_name": (display_name, _text(content.get("displayname"))),
                "avatar_url": (avatar_url, _text(content.get("avatar_url"))),
            }
            for column, (found, right) in expected.items():
                if found != right:
                    yield f"{user_id}'s row in memberships has {column} {found!r}, and ought to have {right!r}"
            if member.log_position is not None and log_position < member.log_position:
                yield f"{user_id}'s row in memberships is older than its member event"

    def _membership_log(self) -> Iterator[str]:
        """Each user's changes follow one another, and end where the membership is."""
        last: dict[str, tuple[Any, ...]] = {}
        for user_id, position, before, membership, event_id in self.changes:
            known = last.get(user_id)
            if known is not None and known[3] != before:
                yield f"{user_id} went from {before} at position {position}, and was at {known[3]}"
            last[user_id] = (user_id, position, before, membership, event_id)
        for user_id, (_, position, _, membership, event_id) in last.items():
            row = self.memberships.get(user_id)
            if row is not None and (row[1], row[2], row[5]) != (membership, event_id, position):
                yield f"{user_id} came to {membership} by {event_id} at position {position}, and has the row {row}"

    def _node(self, digest: bytes) -> Node | None:
        node = self._parsed.get(digest)
        if node is None and (body := self.bodies.get(digest)) is not None:
            node = self._parsed[digest] = decode(body)
        return node

    def _value(self, event: Event) -> EventID | HashedEventID:
        if self.version.event_ids_are_hashes:
            return event.event_id
        return HashedEventID(event.event_id, reference_hash(event.pdu, self.version))


def _text(value: object) -> str | None:
    """As memberships has it, which cannot hold NUL."""
    return value.replace("\0", "") if isinstance(value, str) else None
