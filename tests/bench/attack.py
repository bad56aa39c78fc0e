"""What a hostile server costs: attacks in bounded numbers, and how long a local user's messages take meanwhile.

The attacker is tests/hostile/hostile_server.py, and builds what it sends before it is measured. Of each attack there
are the CPU time of the server until it has come to rest, how much its memory and its database have grown by then, and
the slowest of a user's messages in a room that has nothing to do with it, beside those on a quiet server.
What is done about attacks is tested in tests/hostile/.
"""

import asyncio
import gzip
import http.client
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

from homeserver.core.identifiers import UserID
from homeserver.core.signing import SigningKey
from homeserver.core.slices import slices
from tests.api.client import Client, new_user
from tests.bench.contestants import Contestant, columba
from tests.bench.measures import Figure, quantile
from tests.hostile.hostile_server import HostileServer, Pdu, Refusal, Room, Victim
from tests.server import Server
from tests.tls import CertificateAuthority

PAUSE_S: Final = 0.01  # between messages
MIB: Final = 1 << 20
AT_ONCE: Final = 50  # events in a transaction
EDUS_AT_ONCE: Final = 100
DEEPEST: Final = 2**53 - 1
BOMB_BYTES: Final = 50_000_000
SPAWN: Final = multiprocessing.get_context("spawn")

# JSON is `Any` in this file.


@dataclass(frozen=True, slots=True)
class AttackCounts:
    """How much of everything is sent."""

    forged: int = 10_000  # events with wrong signatures
    ancestors: int = 1_000  # events that name twenty others which nobody has
    deep: int = 50  # events of the greatest depth
    replays: int = 200  # of a transaction of fifty events
    bombs: int = 20  # requests that unpack to very much more
    branches: int = 2_000  # events after the same one
    edus: int = 5_000  # in the names of others
    receipts: int = 5_000  # of users whom nobody has heard of
    powers: int = 300  # changes of power levels, each authorised by the one before
    invites: int = 200
    keys: int = 200  # requests, each by another key that nobody has
    messages: int = 200  # of a local user, at least


@dataclass(frozen=True)
class Siege:
    """A server, one of its users, and who attacks it."""

    victim: Victim
    evil: HostileServer
    alice: Client
    counts: AttackCounts

    def room(self, **wishes: Any) -> Room:
        """A room of Alice's that Mallory has joined."""
        return self.evil.join(self.alice.create_room(preset="public_chat", room_version="11", **wishes))

    def sending(self, pdus: Sequence[Pdu]) -> Callable[[], None]:
        """What sends these events."""
        return lambda: self.evil.send_all(pdus, AT_ONCE)

    def saying(self, edus: Sequence[Any]) -> Callable[[], None]:
        """What sends these EDUs."""

        def send() -> None:
            for some in slices(edus, EDUS_AT_ONCE):
                self.evil.send(edus=some)

        return send


def forged_signatures(siege: Siege) -> Callable[[], None]:
    """Events that say to be signed."""
    room = siege.room()
    forged = {siege.evil.name: {siege.evil.key.key_id: "A" * 86}}
    said = (room.say(str(number), signs=False) for number in range(siege.counts.forged))
    return siege.sending([{**pdu, "signatures": forged} for pdu in said])


def forged_ancestors(siege: Siege) -> Callable[[], None]:
    """Events after others that nobody has."""
    room = siege.room()
    names = ["$" + f"{number:043d}" for number in range(20 * siege.counts.ancestors)]
    return siege.sending(
        [room.say(str(number), after=names[20 * number :][:20]) for number in range(siege.counts.ancestors)]
    )


def depth_bombs(siege: Siege) -> Callable[[], None]:
    """Events of the greatest depth, one after the other."""
    room = siege.room()
    return siege.sending([room.add(room.say(str(number), depth=DEEPEST)) for number in range(siege.counts.deep)])


def replayed_transactions(siege: Siege) -> Callable[[], None]:
    """One transaction, again and again."""
    pdus = siege.room().chain(AT_ONCE)

    def send() -> None:
        for _ in range(siege.counts.replays):
            siege.evil.send(*pdus, txn_id="again")

    return send


def replayed_events(siege: Siege) -> Callable[[], None]:
    """The same events in other transactions."""
    pdus = siege.room().chain(AT_ONCE)

    def send() -> None:
        for _ in range(siege.counts.replays):
            siege.evil.send(*pdus)

    return send


def compressed_bombs(siege: Siege) -> Callable[[], None]:
    """Bodies that unpack to very much more."""
    siege.room()
    bomb = gzip.compress(b'{"pdus":[],"edus":[],"x":"' + b"a" * BOMB_BYTES + b'"}')

    def send() -> None:
        for _ in range(siege.counts.bombs):
            siege.evil.ask("PUT", "send", "bomb", raw=bomb, signed_body=b"{}", headers={"Content-Encoding": "gzip"})

    return send


def branches(siege: Siege) -> Callable[[], None]:
    """A room of very many branches."""
    room = siege.room()
    root = list(room.heads)
    return siege.sending([room.say(str(number), after=root) for number in range(siege.counts.branches)])


def edus_of_others(siege: Siege) -> Callable[[], None]:
    """Typing, receipts, devices and messages in the names of users of other servers."""
    room_id, alice = siege.room().room_id, siege.alice.user_id
    receipt = {"data": {"ts": 1}, "event_ids": ["$x"]}
    forged = [
        ("m.typing", {"room_id": room_id, "user_id": alice, "typing": True}),
        ("m.receipt", {room_id: {"m.read": {alice: receipt}}}),
        ("m.device_list_update", {"user_id": alice, "device_id": "X", "stream_id": 1}),
        ("m.direct_to_device", {"sender": alice, "type": "x", "message_id": "m", "messages": {alice: {"*": {}}}}),
    ]
    kinds = [{"edu_type": edu_type, "content": content} for edu_type, content in forged]
    return siege.saying([kinds[number % len(kinds)] for number in range(siege.counts.edus)])


def receipts(siege: Siege) -> Callable[[], None]:
    """Receipts of the server's own users, who are in no room."""
    room_id, name = siege.room().room_id, siege.evil.name
    receipt = {"data": {"ts": 1}, "event_ids": ["$x"]}
    edus = []
    for start in range(0, siege.counts.receipts, 50):
        users = {f"@user{start + number}:{name}": receipt for number in range(50)}
        edus.append({"edu_type": "m.receipt", "content": {room_id: {"m.read": users}}})
    return siege.saying(edus)


def device_changes(siege: Siege) -> Callable[[], None]:
    """Changes of devices of the server's own users, one after the other."""
    siege.room()
    user = siege.evil.user
    siege.evil.lies["user/devices"] = lambda _: {"user_id": user, "stream_id": 1, "devices": []}
    return siege.saying(
        [
            {
                "edu_type": "m.device_list_update",
                "content": {"user_id": user, "device_id": f"D{number}", "stream_id": 10 * number, "prev_id": [5]},
            }
            for number in range(siege.counts.edus)
        ]
    )


def long_auth_chain(siege: Siege) -> Callable[[], None]:
    """Power levels, each authorised by those before."""
    users = {siege.alice.user_id: 100, siege.evil.user: 100}
    room = siege.room(power_level_content_override={"users": users})
    levels = siege.alice.state(room.room_id, "m.room.power_levels")["users"]
    changes = [{"users": levels, "kick": number % 50} for number in range(siege.counts.powers)]
    return siege.sending([room.add(room.build("m.room.power_levels", one, "")) for one in changes])


def invites(siege: Siege) -> Callable[[], None]:
    """Invites into rooms that nobody knows."""
    siege.room()
    ready = []
    for _ in range(siege.counts.invites):
        room = siege.evil.found()
        event = room.member(siege.alice.user_id, "invite", sender=siege.evil.user)
        shown = [room.events[one] for key, one in room.state.items() if key[0] == "m.room.create"]
        content = {"event": event, "room_version": room.version.name, "invite_room_state": shown}
        ready.append((room.room_id, room.id_of(event), content))

    def send() -> None:
        for room_id, event_id, content in ready:
            siege.evil.ask("PUT", "invite", room_id, event_id, content=content, version="v2")

    return send


def joins(siege: Siege) -> Callable[[], None]:
    """Users who join, one after the other; each is told of the room."""
    room = siege.room()

    def send() -> None:
        for number in range(siege.counts.invites):
            siege.evil.join(room.room_id, UserID(f"@user{number}:{siege.evil.name}"))

    return send


def unknown_keys(siege: Siege) -> Callable[[], None]:
    """Requests that are signed by keys which nobody has."""
    siege.evil.lies["key/server"] = lambda _: Refusal(500, "M_UNKNOWN")
    keys = [SigningKey(f"k{number}", b"\x13" * 32) for number in range(siege.counts.keys)]

    def send() -> None:
        for key in keys:
            siege.evil.ask("GET", "publicRooms", key=key)

    return send


Attack = Callable[[Siege], Callable[[], None]]
ATTACKS: Final[tuple[Attack, ...]] = (
    forged_signatures,
    forged_ancestors,
    depth_bombs,
    replayed_transactions,
    replayed_events,
    compressed_bombs,
    branches,
    edus_of_others,
    receipts,
    device_changes,
    long_auth_chain,
    invites,
    joins,
    unknown_keys,
)


@contextmanager
def besieged() -> Iterator[tuple[Contestant, Victim, CertificateAuthority]]:
    """A server that others on the loopback interface may speak with."""
    contestant = columba()
    assert isinstance(contestant.server, Server)
    with TemporaryDirectory(prefix="columba-bench-") as folder:
        authority = CertificateAuthority(Path(folder))
        contestant.server.settings["federation"] = {"ca_file": str(authority.file), "allow_private_addresses": True}
        victim = None
        try:
            asyncio.run(contestant.start())
            victim = Victim(contestant.server)
            yield contestant, victim, authority
        finally:
            if victim is not None:
                victim.close()
            contestant.close()


def _speak(port: int, token: str, room_id: str, least: int, ended: Event, told: "Queue[list[float]]") -> None:
    """Send messages until the attack is over, and tell how many ms each took. In a process of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"msgtype": "m.text", "body": "a message of some forty characters or so"})
    walls_ms: list[float] = []
    while not ended.is_set() or len(walls_ms) < least:
        path = f"/_matrix/client/v3/rooms/{quote(room_id)}/send/m.room.message/{time.perf_counter_ns()}"
        began = time.perf_counter()
        connection.request("PUT", path, body, headers)
        response = connection.getresponse()
        response.read()
        walls_ms.append((time.perf_counter() - began) * 1000)
        assert response.status == 200
        time.sleep(PAUSE_S)
    connection.close()
    told.put(walls_ms)


class Besieger:
    """Attacks one server, and measures it."""

    def __init__(
        self, contestant: Contestant, victim: Victim, authority: CertificateAuthority, counts: AttackCounts
    ) -> None:
        self._contestant = contestant
        self._victim = victim
        self._authority = authority
        self._counts = counts
        self._alice = new_user(victim.server.url, "alice")
        self._bob = new_user(victim.server.url, "bob")
        self._room_id = self._bob.create_room()

    def quiet(self) -> list[Figure]:
        """How long messages take while nothing else happens."""
        walls_ms = self._walls_ms(lambda: None)
        return [Figure("send, quiet, p99", "ms", quantile(walls_ms, 0.99))]

    def measure(self, attack: Attack) -> list[Figure]:
        """The figures of one attack, by a server that nobody has heard of before."""
        evil = HostileServer(self._authority, self._victim.server)
        try:
            act = attack(Siege(self._victim, evil, self._alice, self._counts))
            self._victim.settle()
            cpu_s, memory_mib, stored_mib = self._contestant.cpu_s(), self._contestant.memory_mib(), self._stored_mib()
            act()
            self._victim.settle()
            used_s = self._contestant.cpu_s() - cpu_s
            grown_mib = self._contestant.memory_mib() - memory_mib
            more_mib = self._stored_mib() - stored_mib
        finally:
            evil.close()
        evil = HostileServer(self._authority, self._victim.server)
        try:
            act = attack(Siege(self._victim, evil, self._alice, self._counts))
            walls_ms = self._walls_ms(act)
            self._victim.settle()
        finally:
            evil.close()
        name = attack.__name__.replace("_", " ")
        return [
            Figure(name, "CPU s", used_s),
            Figure(name, "MiB of memory", grown_mib),
            Figure(name, "MiB on disk", more_mib),
            Figure(f"send beside {name}, p99", "ms", quantile(walls_ms, 0.99)),
        ]

    def _walls_ms(self, act: Callable[[], None]) -> list[float]:
        ended, told = SPAWN.Event(), SPAWN.Queue()
        bob = self._bob
        arguments = (self._contestant.port, bob.access_token, self._room_id, self._counts.messages, ended, told)
        speaker = SPAWN.Process(target=_speak, args=arguments)
        speaker.start()
        try:
            act()
            self._victim.settle()
            ended.set()
            walls_ms: list[float] = told.get()
        finally:
            ended.set()
            speaker.join()
        return walls_ms

    def _stored_mib(self) -> float:
        return self._victim.stored_bytes() / MIB


def attacked(rounds: int, counts: AttackCounts, tell: Callable[[str], None]) -> list[list[Figure]]:
    """The figures of each round, each on a server of its own; `tell` is told what goes on."""
    found = []
    for number in range(rounds):
        with besieged() as (contestant, victim, authority):
            besieger = Besieger(contestant, victim, authority, counts)
            figures = besieger.quiet()
            for attack in ATTACKS:
                tell(f"round {number + 1} of {rounds}: {attack.__name__}")
                figures += besieger.measure(attack)
            found.append(figures)
    return found
