"""Another server in a room of this one: its events are signed as they should be, and say what it likes.

They come in as any from elsewhere: first to receipt, then to the intake.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from homeserver.core import state_map
from homeserver.core.auth_selection import auth_types_for
from homeserver.core.event import Event
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.event_format import depth_limit
from homeserver.core.hashing import room_id_of_create
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import SigningKey
from homeserver.core.state_map import StateMap
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Outcome
from homeserver.services.events.keyring import GivenKeys, OwnKeysAnd
from homeserver.services.events.receipt import Receipt, Received
from homeserver.storage.events import StoredEvent, events_by_id
from homeserver.storage.rooms import RoomHead, find_head
from tests.services.world import SERVER, World, now

# Any: contents of events are JSON, throughout.

T = TypeVar("T")
EVIL: Final = ServerName("evil.example")
MALLORY: Final = UserID(f"@mallory:{EVIL}")
TRENT: Final = UserID(f"@trent:{EVIL}")
KEY: Final = SigningKey("evil", b"\x66" * 32)


async def _in_thread(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)


def receipt_of(world: World) -> Receipt:
    """What checks events from elsewhere: it knows this server's key and that of the other."""
    others = GivenKeys({EVIL: [PublishedKey(KEY.verify_key, FOR_EVER_MS)]})
    return Receipt(OwnKeysAnd(SERVER, [world.key.verify_key], others), _in_thread)


class Stranger:
    """The other server, and one room."""

    def __init__(self, world: World, room_id: RoomID, version: RoomVersion) -> None:
        self.world = world
        self.room_id = room_id
        self.version = version
        self._receipt = receipt_of(world)
        self._built = 0

    @classmethod
    def in_room(cls, world: World, room_id: RoomID) -> "Stranger":
        """Mallory joins a room of this server."""
        head = world.sync_database.read(find_head, room_id)
        assert head is not None
        stranger = cls(world, room_id, head.version)
        join = stranger.member(MALLORY, "join")
        assert stranger.bring(join) is Outcome.ACCEPTED
        return stranger

    # What it builds

    def build(
        self,
        event_type: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        *,
        sender: UserID = MALLORY,
        after: Sequence[EventID] | None = None,
        auth: Sequence[EventID] | None = None,
        room_id: RoomID | None = None,
        event_id: str | None = None,
        redacts: EventID | None = None,
        depth: int | None = None,
        origin_server_ts: int | None = None,
    ) -> Event:
        """An event; after the room's heads, and with the auth events of its current state, unless said otherwise.

        In versions 1 and 2 its ID can be chosen.
        """
        self._built += 1
        names_room = event_type == "m.room.create" and self.version.room_id_is_create_hash
        head = None if after is not None and auth is not None else self.head
        if after is None:
            after = () if head is None else head.heads
        if auth is None:
            state = self.state()
            keys = auth_types_for(event_type, sender, state_key, content, self.version)
            auth = [state[key] for key in keys if key in state]
        if depth is None:
            depth = min(depth_limit(self.version), 1 if head is None else head.depth + 1)
        assigned = None
        if not self.version.event_ids_are_hashes:
            assigned = EventID(event_id or f"${self._built}.{self.room_id[1:].partition(':')[0]}:{EVIL}")
        template = EventTemplate(
            room_id=None if names_room else (room_id or self.room_id),
            type=event_type,
            sender=sender,
            content=dict(content),
            state_key=state_key,
            redacts=redacts,
            prev_events=tuple((one, b"") for one in after),
            auth_events=tuple((one, b"") for one in auth),
            depth=depth,
            origin_server_ts=self.world.clock.now_ms() + self._built if origin_server_ts is None else origin_server_ts,
        )
        return build_event(template, self.version, EVIL, KEY, assigned).event

    def say(self, body: str = "hello", **how: Any) -> Event:
        """A message of Mallory's."""
        return self.build("m.room.message", {"msgtype": "m.text", "body": body}, **how)

    def member(self, user: UserID, membership: str, **how: Any) -> Event:
        """A membership, set by the user, unless said otherwise."""
        sender = how.pop("sender", user)
        return self.build("m.room.member", {"membership": membership}, user, sender=sender, **how)

    def redact(self, target: EventID, **how: Any) -> Event:
        """A redaction by Mallory."""
        return self.build("m.room.redaction", {}, redacts=target, **how)

    # How it brings that in

    def bring(self, event: Event) -> Outcome:
        """What comes of an event."""
        return self.bring_all([event])[event.event_id]

    def bring_all(self, events: Iterable[Event]) -> dict[EventID, Outcome]:
        """What comes of events, in their order; those that receipt refuses count as dropped."""
        received, outcomes = self._checked(events)
        outcomes |= now(self.world.intake.take(self.room_id, self.version, received, received_from=EVIL))
        return outcomes

    def bring_outliers(self, *events: Event) -> dict[EventID, Outcome]:
        """What comes of events without the graph around them."""
        received, outcomes = self._checked(events)
        return outcomes | now(self.world.intake.take_outliers(self.room_id, self.version, received))

    def bring_at_gap(self, event: Event, state: Iterable[EventID] | None = None) -> Outcome:
        """What comes of an event in a state that the other server gives; the current one unless said otherwise."""
        received, outcomes = self._checked([event])
        given = GivenState(tuple(self.state().values() if state is None else state), EVIL)
        for one in received:
            outcomes |= now(self.world.intake.take_at_gap(self.room_id, self.version, one, given))
        return outcomes[event.event_id]

    def _checked(self, events: Iterable[Event]) -> tuple[list[Received], dict[EventID, Outcome]]:
        pdus = list(events)
        judged = now(self._receipt.check([event.pdu for event in pdus], self.version))
        received = [one for one in judged if isinstance(one, Received)]
        refused = (event for event, one in zip(pdus, judged, strict=True) if not isinstance(one, Received))
        return received, {event.event_id: Outcome.DROPPED for event in refused}

    # What it left behind

    @property
    def head(self) -> RoomHead | None:
        """Where the room stands here, if it is known."""
        return self.world.sync_database.read(find_head, self.room_id)

    def state(self) -> StateMap:
        """The room's current state."""
        head = self.head
        if head is None:
            return {}
        root = head.current_root
        return self.world.sync_database.read(
            lambda tx: self.world.states.with_nodes(tx, self.room_id, lambda nodes: dict(state_map.items(nodes, root)))
        )

    def find_stored(self, event_id: EventID) -> StoredEvent | None:
        """An event as it is kept, if it is."""
        return self.world.sync_database.read(events_by_id, [event_id]).get(event_id)

    def stored(self, event_id: EventID) -> StoredEvent:
        """An event as it is kept."""
        found = self.find_stored(event_id)
        assert found is not None
        return found


def founded_by_stranger(world: World, version: RoomVersion) -> tuple[Stranger, Event, Event]:
    """A room that Mallory began on the other server and this one has heard of: its first two events too."""
    stranger = Stranger(world, RoomID(f"!evil:{EVIL}"), version)
    content = {"room_version": version.name} | ({} if version.implicit_creator else {"creator": MALLORY})
    create = stranger.build("m.room.create", content, "", after=(), auth=(), depth=1)
    if version.room_id_is_create_hash:
        stranger.room_id = room_id_of_create(create.pdu, version)
    assert stranger.bring(create) is Outcome.ACCEPTED
    join = stranger.member(MALLORY, "join")
    assert stranger.bring(join) is Outcome.ACCEPTED
    return stranger, create, join
