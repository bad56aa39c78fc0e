"""The state that sliding sync tells of a room: what is asked for of it, what changed of that, members as needed.

Spec: MSC4186. It is the state at the end of the timeline, never that before it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

from homeserver.core import state_map
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.required_state import MEMBER, RequiredState
from homeserver.core.state_map import Nodes, StateKey
from homeserver.services.events.room_state import RoomStates
from homeserver.services.sync.sent_members import Reader, SentMembers
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent


@dataclass(frozen=True, slots=True)
class SlidingStateQuestion:
    """Which part of a room's state `root` is wanted.

    `before` is the state that the client knew, as far as `known` asks for it; None when it knows none of it. `needed`
    are members that the timeline shows. After a `gap` the client has to look for other members by itself.
    """

    room_id: RoomID
    before: bytes | None
    root: bytes
    required: RequiredState
    known: RequiredState | None
    needed: Collection[str]
    has_gap: bool
    reader: Reader
    answer: int  # the number by which members that were sent are remembered


@dataclass(frozen=True, slots=True)
class SlidingState:
    """What is to be told; `changed` is what differs from the state that the client knew, whether asked for or not."""

    events: list[StoredEvent]
    changed: Mapping[StateKey, EventID | None] = field(default_factory=dict)


class SlidingStates:
    """Reads states."""

    def __init__(self, states: RoomStates, sent: SentMembers) -> None:
        self._states = states
        self._sent = sent

    def read(self, tx: Transaction | None, question: SlidingStateQuestion) -> SlidingState:
        """The state to tell. Without `tx` raises MissingNodes when memory does not suffice."""
        room_id, root, required = question.room_id, question.root, question.required
        changed: dict[StateKey, EventID | None] = {}
        wanted: dict[StateKey, EventID] = {}
        if question.before is not None:
            difference = self._states.difference(tx, room_id, question.before, root)
            changed = {key: event_id for key, (_, event_id) in difference.items()}
        if question.before is None:
            wanted = self._all(tx, question)
        elif question.known is not None and not question.known.covers(required):
            known = question.known
            wanted = {key: one for key, one in self._all(tx, question).items() if not known.wants(*key)}
        for key, event_id in changed.items():
            # Who follows without a gap may keep the members: so of them, every change is told.
            is_member = key[0] == MEMBER and required.is_lazy and not question.has_gap
            if event_id is not None and (is_member or required.wants(*key)):
                wanted[key] = event_id
        if required.is_lazy:
            wanted = {**self._needed_members(tx, question), **wanted}
        loaded = self._states.load(tx, list(wanted.values()))
        events = [loaded[event_id] for event_id in wanted.values() if event_id in loaded]
        if required.is_lazy:
            members = {key[1]: event_id for key, event_id in wanted.items() if key[0] == MEMBER}
            is_new = question.before is None
            note = partial(self._sent.note, question.reader, room_id, members, question.answer, is_new_room=is_new)
            if tx is None:
                note()
            else:
                tx.after_commit(note)
        return SlidingState(events, changed)

    def _all(self, tx: Transaction | None, question: SlidingStateQuestion) -> dict[StateKey, EventID]:
        """What is asked for of the whole state, as far as it is known."""
        required, root = question.required, question.root

        def entries(nodes: Nodes) -> dict[StateKey, EventID]:
            types = set(required.wild_types)
            if required.is_wild_in_type:
                types |= set(state_map.types(nodes, root)) - ({MEMBER} if required.is_lazy else set())
            found = state_map.known_of(nodes, root, tuple(required.exact))
            for event_type in types:
                for key, event_id in state_map.items_of_type(nodes, root, event_type):
                    if required.wants(*key):
                        found[key] = event_id
            return found

        return self._states.with_nodes(tx, question.room_id, entries)

    def _needed_members(self, tx: Transaction | None, question: SlidingStateQuestion) -> dict[StateKey, EventID]:
        """The member events that the timeline needs, but those that the client has."""
        room_id, keys = question.room_id, [(MEMBER, user_id) for user_id in question.needed]
        members = self._states.known_ids(tx, room_id, question.root, keys)
        if question.before is None:
            return members
        reader = question.reader
        return {
            key: event_id for key, event_id in members.items() if not self._sent.has(reader, room_id, key[1], event_id)
        }
