"""Redacting: the event loses what its redaction takes away, and so does all that was kept beside it.

Spec: client-server-api/#redactions
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from homeserver.core import state_map
from homeserver.core.auth_rules import may_redact
from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import EventID
from homeserver.core.redaction import redacted_event
from homeserver.core.room_versions import RoomVersion
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.services.events.writing.relations import part
from homeserver.services.events.writing.shown import ShownState
from homeserver.services.events.writing.states import StatesInMaking
from homeserver.storage.early_redactions import note_early_redaction, take_early_redactions
from homeserver.storage.events import StoredEvent, store_redacted
from homeserver.storage.notifications import remove_notifications
from homeserver.storage.search import remove_event


@dataclass(frozen=True, slots=True)
class Redacted:
    """An event as it is now, and its PDU in JSON."""

    stored: StoredEvent
    pdu: bytes


class Redactions:
    """Redacts events of a room, at the end of a write that leads from the state `root_before` to `root`."""

    def __init__(
        self,
        at_hand: EventsAtHand,
        states: StatesInMaking,
        shown: ShownState,
        version: RoomVersion,
        *,
        root_before: bytes,
        root: bytes,
    ) -> None:
        self._tx = at_hand.tx
        self._room_id = at_hand.room_id
        self._at_hand = at_hand
        self._states = states
        self._shown = shown
        self._version = version
        self._root_before = root_before
        self._root = root

    def redact(self, redacting: StoredEvent, target_id: EventID) -> Redacted | None:
        """Redact an event if this redaction may; if it is not here yet, once it comes. None: it stays as it is."""
        redaction = redacting.event
        target = self._at_hand.find(target_id)
        if target is None:
            note_early_redaction(self._tx, self._room_id, target_id=target_id, redaction_id=redaction.event_id)
            return None
        if target.event.room_id != self._room_id or target.form.is_given_up:
            return None
        root = redacting.root_before or state_map.EMPTY_ROOT
        state = self._states.select(root, (CREATE, POWER_LEVELS), for_rules=True)
        if not may_redact(redaction, target.event, state):
            return None
        event = redacted_event(target.event)
        encoded = EncodedEvent(event, encode_for(self._version, event.pdu))
        redacted = store_redacted(self._tx, target, redacted=encoded, by=redaction.event_id)
        self._at_hand.replace(redacted)
        part(self._tx, target)
        remove_event(self._tx, target.nid, target.event)
        if target.place is not None:
            remove_notifications(self._tx, self._room_id, target.place)
        if target.event.state_key is not None:
            self._shown.redact(target.event, event, root_before=self._root_before, root=self._root)
        return Redacted(redacted, encoded.pdu_json)

    def redact_early(self, target_id: EventID) -> Iterator[Redacted]:
        """Redact what was redacted before it came."""
        redactions = take_early_redactions(self._tx, self._room_id, target_id)
        for redaction in self._at_hand.load(redactions).values():
            # One that has been redacted itself meanwhile does not say any more what it redacts: it still does.
            event = replace(redaction.event, redacts=target_id)
            redacted = self.redact(replace(redaction, event=event), target_id)
            if redacted is not None:
                yield redacted
