"""The state section of one room in a sync: what changed of the room's state, or all of it; members lazily.

Spec: client-server-api/#syncing, #lazy-loading-room-members. Which root is "before" and which "after" rooms.py says.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.events.room_state import RoomStates
from homeserver.services.sync.memory import Device, SyncMemory
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent

MEMBER = "m.room.member"


@dataclass(frozen=True, slots=True)
class StateQuestion:
    """Which part of a room's state is wanted.

    `before` is the state that the client has, None when it has none and wants all of `after`. `senders` are those of
    the timeline; `heroes` those whom the room's summary names.
    """

    room_id: RoomID
    user_id: UserID
    before: bytes | None
    after: bytes
    event_filter: RoomEventFilter
    senders: Collection[str]
    heroes: Collection[str] = ()
    device: Device | None = None  # None: members that were sent before are sent again
    since: int = 0
    upto: int = 0


class SyncStates:
    """Reads state sections."""

    def __init__(self, states: RoomStates, memory: SyncMemory) -> None:
        self._states = states
        self._memory = memory

    def read(self, tx: Transaction | None, question: StateQuestion) -> list[StoredEvent]:
        """The state events to send. Without `tx` raises MissingNodes when memory does not suffice."""
        lazily = question.event_filter.lazy_load_members
        if question.before is None:
            events = self._whole(tx, question) if not lazily else self._without_members(tx, question)
        else:
            difference = self._states.difference(tx, question.room_id, question.before, question.after)
            wanted = [
                event_id
                for (event_type, state_key), (_, event_id) in difference.items()
                if event_id is not None and not (lazily and event_type == MEMBER and state_key != question.user_id)
            ]
            events = list(self._states.load(tx, wanted).values())
        if lazily:
            events = [*(event for event in events if not _is_member(event)), *self._members(tx, question, events)]
        return [stored for stored in events if _is_wanted(question.event_filter, stored)]

    def _whole(self, tx: Transaction | None, question: StateQuestion) -> list[StoredEvent]:
        return self._states.whole(tx, question.room_id, question.after)

    def _without_members(self, tx: Transaction | None, question: StateQuestion) -> list[StoredEvent]:
        return self._states.all_but_type(tx, question.room_id, question.after, MEMBER)

    def _members(
        self, tx: Transaction | None, question: StateQuestion, found: Iterable[StoredEvent]
    ) -> list[StoredEvent]:
        """The member events that a lazily loading client needs for this answer, but those that it has."""
        needed = dict.fromkeys([*question.senders, *question.heroes])
        own = {stored.event.event_id: stored for stored in found if _is_member(stored)}
        if question.before is None:
            needed[question.user_id] = None
        state = self._states.select(tx, question.room_id, question.after, [(MEMBER, user_id) for user_id in needed])
        members: dict[str, EventID] = {key: event.event_id for (_, key), event in state.items()}
        device = question.device
        if device is not None and not question.event_filter.include_redundant_members:
            sent = members
            members = {
                member: event_id
                for member, event_id in members.items()
                if not self._memory.was_sent(device, question.room_id, member, event_id, question.since)
            }
            # Noted on the reactor thread, whether or not there is a transaction.
            if tx is None:
                self._memory.note_sent(device, question.room_id, sent, question.upto)
            else:
                tx.after_commit(lambda: self._memory.note_sent(device, question.room_id, sent, question.upto))
        loaded = self._states.load(tx, list(members.values()))
        return list({**loaded, **own}.values())


def _is_member(stored: StoredEvent) -> bool:
    return stored.event.type == MEMBER


def _is_wanted(event_filter: RoomEventFilter, stored: StoredEvent) -> bool:
    event = stored.event
    return event_filter.is_default or event_filter.matches(
        event_type=event.type, sender=event.sender, room_id=event.room_id, has_url="url" in event.content
    )
