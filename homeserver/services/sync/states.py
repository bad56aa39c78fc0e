"""The state section of one room in a sync: what changed of the room's state, or all of it; members lazily.

Spec: client-server-api/#syncing, #lazy-loading-room-members. Which states are asked about rooms.py says.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.state_map import StateKey
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.timeline import is_wanted_state
from homeserver.services.sync.sent_members import Device, SentMembers
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent

MEMBER = "m.room.member"


@dataclass(frozen=True, slots=True)
class StateQuestion:
    """Which part of a room's state is wanted.

    `before` is the state that the client has, None when it has none and wants all of `after`. `end` is the state that
    the client has with this answer; `timeline` are the events that it is shown, and from which it takes state itself.
    What changes from `after` to `end` and is in no event of the timeline, because a filter left that out or because
    states were resolved, is told as well: nobody would tell it later. `heroes` are those whom the summary names.
    """

    room_id: RoomID
    user_id: UserID
    before: bytes | None
    after: bytes
    end: bytes
    event_filter: RoomEventFilter
    timeline: Sequence[StoredEvent] = ()
    senders: Collection[str] = ()
    heroes: Collection[str] = ()
    device: Device | None = None  # None: members that were sent before are sent again
    position: int = 0  # of this answer's token
    is_over: bool = False  # the user is out of the room: what is known of its state then will not become more


class SyncStates:
    """Reads state sections."""

    def __init__(self, states: RoomStates, sent: SentMembers) -> None:
        self._states = states
        self._sent = sent

    def read(self, tx: Transaction | None, question: StateQuestion) -> list[StoredEvent]:
        """The state events to send. Without `tx` raises MissingNodes when memory does not suffice."""
        lazily = question.event_filter.lazy_load_members
        changes = self._changes(tx, question)
        events: dict[StateKey, StoredEvent] = {}
        if question.before is None:
            whole = self._without_members(tx, question) if lazily else self._whole(tx, question)
            events = {_key(stored): stored for stored in whole}
        loaded = self._states.load(tx, list(changes.values()))
        events.update({key: loaded[event_id] for key, event_id in changes.items()})
        if lazily:
            events = {**self._members(tx, question), **events}
        wanted = [stored for stored in events.values() if is_wanted_state(question.event_filter, stored)]
        if lazily:
            self._note_sent(tx, question, wanted)
        return wanted

    def first_to_show(self, tx: Transaction | None, room_id: RoomID, events: Sequence[StoredEvent], end: bytes) -> int:
        """With which of a timeline's events to begin, so that a client that follows it ends with the state `end`.

        Clients take the state section first and the timeline's own state events after it: one that was replaced by an
        event that is not in the timeline must not be there either.
        """
        newest = {_key(stored): index for index, stored in enumerate(events) if stored.event.state_key is not None}
        start = events[0].root_before if newest else None
        if start is None or _lead_to(events, start, end):
            return 0
        first = 0
        for key, (_, event_id) in self._states.difference(tx, room_id, start, end).items():
            if key in newest and events[newest[key]].event.event_id != event_id:
                first = max(first, newest[key] + 1)
        return first

    def _whole(self, tx: Transaction | None, question: StateQuestion) -> list[StoredEvent]:
        return self._states.whole(tx, question.room_id, question.after, as_far_as_known=question.is_over)

    def _without_members(self, tx: Transaction | None, question: StateQuestion) -> list[StoredEvent]:
        return self._states.all_but_type(tx, question.room_id, question.after, MEMBER)

    def _changes(self, tx: Transaction | None, question: StateQuestion) -> Mapping[StateKey, EventID]:
        """What the client must be told because it changed: members too, whether it loads them lazily or not."""
        room_id, changes = question.room_id, {}
        if question.before is not None:
            for key, (_, event_id) in self._states.difference(tx, room_id, question.before, question.after).items():
                if event_id is not None:
                    changes[key] = event_id
        if _lead_to(question.timeline, question.after, question.end):
            return changes
        shown = {stored.event.event_id for stored in question.timeline}
        for key, (_, event_id) in self._states.difference(tx, room_id, question.after, question.end).items():
            if event_id is not None and event_id not in shown:
                changes[key] = event_id
        return changes

    def _members(self, tx: Transaction | None, question: StateQuestion) -> dict[StateKey, StoredEvent]:
        """The member events that a lazily loading client needs to show this answer, but those that it has."""
        needed = dict.fromkeys([*question.senders, *question.heroes])
        if question.before is None:
            needed[question.user_id] = None
        members = self._states.known_ids(tx, question.room_id, question.after, [(MEMBER, one) for one in needed])
        device = question.device
        if device is not None and question.before is not None and not question.event_filter.include_redundant_members:
            members = {
                key: event_id
                for key, event_id in members.items()
                if not self._sent.has(device, question.room_id, key[1], event_id)
            }
        loaded = self._states.load(tx, list(members.values()))
        return {_key(stored): stored for stored in loaded.values()}

    def _note_sent(self, tx: Transaction | None, question: StateQuestion, sent: Collection[StoredEvent]) -> None:
        """Remember which members the device gets with this answer: on the reactor thread, whoever assembled it."""
        device = question.device
        if device is None:
            return
        members = {
            stored.event.state_key: stored.event.event_id
            for stored in (*sent, *question.timeline)
            if stored.event.type == MEMBER and stored.event.state_key is not None
        }
        note = partial(
            self._sent.note,
            device,
            question.room_id,
            members,
            question.position,
            is_new_room=question.before is None,
        )
        if tx is None:
            note()
        else:
            tx.after_commit(note)


def _lead_to(events: Sequence[StoredEvent], start: bytes, end: bytes) -> bool:
    """Whether nothing but these events leads from one state to another: each stands where the one before it led."""
    root = start
    for stored in events:
        if stored.root_before != root:
            return False
        root = stored.root or root
    return root == end


def _key(stored: StoredEvent) -> StateKey:
    return stored.event.type, stored.event.state_key or ""
