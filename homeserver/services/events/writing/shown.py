"""What is kept of a room's state beside its events, and shown: its facts and words, names, what invited users see."""

from collections.abc import Mapping
from typing import Final

import orjson

from homeserver.core.client_event import stripped_state_event
from homeserver.core.event import Event
from homeserver.core.identifiers import UserID
from homeserver.core.state_map import StateKey
from homeserver.services.events.notifying import Notifying
from homeserver.services.events.room_state import FACTS_FROM, NAME, WORDS_FROM, directory_texts, room_facts
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.services.events.writing.states import MEMBER, StatesInMaking
from homeserver.storage.memberships import redact_profile, replace_stripped_state, stripped_states
from homeserver.storage.room_index import RoomFacts, forget_name
from homeserver.storage.room_words import renew_room_words
from homeserver.storage.user_directory import renew_names

STRIPPED_TYPES: Final = (
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
)
NO_STATE: Final[Mapping[StateKey, Event]] = {}


class ShownState:
    """Reads what is to be shown of a state, and keeps the copies of it right."""

    def __init__(self, at_hand: EventsAtHand, states: StatesInMaking, notifying: Notifying) -> None:
        self._tx = at_hand.tx
        self._room_id = at_hand.room_id
        self._states = states
        self._notifying = notifying

    def facts(self, root: bytes) -> RoomFacts:
        """What lists of rooms ask about a state."""
        return room_facts(self._states.select(root, FACTS_FROM))

    def renew_words(self, root: bytes, redacted: Mapping[StateKey, Event] = NO_STATE) -> None:
        """Let the room be found by what its name, topic and alias are in a state."""
        state = {**self._states.select(root, WORDS_FROM), **redacted}
        renew_room_words(self._tx, self._room_id, directory_texts(state))

    def to_invited(self, root: bytes, inviter: UserID) -> list[Event]:
        """The state by which somebody who is invited, or knocks, shall know the room."""
        return list(self._states.select(root, [*((kind, "") for kind in STRIPPED_TYPES), (MEMBER, inviter)]).values())

    def stripped(self, root: bytes, member_event: Event) -> bytes:
        """That state as it is kept for the user of an invite or a knock, with this itself."""
        shown = {(event.type, event.state_key): event for event in self.to_invited(root, member_event.sender)}
        shown[member_event.type, member_event.state_key] = member_event
        return orjson.dumps([stripped_state_event(event) for event in shown.values()])

    def redact(self, before: Event, after: Event, *, root_before: bytes, root: bytes) -> None:
        """Redact the copies of a state event; `root_before` is the state before the write, `root` the one after it."""
        tx, room_id = self._tx, self._room_id
        if before.type == MEMBER:
            redact_profile(tx, room_id, before.state_key or "", before.event_id)
            renew_names(tx, [before.state_key or ""])
            members_root = self._states.members_root(root_before)
            tx.after_commit(lambda: self._notifying.forget_names(room_id, members_root))
        key = (before.type, before.state_key or "")
        if key in WORDS_FROM and self._states.replaced_by(root_before, before) == before.event_id:
            self.renew_words(root, {key: after})
            if key == NAME:
                forget_name(tx, room_id)
        shown, redacted = stripped_state_event(before), stripped_state_event(after)
        for user_id, stripped in stripped_states(tx, room_id):
            entries = orjson.loads(stripped)
            if shown in entries:
                entries[entries.index(shown)] = redacted
                replace_stripped_state(tx, room_id, user_id, orjson.dumps(entries))
