"""Users of other servers in rooms of this one, and a server that sends to them."""

from collections.abc import Mapping
from typing import Any

from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.event import EncodedEvent
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.signing import SigningKey
from homeserver.runtime.loops import Loops
from homeserver.runtime.randomness import SeededRandomness
from homeserver.services.events.creation import Draft
from homeserver.services.events.intake import Outcome
from homeserver.services.events.receipt import Received
from homeserver.services.federation.destinations import Destinations, RetryPolicy
from homeserver.services.federation.outboxes import FLUSH_S
from homeserver.services.federation.sender import FederationSender
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from tests.fakes.transaction_client import FakeTransactionClient
from tests.services.world import SERVER, World, now

FAR, NEAR = ServerName("far.example"), ServerName("near.example:8448")
FAY, NED = UserID(f"@fay:{FAR}"), UserID(f"@ned:{NEAR}")
KEY = SigningKey("test", bytes([7]) * 32)
POLICY = RetryPolicy(first_s=60.0, factor=2.0, max_s=3_600.0)


def remote_event(
    world: World,
    sender: UserID,
    room_id: RoomID,
    event_type: str,
    content: Mapping[str, Any],
    state_key: str | None = None,
) -> EncodedEvent:
    """An event that the sender's server builds on what this one has of a room."""

    def build(tx: Transaction) -> EncodedEvent:
        write = world.writer.open(tx, room_id)
        assert write is not None
        keys = auth_types_for(event_type, sender, state_key, content, write.version)
        state = write.rules_state((*keys, CREATE))
        if write.version.room_id_is_create_hash:
            del state[CREATE]
        template = EventTemplate(
            room_id=room_id,
            type=event_type,
            sender=sender,
            content=content,
            state_key=state_key,
            prev_events=tuple((head, b"") for head in write.heads),
            auth_events=tuple((event.event_id, b"") for event in state.values()),
            depth=write.depth + 1,
            origin_server_ts=world.clock.now_ms(),
        )
        server = server_name_of_user(sender)
        assigned = None if write.version.event_ids_are_hashes else EventID(f"$at{write.depth}:{server}")
        return build_event(template, write.version, server, KEY, assigned)

    return world.sync_database.read(build)


def take(world: World, encoded: EncodedEvent, *, relays: bool = False) -> EventID:
    """Have this server take in an event; it must be accepted."""
    event = encoded.event
    taking = world.intake.take(
        event.room_id,
        event.version,
        [Received(encoded, Form.FULL)],
        received_from=server_name_of_user(event.sender),
        relays=relays,
    )
    assert now(taking) == {event.event_id: Outcome.ACCEPTED}
    return event.event_id


def join_remotely(world: World, user_id: UserID, room_id: RoomID, *, relays: bool = False) -> EventID:
    """Let a user of another server join a public room, by way of a third server or (`relays`) of this one."""
    content = {"membership": "join"}
    return take(world, remote_event(world, user_id, room_id, "m.room.member", content, user_id), relays=relays)


def leave_remotely(world: World, user_id: UserID, room_id: RoomID) -> EventID:
    """Let a user of another server leave."""
    return take(world, remote_event(world, user_id, room_id, "m.room.member", {"membership": "leave"}, user_id))


def invite(world: World, inviter: UserID, room_id: RoomID, user_id: UserID) -> EventID:
    """Invite a user of another server, whom that server was told of already."""

    def add(tx: Transaction) -> EventID:
        write = world.writer.open(tx, room_id)
        assert write is not None
        content = {"membership": "invite"}
        stored = world.event_creation.add(write, Draft("m.room.member", inviter, content, state_key=user_id))
        write.finish()
        return stored.event.event_id

    return now(world.event_creation.write(add))


class Sending:
    """A world, and what it sends. Another one on the same world is the server after a crash."""

    def __init__(self, world: World, boot: int = 1, most_sending: int = 100) -> None:
        self.world = world
        self.loops = Loops(world.clock)
        randomness = SeededRandomness(boot)
        self.destinations = Destinations(world.database, POLICY, world.clock, randomness)
        now(self.destinations.load())
        self.client = FakeTransactionClient(self.destinations)
        self.sender = FederationSender(
            world.database,
            self.destinations,
            self.client,
            world.device_lists,
            world.news,
            world.clock,
            randomness,
            SERVER,
            most_sending,
        )
        self.sender.start(self.loops)
        world.typing.listen(self.sender.note_typing)
        world.presence.listen(self.sender.note_presence)

    def settle(self) -> None:
        """Let everything happen that is not a matter of time."""
        self.world.clock.advance(0)

    def wait(self, server: ServerName) -> None:
        """Let the time pass until a server is asked again."""
        self.world.clock.advance(self.destinations.wait_ms(server) / 1000)

    def flush(self) -> None:
        """Let the time pass after which what was delivered is written down."""
        self.world.clock.advance(FLUSH_S)

    def crash(self, boot: int = 2) -> "Sending":
        """End this one at once, with whatever it had not written, and begin anew."""
        self.sender.stop()
        return Sending(self.world, boot)
