"""The ways in which the events of a room come to a server: in order or not, all at once or after a long separation."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import ServerName, server_name_of_user
from tests.forked_rooms import SERVERS, ForkedRoom


@dataclass(frozen=True, slots=True)
class Delivery:
    """All events of a room in the order in which one server gets them; the create event is the first."""

    name: str
    events: Sequence[Event]
    is_in_order: bool = False  # each after all that it names


WAYS: Final = 7  # as many deliveries as `deliveries` gives


def deliveries(room: ForkedRoom, random: Random) -> list[Delivery]:
    """One of each way, of those that are many by chance."""
    events = room.events
    create, *others = events
    shuffled = random.sample(others, len(others))
    some = random.sample(others, random.randrange(len(others) + 1))
    listener = random.choice(SERVERS)
    heard = [room.history.events[event_id] for event_id in room.heard[listener]]
    here = random.choice(SERVERS)
    there = [server for server in SERVERS if server != here]
    return [
        Delivery("in order", events, is_in_order=True),
        Delivery("shuffled", [create, *shuffled]),
        Delivery("backwards", [create, *reversed(others)]),
        Delivery("some of it first", [create, *_first(some, shuffled)]),
        Delivery(f"{here} first", [create, *_side((here,), others, random)]),
        Delivery(f"{' and '.join(there)} first", [create, *_side(there, others, random)]),
        Delivery(f"as {listener} heard it", _first(heard, events), is_in_order=True),
    ]


def _first(first: Sequence[Event], events: Sequence[Event]) -> list[Event]:
    """These, then the others."""
    known = {event.event_id for event in first}
    return [*first, *(event for event in events if event.event_id not in known)]


def _side(servers: Sequence[ServerName], events: Sequence[Event], random: Random) -> list[Event]:
    """What these servers sent, then what came from the others when they were heard again."""
    own = [event for event in events if server_name_of_user(event.sender) in servers]
    others = [event for event in events if server_name_of_user(event.sender) not in servers]
    if random.random() < 0.5:
        random.shuffle(others)
    return own + others
