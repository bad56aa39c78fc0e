"""A server made by hand: it has one large room, lets others join, and sends them events as fast as they are taken.

It goes by as many names as wanted, each with a port of its own; its users and its events are spread over them.
"""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

import orjson

from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.canonical_json import encode_canonical
from homeserver.core.event import EncodedEvent
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.key_validity import key_document
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import SigningKey
from homeserver.core.state_map import StateKey
from homeserver.core.x_matrix import signed_request
from tests.connection import Connection, Refused
from tests.server import Port
from tests.tls import CertificateAuthority

HOST: Final = "localhost"
KEY: Final = SigningKey("bench", bytes(range(32)))
A_DAY_MS: Final = 86_400_000
MEMBER: Final = "m.room.member"
CREATOR: Final = "creator"
NOTHING: Final = b"{}"


@dataclass
class HandMadeRoom:
    """A public room, all of its events, and its state at the end of them."""

    version: RoomVersion
    creator: UserID
    room_id: RoomID = field(init=False)
    order: list[EncodedEvent] = field(default_factory=list)
    state: dict[StateKey, EncodedEvent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.room_id = RoomID(f"!bench:{server_name_of_user(self.creator)}")
        self.add("m.room.create", self.creator, {"room_version": self.version.name, "creator": self.creator}, "")
        self.add(MEMBER, self.creator, {"membership": "join"}, self.creator)
        self.add("m.room.power_levels", self.creator, {"users": {self.creator: 100}}, "")
        self.add("m.room.join_rules", self.creator, {"join_rule": "public"}, "")
        self.add("m.room.history_visibility", self.creator, {"history_visibility": "shared"}, "")

    def add(
        self, event_type: str, sender: UserID, content: Mapping[str, Any], state_key: str | None = None
    ) -> EncodedEvent:
        """An event on top of all others."""
        template = self.template(event_type, sender, content, state_key)
        encoded = build_event(template, self.version, server_name_of_user(sender), KEY)
        self.take(encoded)
        return encoded

    def take(self, encoded: EncodedEvent) -> None:
        """Put an event that was built elsewhere on top of all others."""
        event = encoded.event
        self.order.append(encoded)
        if event.state_key is not None:
            self.state[event.type, event.state_key] = encoded

    def template(
        self, event_type: str, sender: UserID, content: Mapping[str, Any], state_key: str | None
    ) -> EventTemplate:
        """What the next event is to be made of."""
        keys = auth_types_for(event_type, sender, state_key, content, self.version)
        last = self.order[-1:]
        return EventTemplate(
            room_id=self.room_id,
            type=event_type,
            sender=sender,
            content=content,
            state_key=state_key,
            prev_events=tuple((one.event.event_id, b"") for one in last),
            auth_events=tuple((self.state[key].event.event_id, b"") for key in keys if key in self.state),
            depth=last[0].event.depth + 1 if last else 1,
            origin_server_ts=time.time_ns() // 1_000_000,
        )

    def state_before(self, event_id: EventID) -> list[EncodedEvent]:
        """The state before an event of the room."""
        state: dict[StateKey, EncodedEvent] = {}
        for encoded in self.order:
            if encoded.event.event_id == event_id:
                return list(state.values())
            if encoded.event.state_key is not None:
                state[encoded.event.type, encoded.event.state_key] = encoded
        raise KeyError(event_id)

    def servers(self) -> set[str]:
        """The servers of its members."""
        return {server_name_of_user(UserID(key)) for event_type, key in self.state if event_type == MEMBER}


class HandMadeServer:
    """The server under all its names, as an asynchronous context manager. The first is that of the room's creator."""

    def __init__(self, folder: Path, version: RoomVersion, names: int = 1) -> None:
        self.authority = CertificateAuthority(folder)
        self._ports = [Port() for _ in range(names)]
        self.names = [ServerName(f"{HOST}:{port.number}") for port in self._ports]
        self.room = HandMadeRoom(version, UserID(f"@{CREATOR}:{self.names[0]}"))
        self.received: dict[EventID, set[ServerName]] = {}  # which of the names have got an event
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> "HandMadeServer":
        certificate = self.authority.issue(HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.private_key)
        for name, port in zip(self.names, self._ports, strict=True):
            port_number = port.number

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: ServerName = name
            ) -> None:
                await self._serve(name, reader, writer)

            self._servers.append(await asyncio.start_server(serve, "127.0.0.1", port_number, ssl=context))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        serving = list(self._connections.items())
        for writer, _ in serving:
            writer.close()
        await asyncio.gather(*(task for _, task in serving))
        for port in self._ports:
            port.close()

    def people(self, count: int) -> None:
        """Let so many users join, of one name after the other."""
        for number in range(count):
            user = UserID(f"@user{number}:{self.names[number % len(self.names)]}")
            self.room.add(MEMBER, user, {"membership": "join", "displayname": f"User {number}"}, user)

    async def everybody_has(self, event_id: EventID, among: Iterable[ServerName]) -> None:
        """Wait until an event came to all of these names."""
        wanted = set(among)
        while not wanted <= self.received.get(event_id, set()):
            self._changed.clear()
            await self._changed.wait()

    async def _serve(self, name: ServerName, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[writer] = task
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, uri, _ = first.split(" ")
                status, answer = self._answer(name, method, uri, body)
                writer.write(
                    f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(answer)}\r\n\r\n".encode()
                )
                writer.write(answer)
                await writer.drain()
        except (OSError, EOFError):
            pass  # whoever asked has hung up
        finally:
            del self._connections[writer]
            writer.close()

    def _answer(self, name: ServerName, method: str, uri: str, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(uri)
        path = [unquote(segment) for segment in parts.path.split("/")[3:]]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        match method, path:
            case "GET", ["v2", "server", *_]:
                document = key_document(name, KEY.verify_key, (), KEY, valid_until_ms=_now_ms() + A_DAY_MS)
                return 200, encode_canonical(document)
            case "GET", ["v1", "make_join", _, user_id]:
                return 200, self._make_join(UserID(user_id))
            case "PUT", ["v2", "send_join", _, _]:
                return 200, self._send_join(body, omits_members=query.get("omit_members") == "true")
            case "GET", ["v1", ("state" | "state_ids") as what, _]:
                state = self.room.state_before(EventID(query["event_id"]))
                return 200, self._state(state, "pdus", {}, ids_only=what == "state_ids")
            case "PUT", ["v1", "send", _]:
                return 200, self._send(name, orjson.loads(body))
            case "GET", ["v1", "event", event_id]:
                found = [one.pdu_json for one in self.room.order if one.event.event_id == event_id]
                return (200, _object(pdus=_list(found))) if found else (404, NOTHING)
            case "POST", ["v1", "get_missing_events", _]:
                return 200, self._missing(orjson.loads(body))
            case "GET", ["v1", "user", "devices", user_id]:
                return 200, orjson.dumps({"user_id": user_id, "stream_id": 1, "devices": []})
            case "POST", ["v1", "user", "keys", "query"]:
                return 200, orjson.dumps({"device_keys": {}})
            case _:
                return 404, b'{"errcode":"M_UNRECOGNIZED","error":"not by this one"}'

    def _make_join(self, user_id: UserID) -> bytes:
        template = self.room.template(MEMBER, user_id, {"membership": "join"}, user_id)
        event = {
            "type": MEMBER,
            "room_id": self.room.room_id,
            "sender": user_id,
            "state_key": user_id,
            "content": template.content,
            "depth": template.depth,
            "origin": self.names[0],
            "origin_server_ts": template.origin_server_ts,
            "prev_events": [event_id for event_id, _ in template.prev_events],
            "auth_events": [event_id for event_id, _ in template.auth_events],
        }
        return orjson.dumps({"room_version": self.room.version.name, "event": event})

    def _send_join(self, body: bytes, *, omits_members: bool) -> bytes:
        servers = sorted(self.room.servers())
        state = [one for one in self.room.state.values() if not (omits_members and one.event.type == MEMBER)]
        join = parse_and_encode(orjson.loads(body), self.room.version)
        self.room.take(join)
        more = {
            "event": join.pdu_json,
            "origin": orjson.dumps(self.names[0]),
            "members_omitted": orjson.dumps(omits_members),
        }
        if omits_members:
            more["servers_in_room"] = orjson.dumps(servers)
        return self._state(state, "state", more)

    def _state(
        self, state: Sequence[EncodedEvent], name: str, more: Mapping[str, bytes], *, ids_only: bool = False
    ) -> bytes:
        """A state, and what authorises it: the room's first events."""
        keys = (CREATE, (MEMBER, self.room.creator), ("m.room.power_levels", ""), ("m.room.join_rules", ""))
        chain = [self.room.state[key] for key in keys]
        if ids_only:
            return orjson.dumps(
                {
                    "pdu_ids": [one.event.event_id for one in state],
                    "auth_chain_ids": [one.event.event_id for one in chain],
                }
            )
        lists = {name: _list([one.pdu_json for one in state]), "auth_chain": _list([one.pdu_json for one in chain])}
        return _object(**lists, **more)

    def _missing(self, question: Mapping[str, Any]) -> bytes:
        """The newest events before the latest ones and after the earliest; the room has no forks."""
        position = {one.event.event_id: number for number, one in enumerate(self.room.order)}
        first = max((position[one] + 1 for one in question["earliest_events"] if one in position), default=0)
        last = max((position[one] for one in question["latest_events"] if one in position), default=0)
        found = self.room.order[max(first, last - question.get("limit", 10)) : last]
        return _object(events=_list([one.pdu_json for one in found]))

    def _send(self, name: ServerName, transaction: Mapping[str, Any]) -> bytes:
        results = {}
        for pdu in transaction["pdus"]:
            event_id = parse_and_encode(pdu, self.room.version).event.event_id
            self.received.setdefault(event_id, set()).add(name)
            results[event_id] = NOTHING
        self._changed.set()
        return _object(pdus=_object(**results))


class SignedConnection:
    """A connection on which a hand-made server sends to another one."""

    def __init__(self, origin: ServerName, destination: ServerName, authority: Path) -> None:
        host, _, port = destination.rpartition(":")
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = Connection(int(port), tls=context, host=host)
        self._origin = origin
        self._destination = destination

    async def transaction(self, number: int, pdus: Sequence[EncodedEvent]) -> None:
        """Send a transaction of events, which must be taken. Raises Lost, Refused."""
        uri = f"/_matrix/federation/v1/send/{quote(f'bench-{number}')}"
        content = _object(
            origin=orjson.dumps(self._origin),
            origin_server_ts=orjson.dumps(_now_ms()),
            pdus=_list([one.pdu_json for one in pdus]),
        )
        signature = KEY.sign(signed_request("PUT", uri, self._origin, self._destination, content))
        authorization = (
            f'X-Matrix origin="{self._origin}",destination="{self._destination}",key="{KEY.key_id}",sig="{signature}"'
        )
        status, body = await self._connection.send("PUT", uri, content, authorization=authorization)
        if status != 200:
            raise Refused(uri, status, body)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _list(encoded: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(encoded) + b"]"


def _object(**encoded: bytes) -> bytes:
    return b"{" + b",".join(orjson.dumps(name) + b":" + value for name, value in encoded.items()) + b"}"
