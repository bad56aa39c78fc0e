"""A server of its own on the loopback interface: it signs what it likes, and answers what it likes, over real HTTPS.

Unless a test has it lie it does what a good server does, as far as the tests need: it knows rooms, its own and those
that its users joined, and tells of them what it knows. It asks and sends as other servers do, with its own signature
or whatever a test puts in its place.
"""

import contextlib
import gzip
import hashlib
import http.client
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode

import apsw

from homeserver.core.auth_selection import auth_types_for
from homeserver.core.canonical_json import encode_lenient
from homeserver.core.errors import ProtocolError
from homeserver.core.hashing import event_id_of, room_id_of_create
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.policy_servers import POLICY_KEY_ID
from homeserver.core.redaction import redact
from homeserver.core.room_versions import ROOM_VERSIONS, V11, RoomVersion
from homeserver.core.signing import SigningKey, sign_event
from homeserver.core.slices import slices
from homeserver.core.unpadded_base64 import encode_base64
from homeserver.core.x_matrix import signed_request
from tests.api.client import Client
from tests.api.sliding import following
from tests.outbound.https_servers import Conversation, HttpsServer, Received, json_answer
from tests.server import Server
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

PATIENCE_S: Final = 90.0
WEEK_MS: Final = 7 * 24 * 3_600_000
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
METRIC: Final = re.compile(r"^(columba_federation_\w+?)(?:_total)?(?:\{(.*)\})? ([0-9.e+]+)$", re.MULTILINE)

Pdu = dict[str, Any]
StateKey = tuple[str, str]


@dataclass(frozen=True)
class Asked:
    """What the server was asked."""

    operation: str
    segments: Sequence[str]
    query: Mapping[str, list[str]]
    content: Any
    honest: Any  # what a good server would answer
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error."""

    status: int
    errcode: str


@dataclass(frozen=True)
class Stream:
    """An answer of bytes, which may have no end."""

    pieces: Iterable[bytes]


Lie = Callable[[Asked], Any]  # JSON, bytes that are a whole answer, a Refusal or a Stream


class HostileServer:
    """One server, with one key; `victim` is the one that it speaks with."""

    def __init__(self, authority: CertificateAuthority, victim: Server, address: str = "127.0.0.66") -> None:
        self.victim = victim
        self._https = HttpsServer(authority.issue(address), self._serve, address=address)
        self.name: Final = ServerName(f"{address}:{self._https.port}")
        self.key = SigningKey("evil", hashlib.sha256(self.name.encode()).digest())
        self.policy_key: Final = SigningKey("policy_server", hashlib.sha256(b"policy " + self.name.encode()).digest())
        self.user: Final = UserID(f"@mallory:{self.name}")
        self.other: Final = UserID(f"@trent:{self.name}")
        self.rooms: dict[str, Room] = {}
        self.lies: dict[str, Lie] = {}
        self.asked: list[Asked] = []
        self.received: list[Pdu] = []  # events that the victim sent
        self.edus: list[Any] = []
        self._news = Condition()
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Be gone."""
        self._https.close()

    # What it asks

    def ask(
        self,
        method: str,
        *path: str,
        query: Any = None,
        content: Any = None,
        raw: bytes | None = None,
        version: str = "v1",
        headers: Mapping[str, str] | None = None,
        **signed: Any,
    ) -> tuple[int, Any]:
        """Status and body of what is answered to a request below /_matrix/federation. See `authorization`."""
        uri = f"/_matrix/federation/{version}/" + "/".join(quote(segment, safe="") for segment in path)
        uri += f"?{urlencode(query, doseq=True)}" if query else ""
        body = raw if raw is not None else b"" if content is None else encode_lenient(content)
        sent = {"Authorization": self.authorization(method, uri, body, **signed), **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.victim.port.number, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, uri, body or None, sent)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def authorization(
        self,
        method: str,
        uri: str,
        body: bytes,
        *,
        origin: str | None = None,
        destination: str | None = None,
        key: SigningKey | None = None,
        signed_body: bytes | None = None,
    ) -> str:
        """The header of a request: rightly signed, unless told otherwise."""
        origin, destination = origin or self.name, destination or self.victim.server_name
        key = key or self.key
        over = body if signed_body is None else signed_body
        signature = key.sign(signed_request(method, uri, ServerName(origin), ServerName(destination), over))
        return f'X-Matrix origin="{origin}",destination="{destination}",key="{key.key_id}",sig="{signature}"'

    def send(self, *pdus: Any, edus: Sequence[Any] = (), txn_id: str | None = None) -> dict[str, Any]:
        """What a transaction's answer says of each event."""
        status, answer = self.transaction(*pdus, edus=edus, txn_id=txn_id)
        assert status == 200, answer
        results: dict[str, Any] = answer["pdus"]
        return results

    def transaction(
        self, *pdus: Any, edus: Sequence[Any] = (), txn_id: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and body of what is answered to a transaction."""
        content = {"origin": self.name, "origin_server_ts": now_ms(), "pdus": list(pdus), "edus": list(edus)}
        return self.ask("PUT", "send", txn_id or f"t{next(self._numbers)}", content=content, **options)

    def send_all(self, pdus: Sequence[Any], at_once: int = 50) -> None:
        """Send any number of events."""
        for some in slices(pdus, at_once):
            self.send(*some)

    def edu(self, edu_type: str, content: Any) -> None:
        """Send an EDU."""
        self.send(edus=[{"edu_type": edu_type, "content": content}])

    # What it makes

    def forge(
        self,
        version: RoomVersion,
        fields: Mapping[str, Any],
        *,
        key: SigningKey | None = None,
        server: str | None = None,
        signs: bool = True,
    ) -> Pdu:
        """An event of these fields, whatever they are, with the hash and the signature that it needs."""
        pdu = dict(fields)
        if not version.event_ids_are_hashes:
            pdu.setdefault("event_id", f"${next(self._numbers)}.{self.name.partition(':')[2]}:{self.name}")
        pdu["hashes"] = {"sha256": encode_base64(hashlib.sha256(encode_lenient(pdu)).digest())}
        pdu["signatures"] = {}
        if signs:
            signed = {name: value for name, value in _redacted(pdu, version).items() if name != "signatures"}
            key = key or self.key
            pdu["signatures"] = {server or self.name: {key.key_id: key.sign(encode_lenient(signed))}}
        return pdu

    def found(self, version: RoomVersion = V11, **wishes: Any) -> "Room":
        """A public room of its own."""
        return Room.founded(self, version, **wishes)

    def join(self, room_id: str, user: UserID | None = None) -> "Room":
        """Join a room of the victim's, and know all its state."""
        user = user or self.user
        status, made = self.ask("GET", "make_join", room_id, user, query={"ver": list(ROOM_VERSIONS)})
        assert status == 200, made
        version = ROOM_VERSIONS[made["room_version"]]
        room = self.rooms.get(room_id) or Room(self, RoomID(room_id), version)
        template = made["event"]
        join = self.forge(version, {**template, "content": {"membership": "join"}, "origin_server_ts": now_ms()})
        status, told = self.ask("PUT", "send_join", room_id, room.id_of(join), content=join, version="v2")
        assert status == 200, told
        for pdu in (*told["auth_chain"], *told["state"]):
            room.learn(pdu)
        room.state = {(pdu["type"], pdu["state_key"]): room.id_of(pdu) for pdu in told["state"]}
        room.add(join)
        self.rooms[room_id] = room
        return room

    # What it is asked

    def times_asked(self, *operations: str) -> int:
        """How often it was asked to do these, or anything at all."""
        return sum(not operations or one.operation in operations for one in self.asked)

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what it was asked. Raises AssertionError when that takes too long."""
        with self._news:
            assert self._news.wait_for(holds, PATIENCE_S), Counter(one.operation for one in self.asked)

    def hears(self, event_id: str) -> None:
        """Wait for an event of the victim's."""
        self.wait_for(lambda: any(event_id in room.events for room in self.rooms.values()))

    def _serve(self, conversation: Conversation, received: Received) -> None:
        method, target, _ = received.line.split(" ")
        path, _, query = target.partition("?")
        operation, segments = _operation(method, path)
        content = json.loads(received.body) if received.body else None
        honest = self._honest(operation, segments, parse_qs(query), content)
        asked = Asked(operation, segments, parse_qs(query), content, honest, received.headers)
        lie = self.lies.get(operation)
        answer = honest if lie is None else lie(asked)
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        _answer(conversation, answer)

    def _honest(self, operation: str, segments: Sequence[str], query: Mapping[str, list[str]], content: Any) -> Any:
        room = self.rooms.get(segments[0]) if segments else None
        match operation:
            case "key/server":
                return self.key_document()
            case "send":
                self._take(content)
                return {"pdus": {}}
            case "invite":
                event = content["event"]
                return {"event": sign_event(event, ROOM_VERSIONS[content["room_version"]], self.name, self.key)}
            case "sign":
                return self.policy_signature(content)
            case "event":
                found = [known.events[segments[0]] for known in self.rooms.values() if segments[0] in known.events]
                return {"pdus": found[:1]} if found else Refusal(404, "M_NOT_FOUND")
        return Refusal(404, "M_NOT_FOUND") if room is None else room.answer(operation, segments[1:], query, content)

    def key_document(self, **changes: Any) -> dict[str, Any]:
        """The server's document of its keys."""
        document = {
            "server_name": self.name,
            "valid_until_ts": now_ms() + WEEK_MS // 7,
            "verify_keys": {self.key.key_id: {"key": self.key.verify_key.to_base64()}},
            "old_verify_keys": {},
            **changes,
        }
        signature = self.key.sign(encode_lenient(document))
        return {**document, "signatures": {self.name: {self.key.key_id: signature}}}

    def policy(self, via: str | None = None) -> dict[str, Any]:
        """The content of an m.room.policy that makes it, or another server with its key, a room's policy server."""
        return {"via": via or self.name, "public_keys": {"ed25519": self.policy_key.verify_key.to_base64()}}

    def policy_signature(self, event: Pdu, key: SigningKey | None = None) -> dict[str, dict[str, str]]:
        """Its signature of an event, as a policy server answers with it."""
        signed = sign_event(event, self.rooms[event["room_id"]].version, self.name, key or self.policy_key)
        return {self.name: {POLICY_KEY_ID: signed["signatures"][self.name][POLICY_KEY_ID]}}

    def _take(self, content: Any) -> None:
        self.edus += content["edus"]
        for pdu in content["pdus"]:
            self.received.append(pdu)
            room = self.rooms.get(pdu.get("room_id"))
            if room is not None and room.id_of(pdu) not in room.events:
                room.add(pdu)


class Room:
    """A room as the hostile server knows it."""

    def __init__(self, server: HostileServer, room_id: RoomID, version: RoomVersion) -> None:
        self.server = server
        self.room_id = room_id
        self.version = version
        self.events: dict[str, Pdu] = {}
        self.state: dict[StateKey, EventID] = {}
        self.before: dict[str, dict[StateKey, EventID]] = {}  # the state before each event
        self.heads: list[EventID] = []
        self.depth = 0

    @classmethod
    def founded(cls, server: HostileServer, version: RoomVersion, **power_levels: Any) -> "Room":
        """A public room of Mallory's."""
        number = next(server._numbers)
        room = cls(server, RoomID(f"!{number}:{server.name}"), version)
        # Its number, because two events that say the same at the same moment are one.
        content = {"room_version": version.name, "number": number} | (
            {} if version.implicit_creator else {"creator": server.user}
        )
        create = room.build("m.room.create", content, "", auth=())
        if version.room_id_is_create_hash:
            room.room_id = room_id_of_create(create, version)
        room.add(create)
        server.rooms[room.room_id] = room
        room.add(room.build("m.room.member", {"membership": "join"}, server.user))
        users = {} if version.privileged_creators else {server.user: 100}
        room.add(room.build("m.room.power_levels", {"users": users, **power_levels}, ""))
        room.add(room.build("m.room.join_rules", {"join_rule": "public"}, ""))
        return room

    def id_of(self, pdu: Pdu) -> EventID:
        """An event's ID."""
        return event_id_of(pdu, self.version)

    def build(
        self,
        event_type: str,
        content: Any,
        state_key: str | None = None,
        *,
        sender: str | None = None,
        after: Sequence[str] | None = None,
        auth: Sequence[str] | None = None,
        key: SigningKey | None = None,
        signed_by: str | None = None,
        signs: bool = True,
        **fields: Any,
    ) -> Pdu:
        """An event after the heads, authorised by the state, unless said otherwise; any of its fields can be set."""
        sender = sender or self.server.user
        after = self.heads if after is None else after
        if auth is None:
            said = content if isinstance(content, dict) else {}
            keys = auth_types_for(event_type, sender, state_key, said, self.version)
            auth = [self.state[one] for one in keys if one in self.state]
        pdu: Pdu = {
            "type": event_type,
            "room_id": self.room_id,
            "sender": sender,
            "content": content,
            "prev_events": self.references(after),
            "auth_events": self.references(auth),
            "depth": self.depth + 1,
            "origin_server_ts": now_ms(),
        }
        if state_key is not None:
            pdu["state_key"] = state_key
        if event_type == "m.room.create" and self.version.room_id_is_create_hash:
            del pdu["room_id"]
        return self.server.forge(self.version, pdu | fields, key=key, server=signed_by, signs=signs)

    def say(self, body: str = "hello", **how: Any) -> Pdu:
        """A message of Mallory's."""
        return self.build("m.room.message", {"msgtype": "m.text", "body": body}, **how)

    def member(self, user: str, membership: str, **how: Any) -> Pdu:
        """A membership, set by the user unless said otherwise."""
        return self.build("m.room.member", {"membership": membership}, user, **{"sender": user, **how})

    def chain(self, length: int, *, adds: bool = True) -> list[Pdu]:
        """Messages, each after the one before."""
        made = []
        for number in range(length):
            made.append(self.say(str(number)))
            self.add(made[-1])
        return made

    def references(self, event_ids: Iterable[str]) -> list[Any]:
        """Events as the room's version names them."""
        return [one if self.version.event_ids_are_hashes else [one, {}] for one in event_ids]

    def named(self, pdu: Pdu, edge: str) -> list[EventID]:
        """The events that one names."""
        return [EventID(one if isinstance(one, str) else one[0]) for one in pdu[edge]]

    def learn(self, pdu: Pdu) -> EventID:
        """Know an event, and nothing of its place."""
        event_id = self.id_of(pdu)
        self.events[event_id] = pdu
        self.depth = max(self.depth, pdu["depth"])
        return event_id

    def add(self, pdu: Pdu) -> Pdu:
        """Put an event after those that it names."""
        self.before[self.id_of(pdu)] = dict(self.state)
        event_id = self.learn(pdu)
        self.heads = [one for one in self.heads if one not in self.named(pdu, "prev_events")] + [event_id]
        if "state_key" in pdu:
            self.state[pdu["type"], pdu["state_key"]] = event_id
        return pdu

    def auth_chain(self, event_ids: Iterable[str]) -> list[Pdu]:
        """All events that authorise these."""
        found: dict[str, Pdu] = {}
        left = [one for one in event_ids if one in self.events]
        while left:
            for one in self.named(self.events[left.pop()], "auth_events"):
                if one not in found and one in self.events:
                    found[one] = self.events[one]
                    left.append(one)
        return list(found.values())

    def answer(self, operation: str, rest: Sequence[str], query: Mapping[str, list[str]], content: Any) -> Any:
        """What a good server answers about the room."""
        match operation:
            case "make_join" | "make_leave" | "make_knock":
                return self._template(operation.removeprefix("make_"), rest[0])
            case "send_join":
                return self._joined(content)
            case "send_leave":
                self.add(content)
                return {}
            case "send_knock":
                stripped = [self.events[one] for key, one in self.state.items() if key[0] == "m.room.create"]
                self.add(content)
                return {"knock_room_state": stripped}
            case "get_missing_events":
                return {"events": self._between(content["earliest_events"], content["latest_events"], content["limit"])}
            case "backfill":
                return {"origin": self.server.name, "pdus": self._back(query["v"], [], int(query["limit"][0]))}
            case "state_ids" | "state":
                return self._state(operation, query["event_id"][0])
            case "event_auth":
                return {"auth_chain": self.auth_chain([rest[0]])}
        return Refusal(404, "M_UNRECOGNIZED")

    def _template(self, membership: str, user: str) -> Any:
        made = self.build("m.room.member", {"membership": membership}, user, sender=user)
        template = {name: value for name, value in made.items() if name not in ("hashes", "signatures", "event_id")}
        return {"room_version": self.version.name, "event": template}

    def _joined(self, join: Pdu) -> Any:
        state = list(self.state.values())
        known = [self.events[one] for one in state]
        self.add(join)
        return {
            "origin": self.server.name,
            "event": join,
            "state": known,
            "auth_chain": self.auth_chain([*state, self.id_of(join)]),
            "members_omitted": False,
        }

    def _between(self, earliest: Sequence[str], latest: Sequence[str], limit: int) -> list[Pdu]:
        before = [one for event_id in latest if event_id in self.events for one in self._previous(event_id)]
        return list(reversed(self._back(before, earliest, limit)))

    def _back(self, start: Sequence[str], end: Sequence[str], limit: int) -> list[Pdu]:
        """Events from these on backwards, newest first."""
        found: dict[str, Pdu] = {}
        left = list(start)
        while left and len(found) < limit:
            one = left.pop(0)
            if one in found or one in end or one not in self.events:
                continue
            found[one] = self.events[one]
            left += self._previous(one)
        return list(found.values())

    def _previous(self, event_id: str) -> list[EventID]:
        return self.named(self.events[event_id], "prev_events")

    def _state(self, operation: str, event_id: str) -> Any:
        if event_id not in self.before:
            return Refusal(404, "M_NOT_FOUND")
        state = list(self.before[event_id].values())
        chain = self.auth_chain(state)
        if operation == "state":
            return {"pdus": [self.events[one] for one in state], "auth_chain": chain}
        return {"pdu_ids": state, "auth_chain_ids": [self.id_of(one) for one in chain]}


class Victim:
    """The server under attack, as its people and its database see it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._database = apsw.Connection(str(server.sqlite_file), flags=apsw.SQLITE_OPEN_READONLY)
        self._database.setbusytimeout(60_000)

    def close(self) -> None:
        """Look no more."""
        self._database.close()

    def rows(self, table: str, **where: Any) -> int:
        """How many rows a table has, or those of them with these values."""
        condition = " AND ".join(f"{name} IS :{name}" for name in where) or "1"
        [(count,)] = self._database.execute(f"SELECT COUNT(*) FROM {table} WHERE {condition}", where)
        return int(count)

    def keeps(self, event_id: str) -> bool:
        """Whether an event is stored, in whatever way."""
        return self.rows("events", event_id=event_id) > 0

    def stored_bytes(self) -> int:
        """How large the database is, with what of it is in its log alone."""
        [(pages,)] = self._database.execute("PRAGMA page_count")
        [(size_bytes,)] = self._database.execute("PRAGMA page_size")
        return int(pages) * int(size_bytes)

    def counts(self) -> Counter[tuple[str, str]]:
        """What its metrics count of federation, by name and labels."""
        text: str = Client(self.server.url).send("GET", "/_columba", "metrics").body.decode()
        return Counter({(name, labels or ""): int(float(number)) for name, labels, number in METRIC.findall(text)})

    def settle(self) -> None:
        """Wait until all events that came are judged, and whatever they lack was looked for."""
        until_s = time.monotonic() + PATIENCE_S
        while any(self.counts()[name, ""] for name in ("columba_federation_staged", "columba_federation_looking")):
            assert time.monotonic() < until_s, "the server comes to no end"


def check_goes_on(room: Room, victim: Victim, alice: Client) -> None:
    """Fail unless people of both servers can still speak in the room, and hear each other."""
    room.server.lies.clear()
    said = alice.say(room.room_id, "still here")
    room.server.hears(said)
    answer = room.add(room.say("so am I"))
    assert room.server.send(answer) == {room.id_of(answer): {}}
    victim.settle()
    until_s = time.monotonic() + PATIENCE_S
    unheard = {said, room.id_of(answer)}
    while unheard:  # what waited for the rest of a room is judged in its turn after that is here
        assert time.monotonic() < until_s, "they do not hear each other"
        unheard -= {one["event_id"] for one in alice.messages(room.room_id, limit=20)["chunk"]}


def check_lists_of_rooms(alice: Client, room_id: str) -> None:
    """Fail unless everything answers that shows somebody her rooms, and what is said of this one is bounded."""
    connection = following(alice, "invited", required_state=[["*", "*"]])
    connection.want(room_subscriptions={room_id: {"timeline_limit": 10, "required_state": [["*", "*"]]}})
    shown = [connection.ask(), connection.ask(), alice.get("initialSync"), alice.get("events", query={"timeout": 0})]
    shown += [alice.get("publicRooms"), alice.post("user_directory", "search", body={"search_term": "mallory"})]
    sought = {"search_categories": {"room_events": {"search_term": "x"}}}
    shown += [alice.post("search", body=sought), alice.get("notifications"), alice.get("joined_rooms")]
    assert len(json.dumps(shown)) < 1_000_000
    for path in (
        ("/_matrix/client/v1", "room_summary", room_id),
        ("/_matrix/client/v1", "rooms", room_id, "hierarchy"),
        ("rooms", room_id, "initialSync"),
    ):
        answer = alice.send("GET", *path)
        assert answer.status in (200, 403, 404), (path, answer)


def now_ms() -> int:
    """The time, which is that of the server under attack too."""
    return time.time_ns() // 1_000_000


def _redacted(pdu: Pdu, version: RoomVersion) -> Pdu:
    try:
        return redact(pdu, version)
    except ProtocolError:  # it is no event, and is signed as it stands
        return pdu


def _operation(method: str, path: str) -> tuple[str, list[str]]:
    parts = [unquote(segment) for segment in path.split("/")[2:]]
    match parts:
        case ["key", _, *rest]:
            return f"key/{rest[0]}", rest[1:]
        case [_, _, ("user" | "query" | "openid") as family, operation, *rest]:
            return "/".join([family, operation, *(rest[:1] if family == "user" and method == "POST" else ())]), rest
        case [_, _, operation, *rest]:
            return operation, rest
    return path, []


def _answer(conversation: Conversation, answer: Any) -> None:
    match answer:
        case bytes():
            conversation.send(answer)
        case Refusal(status, errcode):
            conversation.send(json_answer(json.dumps({"errcode": errcode, "error": "no"}).encode(), status))
        case Stream(pieces):
            for piece in pieces:
                conversation.send(piece)
            conversation.hang_up()
        case _:
            conversation.send(json_answer(encode_lenient(answer)))


def always(answer: Any) -> Lie:
    """The same answer, whatever was asked."""
    return lambda _: answer


def packed(body: bytes) -> bytes:
    """An answer that is compressed."""
    zipped = gzip.compress(body)
    return HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(zipped)}\r\n\r\n".encode() + zipped


def without_end(head: bytes, piece: bytes) -> Iterator[bytes]:
    """An answer that goes on until the other side hangs up."""
    yield head
    yield from itertools.repeat(piece)
