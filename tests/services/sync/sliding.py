"""Sliding sync over a world of services: asking it as a client does, and counting what that costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.core.identifiers import DeviceID, RoomID, UserID
from homeserver.core.required_state import required_state
from homeserver.core.state_map import StateKey
from homeserver.services.events.client_format import Viewer
from homeserver.services.sync.device_parts import DeviceParts
from homeserver.services.sync.room_listings import RoomListings
from homeserver.services.sync.sent_members import SentMembers
from homeserver.services.sync.sliding_assembling import SlidingAssembling
from homeserver.services.sync.sliding_connections import SlidingConnections
from homeserver.services.sync.sliding_extensions import SlidingExtensions
from homeserver.services.sync.sliding_lists import MOST_FRESH, SlidingLists
from homeserver.services.sync.sliding_poll import SlidingPoll
from homeserver.services.sync.sliding_request import Extensions, ListConfig, RoomConfig, SlidingAnswer, SlidingRequest
from homeserver.services.sync.sliding_rooms import SlidingRooms
from homeserver.services.sync.sliding_states import SlidingStates
from homeserver.services.sync.timelines import Timelines
from homeserver.services.sync.unread import Unread
from tests.services.world import PHONE, World, now, shown

# Any: JSON, throughout.

NO_EXTENSIONS = Extensions()


@dataclass
class Sliding:
    """The services of sliding sync in a world."""

    world: World
    most_fresh: int = MOST_FRESH

    def __post_init__(self) -> None:
        world, sent = self.world, SentMembers()
        database = world.database
        listings = RoomListings(database, world.news, world.budget)
        self.connections = SlidingConnections(database, world.sync_memory, sent, listings, world.budget, world.clock)
        states = SlidingStates(world.states, sent)
        self.assembling = SlidingAssembling(
            SlidingLists(listings, world.states, world.readers, self.most_fresh),
            SlidingRooms(
                Timelines(world.readers, world.states),
                states,
                world.states,
                world.readers,
                world.formats,
                world.aggregations,
            ),
            SlidingExtensions(DeviceParts(world.sync_memory)),
            Unread(world.push_classes, world.sync_memory, world.news),
            self.connections,
            world.typing,
            database.epoch,
        )
        self.poll = SlidingPoll(
            database, self.assembling, self.connections, world.lost_time, world.news, world.bell, world.clock
        )


@dataclass
class Phone:
    """One connection of a user's phone, which goes on from each answer to the next."""

    sliding: Sliding
    user_id: UserID
    conn_id: str = "main"
    lists: Mapping[str, ListConfig] = field(default_factory=dict)
    subscriptions: Mapping[RoomID, RoomConfig] = field(default_factory=dict)
    extensions: Extensions = NO_EXTENSIONS
    last: SlidingAnswer | None = None
    device_id: DeviceID = PHONE

    def request(self, timeout_ms: int = 0) -> SlidingRequest:
        """What it asks next."""
        return SlidingRequest(
            viewer=Viewer(self.user_id, self.device_id),
            conn_id=self.conn_id,
            since=None if self.last is None else self.last.token,
            lists=self.lists,
            subscriptions=self.subscriptions,
            extensions=self.extensions,
            timeout_ms=timeout_ms,
        )

    def ask(self) -> Any:
        """The body of the next answer, as a client reads it."""
        self.last = now(self.sliding.poll.sync(self.request()))
        return shown(self.last.body)

    def wait(self, timeout_ms: int = 30_000) -> "Deferred[SlidingAnswer]":
        """Ask, and let the answer come when it comes."""
        return Deferred.fromCoroutine(self.sliding.poll.sync(self.request(timeout_ms)))


def window(
    first: int = 0, last: int = 19, *pairs: StateKey, limit: int = 10, user_id: UserID = UserID("@nobody:example.org")
) -> dict[str, ListConfig]:
    """One list with one window."""
    return {"all": ListConfig(config(*pairs, limit=limit, user_id=user_id), ((first, last),))}


def config(*pairs: StateKey, limit: int = 10, user_id: UserID = UserID("@nobody:example.org")) -> RoomConfig:
    """What is wanted of a room."""
    return RoomConfig(limit, required_state(pairs, user_id))


def lost(phone: Phone) -> Phone:
    """The same phone, which does not go on from the answers that the first one gets from now on."""
    return replace(phone)


def said(room: Any) -> list[str]:
    """The texts of the messages in a room's timeline."""
    return [event["content"]["body"] for event in room["timeline"] if event["type"] == "m.room.message"]
