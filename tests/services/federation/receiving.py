"""A server that is sent transactions about a room whose members are elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.runtime.loops import Loops
from homeserver.services.e2ee.remote_users import Heard
from homeserver.services.events.keyring import GivenKeys
from homeserver.services.events.receipt import Receipt
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.inbound_transactions import InboundTransactions
from homeserver.services.federation.incoming_edus import IncomingEdus
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.services.federation.receiver import Receiver
from homeserver.storage.events import StoredEvent, events_by_id
from tests.fakes.policy_source import FakePolicySource
from tests.forked_rooms import BOB, KEYS
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.world import World, call_now, now

ONE, TWO = ServerName("one.example"), ServerName("two.example")
KEYRING = GivenKeys({server: [PublishedKey(key.verify_key, FOR_EVER_MS)] for server, key in KEYS.items()})

# Any: JSON, throughout.


class HeardDevices:
    """What was heard of devices and keys."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ServerName, Mapping[str, Any]]] = []

    async def hear(self, origin: ServerName, heard: Sequence[Heard]) -> None:
        """See DeviceNews."""
        self.heard += [("keys" if one.is_of_keys else "devices", origin, one.content) for one in heard]


class Receiving:
    """A world that knows a room, and what takes transactions there. Another one on the same world is a later boot."""

    def __init__(self, world: World, version: RoomVersion = V11, scene: Scene | None = None, **limits: int) -> None:
        self.world = world
        if scene is None:
            scene = Scene(version)
            known = (scene.create, scene.joined, scene.levels, scene.join_rules)
            taken = [received(event) for event in known]
            now(world.intake.take(scene.create.room_id, version, taken, received_from=ONE))
        self.scene = scene
        self.room_id = scene.create.room_id
        self.loops = Loops(world.clock)
        self.gaps: list[str] = []
        self.acls = ServerAcls(world.states, world.budget)
        self.receipt = Receipt(KEYRING, call_now)
        self.signers = FakePolicySource()
        self.policies = PolicyServers(world.database, world.states, self.signers)
        self.receiver = Receiver(
            world.database,
            self.receipt,
            world.intake,
            self.policies,
            world.clock,
            **limits,
        )
        world.intake.tell_of_waiting(self.gaps.append)
        self.devices = HeardDevices()
        self.edus = IncomingEdus(
            world.database, self.acls, world.typing, world.presence, world.receipts, world.to_device, world.clock
        )
        self.edus.tell_of_devices(self.devices)
        self.inbound = InboundTransactions(
            world.database, self.acls, self.receiver, self.edus, world.remote_invites, world.rate_limits, world.clock
        )
        self._sent = 0

    def start(self) -> None:
        """Begin to judge what came."""
        now(self.receiver.start(self.loops))
        self.settle()

    def settle(self) -> None:
        """Let everything happen that is not a matter of time."""
        self.world.clock.advance(0)

    def send(
        self,
        pdus: Sequence[Any] = (),
        edus: Sequence[Any] = (),
        *,
        origin: ServerName = ONE,
        transaction_id: str | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """What is answered to a transaction."""
        self._sent += 1
        body = {"pdus": list(pdus), "edus": list(edus), **others}
        answer = now(self.inbound.receive(origin, transaction_id or f"t{self._sent}", body))
        results: dict[str, Any] = orjson.loads(answer)["pdus"]
        return results

    def send_events(self, *events: Event, origin: ServerName = ONE) -> Mapping[str, Any]:
        """Send these, and let them be judged."""
        results = self.send([event.pdu for event in events], origin=origin)
        self.settle()
        return results

    def find(self, event: Event) -> StoredEvent | None:
        """An event as it is kept."""
        return self.world.sync_database.read(events_by_id, [event.event_id]).get(event.event_id)

    def kept(self, *events: Event) -> set[EventID]:
        """Those of the events that are kept."""
        return {event.event_id for event in events if self.find(event) is not None}

    def chain(self, length: int) -> list[Event]:
        """Messages, each after the one before."""
        chain: list[Event] = []
        for number in range(length):
            self.scene.last = self.scene.say(self.scene.create.sender, f"{number}", after=[self.scene.last])
            chain.append(self.scene.last)
        return chain

    def let_bob_join(self) -> Event:
        """Bob, of another server, joins: this server knows."""
        self.scene.last = join = self.scene.member(BOB, "join", after=[self.scene.last])
        now(self.world.intake.take(self.room_id, self.scene.version, [received(join)], received_from=ONE))
        return join
