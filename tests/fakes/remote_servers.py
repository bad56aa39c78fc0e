"""Other servers in memory, in rooms of tests/scenes.py, which they share: an Agent that answers in their names.

They sign with the keys of tests/forked_rooms.py, and speak as the specification has it, unless a test lets one of them
answer otherwise.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from twisted.internet.defer import Deferred

from homeserver.core.auth_selection import auth_types_for
from homeserver.core.event import Event
from homeserver.core.event_format import parse_event
from homeserver.core.event_graph import auth_chain
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import sign_event
from homeserver.core.unpadded_base64 import encode_base64
from homeserver.outbound.errors import RemoteError, Unreachable
from homeserver.outbound.exchange import Answer, Ask
from tests.forked_rooms import KEYS
from tests.scenes import Scene

# JSON is `Any` here.

Tamper = Callable[[dict[str, Any]], Any]


def keys_of_all() -> Mapping[ServerName, list[PublishedKey]]:
    """The keys by which the servers sign."""
    return {server: [PublishedKey(key.verify_key, FOR_EVER_MS)] for server, key in KEYS.items()}


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """An answer that is an error."""

    def __init__(self, status: int, errcode: str, **more: Any) -> None:
        super().__init__(errcode)
        self.status = status
        self.body = {"errcode": errcode, "error": f"{errcode} says the server", **more}


class RemoteServers:
    """Servers that are reached, in rooms that they are in."""

    def __init__(self) -> None:
        self.rooms: dict[RoomID, Scene] = {}
        self.resident: dict[RoomID, set[ServerName]] = {}
        self.large: set[RoomID] = set()  # of which members are left out for those who say that they need not be told
        self.aliases: dict[str, tuple[RoomID, list[ServerName]]] = {}
        self.failures: dict[ServerName, RemoteError | Refusal] = {}
        self.tampers: dict[tuple[ServerName, str], Tamper] = {}  # by the operation's name: what it answers instead
        self.held: dict[ServerName, Deferred[None]] = {}
        self.asked: list[tuple[ServerName, str]] = []
        self.authorisers: dict[RoomID, UserID] = {}
        self.sent: list[Event] = []
        self.published: list[Any] = []  # in the directory of each server
        self.spaces: dict[tuple[ServerName, str], dict[str, Any]] = {}  # what a server says of a room
        self.searches: list[dict[str, Any]] = []  # what was asked of it
        self.invited: list[dict[str, Any]] = []  # bodies of invites that were brought

    def open(self, scene: Scene, *servers: ServerName) -> RoomID:
        """Let these servers be in a room."""
        room_id = scene.create.room_id
        self.rooms[room_id] = scene
        self.resident[room_id] = set(servers)
        return room_id

    def asked_for(self, operation: str) -> list[ServerName]:
        """Who was asked to do it, in turn."""
        return [server for server, asked in self.asked if asked == operation]

    async def exchange(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        """See Agent."""
        path, _, query = ask.uri.partition("?")
        _, _, _, _, operation, *segments = (unquote(segment) for segment in path.split("/"))
        self.asked.append((ask.destination, operation))
        if ask.destination in self.held:
            await self.held[ask.destination]
        failure = self.failures.get(ask.destination)
        content = json.loads(ask.body) if ask.body else {}
        try:
            if isinstance(failure, Exception):
                raise failure
            body = self._answer(ask.destination, operation, segments, parse_qs(query), content)
        except Refusal as refusal:
            return Answer(refusal.status, {}, json.dumps(refusal.body).encode())
        tamper = self.tampers.get((ask.destination, operation))
        raw = json.dumps(body if tamper is None else tamper(body)).encode()
        if len(raw) > ask.most_bytes:
            raise AssertionError("the agent would refuse this")
        if take is None:
            return Answer(200, {}, raw)
        take(raw)
        return Answer(200, {}, b"")

    def _answer(
        self,
        server: ServerName,
        operation: str,
        segments: list[str],
        query: Mapping[str, list[str]],
        content: dict[str, Any],
    ) -> dict[str, Any]:
        match operation, segments:
            case "publicRooms", []:
                self.searches.append({**content, **{name: values[0] for name, values in query.items()}})
                return {"chunk": self.published}
            case "query", ["directory"]:
                return self._directory(query["room_alias"][0])
            case "hierarchy", [room_id]:
                self.searches.append({"room_id": room_id, "suggested_only": query["suggested_only"][0]})
                if (server, room_id) not in self.spaces:
                    raise Refusal(404, "M_NOT_FOUND")
                return self.spaces[server, room_id]
            case "make_join", [room_id, user_id]:
                scene = self._room(server, RoomID(room_id))
                if scene.version.name not in query["ver"]:
                    raise Refusal(400, "M_INCOMPATIBLE_ROOM_VERSION", room_version=scene.version.name)
                return self._template(scene, UserID(user_id), "join")
            case "make_leave", [room_id, user_id]:
                scene = self._room(server, RoomID(room_id))
                self._check_is_there(scene, UserID(user_id))
                return self._template(scene, UserID(user_id), "leave")
            case "send_leave", [room_id, _]:
                self._take(self._room(server, RoomID(room_id)), content)
                return {}
            case "make_knock", [room_id, user_id]:
                return self._template(self._room(server, RoomID(room_id)), UserID(user_id), "knock")
            case "send_knock", [room_id, _]:
                scene = self._room(server, RoomID(room_id))
                self._take(scene, content)
                return {"knock_room_state": [scene.create.pdu, scene.join_rules.pdu]}
            case "exchange_third_party_invite", [room_id]:
                self._exchange(self._room(server, RoomID(room_id)), content)
                return {}
            case "invite", [_, _]:
                self.invited.append(content)
                version = ROOM_VERSIONS[content["room_version"]]
                return {"event": sign_event(content["event"], version, server, KEYS[server])}
            case "send_join", [room_id, _]:
                scene = self._room(server, RoomID(room_id))
                answer = self._send_join(server, scene, content)
                is_omitted = RoomID(room_id) in self.large and query["omit_members"] == ["true"]
                return self._without_members(scene, answer) if is_omitted else answer
            case "state", [room_id]:
                return self._state(self._room(server, RoomID(room_id)), EventID(query["event_id"][0]))
        raise Unreachable(f"{operation} is not played here")

    def _room(self, server: ServerName, room_id: RoomID) -> Scene:
        if server not in self.resident.get(room_id, ()):
            raise Refusal(404, "M_NOT_FOUND")
        return self.rooms[room_id]

    @staticmethod
    def _check_is_there(scene: Scene, user_id: UserID) -> None:
        member_id = scene.after(scene.last).get(("m.room.member", user_id))
        member = None if member_id is None else scene.history.events[member_id]
        if member is None or member.content["membership"] not in ("join", "invite", "knock"):
            raise Refusal(403, "M_FORBIDDEN")

    def _directory(self, alias: str) -> dict[str, Any]:
        if alias not in self.aliases:
            raise Refusal(404, "M_NOT_FOUND")
        room_id, servers = self.aliases[alias]
        return {"room_id": room_id, "servers": servers}

    def _template(self, scene: Scene, user_id: UserID, membership: str) -> dict[str, Any]:
        content = {"membership": membership}
        if membership == "join" and scene.create.room_id in self.authorisers:
            content["join_authorised_via_users_server"] = self.authorisers[scene.create.room_id]
        state = scene.after(scene.last)
        keys = auth_types_for("m.room.member", user_id, user_id, content, scene.version)
        auth_ids = [state[key] for key in keys if key in state]
        template = {
            "type": "m.room.member",
            "room_id": scene.create.room_id,
            "sender": user_id,
            "state_key": user_id,
            "content": content,
            "prev_events": self._references(scene, [scene.last.event_id]),
            "auth_events": self._references(scene, auth_ids),
            "depth": scene.last.depth + 1,
            "origin_server_ts": 1,
            "origin": "ignored.example",
        }
        return {"event": template, "room_version": scene.version.name}

    @staticmethod
    def _references(scene: Scene, event_ids: Iterable[EventID]) -> list[Any]:
        if scene.version.event_ids_are_hashes:
            return list(event_ids)
        events = scene.history.events
        return [
            [event_id, {"sha256": encode_base64(reference_hash(events[event_id].pdu, scene.version))}]
            for event_id in event_ids
        ]

    @staticmethod
    def _exchange(scene: Scene, content: dict[str, Any]) -> None:
        """Let a third-party invite become that of a user."""
        invite = scene.send(
            content["sender"], "m.room.member", content["content"], content["state_key"], after=[scene.last]
        )
        if scene.is_rejected(invite):
            raise Refusal(403, "M_FORBIDDEN")
        scene.last = invite

    def _send_join(self, server: ServerName, scene: Scene, content: dict[str, Any]) -> dict[str, Any]:
        if scene.create.room_id in self.authorisers:
            content = sign_event(content, scene.version, server, KEYS[server])
        join = self._take(scene, content)
        events = scene.history.events
        state = scene.history.before[join.event_id]
        chain = auth_chain([*state.values(), join.event_id], lambda event_id: events[event_id].auth_event_ids)
        return {
            "origin": server,
            "state": [events[event_id].pdu for event_id in state.values()],
            "auth_chain": [events[event_id].pdu for event_id in sorted(chain)],
            "event": content,
            "members_omitted": False,
        }

    def _without_members(self, scene: Scene, answer: dict[str, Any]) -> dict[str, Any]:
        """Who is in the room is told by the servers alone; the auth chain is that of what is left."""
        events = scene.history.events
        state = [pdu for pdu in answer["state"] if pdu["type"] != "m.room.member"]
        kept = [parse_event(pdu, scene.version).event_id for pdu in (*state, answer["event"])]
        chain = auth_chain(kept, lambda event_id: events[event_id].auth_event_ids)
        return {
            **answer,
            "state": state,
            "auth_chain": [events[event_id].pdu for event_id in sorted(chain)],
            "members_omitted": True,
            "servers_in_room": sorted(self.resident[scene.create.room_id]),
        }

    def _state(self, scene: Scene, event_id: EventID) -> dict[str, Any]:
        if event_id not in scene.history.before:
            raise Refusal(404, "M_NOT_FOUND")
        events = scene.history.events
        state = scene.history.before[event_id]
        chain = auth_chain(state.values(), lambda event_id: events[event_id].auth_event_ids)
        return {
            "pdus": [events[one].pdu for one in state.values()],
            "auth_chain": [events[one].pdu for one in sorted(chain)],
        }

    def _take(self, scene: Scene, content: dict[str, Any]) -> Event:
        event = parse_event(content, scene.version)
        self.sent.append(event)
        if not scene.history.add(event):
            raise Refusal(403, "M_FORBIDDEN")
        scene.last = event
        return event
