"""A large room that forked, put into the tables of a server that does not run, and events that join its branches.

Each event waits for the server as if it had stopped before it judged what lacks nothing any more: it does so at its
next start, and has two states to merge for each of them that differ in many entries, and never the same two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core import state_map
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, UserID
from homeserver.core.room_versions import V12
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.core.state_nodes import Node
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import insert_edges
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, insert_event
from homeserver.storage.rooms import RoomHead, insert_room
from homeserver.storage.state_nodes import store_nodes
from homeserver.storage.waiting_events import WaitingEvent, insert_waiting
from tests.forked_rooms import ALICE, BOB, START_MS, Proposal, build_in
from tests.scenes import Scene

WAITING: Final = "SELECT COUNT(*) FROM waiting_events"
FORGET: Final = "DELETE FROM waiting_events"


@dataclass(frozen=True, slots=True)
class ForkShape:
    """How large the room is, and how its branches differ."""

    members: int = 1_000
    changes: int = 400  # of members, on either branch the same: as many entries are in conflict


class ForkedRoom:
    """The room, event by event, with the state after each.

    Each of its `joins` joins a place of its own on the first branch with the end of the other.
    """

    def __init__(self, shape: ForkShape, joins: int) -> None:
        self.scene = Scene(V12, users={BOB: 50})
        self.roots: dict[EventID, tuple[bytes, bytes]] = {}  # of the states before each event and after it
        self.bodies: dict[bytes, bytes] = {}
        self._nodes: dict[bytes, Node] = {}
        self.order: list[Event] = []
        root, state, tip = EMPTY_ROOT, dict[StateKey, EventID](), None
        for event in self.scene.history.events.values():
            root, tip = self._keep(event, root, state), event
        assert tip is not None
        for user in (BOB, *map(member, range(shape.members))):
            tip, root = self._say(Proposal("m.room.member", user, {"membership": "join"}, user), tip, root, state)
        ends = []
        for side, sender in enumerate((ALICE, BOB)):
            end, end_root, here = tip, root, dict(state)
            said = [Proposal("org.example.setting", sender, {"side": side})]
            for number in range(shape.changes):
                content = {"membership": "join", "displayname": f"on side {side}"}
                said.append(Proposal("m.room.member", member(number), content, member(number)))
            for proposal in said:
                end, end_root = self._say(proposal, end, end_root, here)
            ends.append((end, end_root, here))
        (end, end_root, state), (other, _, _) = ends
        self.joins: list[Event] = []
        for number in range(joins):
            end, end_root = self._say(Proposal("org.example.step", ALICE, {"step": number}), end, end_root, state)
            both = [end.event_id, other.event_id]
            self.joins.append(self._build(Proposal("m.room.message", ALICE, {"body": "?"}, None), both, state))
        self.heads = (end.event_id, other.event_id)
        self.root = end_root

    def store(self, tx: Transaction) -> None:
        """Put the room into tables, without the events that join its branches."""
        head = RoomHead(
            room_id=self.scene.history.room_id,
            version=V12,
            generation=0,
            current_root=self.root,
            heads=self.heads,
            depth=self.order[-1].depth,
            last_place=len(self.order),
            is_blocked=False,
        )
        insert_room(tx, head, created_ms=START_MS)
        store_nodes(tx, head.room_id, self.bodies)
        first = tx.next_ids("event_nid", len(self.order))
        nids = {event.event_id: EventNid(number) for number, event in enumerate(self.order, first)}
        for place, event in enumerate(self.order, 1):
            before, after = self.roots[event.event_id]
            stored = StoredEvent(
                nid=nids[event.event_id],
                event=event,
                log_position=None,
                place=place,
                verdict=Verdict.ACCEPTED,
                form=Form.FULL,
                redacted_by=None,
                replaces_state=None,
                thread_id=None,
                transaction=None,
                root_before=before,
                root_after=after,
                size_bytes=0,
            )
            insert_event(tx, stored, encode_for(V12, event.pdu))
            prev, auth = ([nids[one] for one in ids] for ids in (event.prev_event_ids, event.auth_event_ids))
            insert_edges(tx, head.room_id, stored.nid, prev=prev, auth=auth)

    def let_wait(self, tx: Transaction, now_ms: int, joins: Sequence[Event]) -> None:
        """Let events wait that lack nothing."""
        for event in joins:
            waiting = WaitingEvent(event.event_id, encode_for(V12, event.pdu), Form.FULL, None, now_ms)
            insert_waiting(tx, event.room_id, waiting, ())

    def _say(
        self, proposal: Proposal, after: Event, root: bytes, state: dict[StateKey, EventID]
    ) -> tuple[Event, bytes]:
        """Add a state event on top of another one."""
        event = self._build(proposal, [after.event_id], state)
        self.scene.history.events[event.event_id] = event
        return event, self._keep(event, root, state)

    def _build(self, proposal: Proposal, heads: list[EventID], state: dict[StateKey, EventID]) -> Event:
        history = self.scene.history
        depth = 1 + max(history.events[head].depth for head in heads)
        return build_in(history, proposal, heads, state, depth=depth, time_ms=START_MS + len(self.order))

    def _keep(self, event: Event, root: bytes, state: dict[StateKey, EventID]) -> bytes:
        assert event.state_key is not None
        key = (event.type, event.state_key)
        updated = state_map.update(self._nodes.get, root, {key: event.event_id})
        self._nodes.update(updated.parsed)
        self.bodies.update(updated.new_nodes)
        self.roots[event.event_id] = root, updated.root
        self.order.append(event)
        state[key] = event.event_id
        return updated.root


def member(number: int) -> UserID:
    """One of the members."""
    return UserID(f"@user{number}:one.example")


def count_waiting(tx: Transaction) -> int:
    """How many events wait."""
    row = tx.one(WAITING)
    return 0 if row is None else int(row[0])


def forget_waiting(tx: Transaction) -> None:
    """Let none wait any more."""
    tx.run(FORGET)
