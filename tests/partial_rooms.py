"""Generated rooms of which a server hears in parts: states that are given, auth chains without their graph, gaps."""

from collections.abc import Iterable
from random import Random
from typing import Final

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import EventID
from homeserver.core.redaction import redacted_event
from homeserver.core.state_map import StateMap
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Outcome
from homeserver.services.events.receipt import Received
from homeserver.storage.events import Form
from tests.forked_rooms import TWO
from tests.poured_rooms import PouredRoom
from tests.services.world import now

STEPS: Final = ("some", "some", "outliers", "at a gap", "at a gap", "in a false state", "redacted")


class PartialRoom(PouredRoom):
    """What a server has that hears of a room in parts."""

    def begin(self, random: Random) -> None:
        """Begin with the room's first event, or know only what came before some event."""
        create, *others = self.room.events
        if random.random() < 0.5:
            self.pour([create])
        else:
            self.at_gap(random.choice(others))

    def step(self, random: Random) -> None:
        """Hear of something more."""
        events = self.room.events
        event = random.choice(events[1:])
        match random.choice(STEPS):
            case "some":
                self.pour(random.sample(events, random.randrange(1, min(10, len(events)))))
            case "outliers":
                self.outliers([event.event_id])
            case "at a gap":
                self.at_gap(event)
            case "in a false state":
                self.at_gap(event, self.room.history.before[random.choice(events).event_id])
            case "redacted":
                bare = redacted_event(event)
                self._take([Received(EncodedEvent(bare, encode_for(bare.version, bare.pdu)), Form.WRONG_HASH)])

    def outliers(self, event_ids: Iterable[EventID]) -> None:
        """Know these events, and all that authorises them, without the graph around them."""
        named: set[EventID] = set()
        left = list(event_ids)
        history = self.room.history
        while left:
            event_id = left.pop()
            if event_id not in named:
                named.add(event_id)
                left += history.events[event_id].auth_event_ids
        events = [event for event in self.room.events if event.event_id in named]
        create = self.room.events[0]
        if create not in events:
            events.insert(0, create)
        taken = [self._received(event) for event in events]
        now(self.world.intake.take_outliers(self.room.room_id, self.room.version, taken))

    def at_gap(self, event: Event, state: StateMap | None = None) -> Outcome:
        """Hear of an event in the state before it, or in one that another server says to be that."""
        given = self.room.history.before[event.event_id] if state is None else state
        self.outliers([*event.auth_event_ids, *given.values()])
        taking = self.world.intake.take_at_gap(
            self.room.room_id, self.room.version, self._received(event), GivenState(tuple(given.values()), TWO)
        )
        return now(taking)[event.event_id]

    def _take(self, received: list[Received]) -> None:
        now(self.world.intake.take(self.room.room_id, self.room.version, received, received_from=None))

    def _received(self, event: Event) -> Received:
        return Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)
