"""People who use a homeserver: what they do, and what their device learns of by its syncs."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson

from tests.connection import Connection, Refused
from tests.users import PASSWORD, User

# Any: JSON, throughout.

# How long something may take to get about. Only a test that fails waits so long.
PATIENCE_S: Final = 120.0
POLL_MS: Final = 1000
FILTER: Final = orjson.dumps({"room": {"timeline": {"limit": 200}}}).decode()

T = TypeVar("T")
StateKey = tuple[str, str]


@dataclass
class Room:
    """What a device knows of a room that its user is in."""

    events: dict[str, Any] = field(default_factory=dict)  # those of the timeline, by ID, in order
    state: dict[StateKey, Any] = field(default_factory=dict)
    typing: set[str] = field(default_factory=set)
    read: dict[str, str] = field(default_factory=dict)  # the event up to which each user has read

    def texts(self) -> list[str]:
        """The messages, in order."""
        return [each["content"]["body"] for each in self.events.values() if "body" in each["content"]]

    def membership(self, user_id: str) -> str | None:
        """How a user stands to the room."""
        member = self.state.get(("m.room.member", user_id))
        return None if member is None else member["content"].get("membership")


@dataclass
class Person:
    """A user with one device, which remembers what it was told."""

    user: User
    since: str | None = None
    rooms: dict[str, Room] = field(default_factory=dict)
    invites: dict[str, list[Any]] = field(default_factory=dict)  # by room, the stripped state
    knocks: dict[str, list[Any]] = field(default_factory=dict)  # likewise
    left: dict[str, Room] = field(default_factory=dict)
    messages_to_device: list[Any] = field(default_factory=list)
    changed_devices: set[str] = field(default_factory=set)
    presence: dict[str, Any] = field(default_factory=dict)  # what was told of users last

    @property
    def user_id(self) -> str:
        """Who this is."""
        return self.user.user_id

    @property
    def localpart(self) -> str:
        """What precedes the server in the user ID; nobody else of any server has the same."""
        return self.user_id[1:].partition(":")[0]

    @property
    def server_name(self) -> str:
        """Whose user this is."""
        return self.user_id.partition(":")[2]

    async def another_device(self) -> "Person":
        """The same user with a new device."""
        identifier = {"type": "m.id.user", "user": self.user_id}
        wanted = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        answer = await self.post("login", body=wanted)
        connection = Connection(self.user.connection.port, answer["access_token"])
        return Person(User(self.user_id, answer["device_id"], connection))

    async def get(self, *path: str, query: Mapping[str, Any] | None = None) -> Any:
        """GET a path below /_matrix/client/v3."""
        return await self.user.call("GET", *path, query=query)

    async def put(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """PUT there."""
        return await self.user.call("PUT", *path, body=body or {})

    async def post(
        self, *path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """POST there."""
        return await self.user.call("POST", *path, body=body or {}, query=query)

    async def reaches(self, other: "Person") -> None:
        """Return once this user's server speaks with the other's: after an outage it holds back for a while."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_told_of_nobody(other):
                await self.look(200)

    async def _is_told_of_nobody(self, other: "Person") -> bool:
        """Whether the other's server says that it has no such user: a new one each time, for answers are remembered."""
        try:
            await self.get("profile", f"@nobody-{secrets.token_hex(6)}:{other.server_name}")
        except Refused as refused:
            return refused.status == 404
        raise AssertionError("the other server knows everybody")

    async def create_room(self, **wishes: Any) -> str:
        """A new room's ID, with its creator's device knowing it."""
        room_id = await self.user.create_room(**wishes)
        await self.until(lambda: room_id in self.rooms)
        return room_id

    async def join(self, room: str, *via: "Person") -> str:
        """Join by ID or alias, through the servers of others; the room's ID. The device knows it then."""
        query = {"via": via[0].server_name} if via else None
        room_id: str = (await self.post("join", room, query=query))["room_id"]
        await self.until(lambda: room_id in self.rooms)
        return room_id

    async def say(self, room_id: str, text: str) -> str:
        """Send a message; its event ID."""
        return await self.user.say(room_id, text)

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any]) -> str:
        """Send any event; its ID."""
        transaction_id = f"e{next(self.user.transactions)}"
        event_id: str = (await self.put("rooms", room_id, "send", kind, transaction_id, body=content))["event_id"]
        return event_id

    async def set_state(self, room_id: str, kind: str, content: Mapping[str, Any], state_key: str = "") -> str:
        """Set a piece of state; the event's ID."""
        event_id: str = (await self.put("rooms", room_id, "state", kind, state_key, body=content))["event_id"]
        return event_id

    async def invite(self, room_id: str, other: "Person") -> None:
        """Invite somebody."""
        await self.post("rooms", room_id, "invite", body={"user_id": other.user_id})

    async def redact(self, room_id: str, event_id: str) -> str:
        """Redact an event; the redaction's ID."""
        transaction_id = f"r{next(self.user.transactions)}"
        redaction: str = (await self.put("rooms", room_id, "redact", event_id, transaction_id))["event_id"]
        return redaction

    async def current_state(self, room_id: str) -> dict[StateKey, str]:
        """The room's state as the server tells it: event IDs."""
        events = await self.get("rooms", room_id, "state")
        return {(each["type"], each["state_key"]): each["event_id"] for each in events}

    async def until(self, holds: Callable[[], T | None]) -> T:
        """Sync until something holds; what it returned then. Raises AssertionError when that takes too long."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (found := holds()):
                    await self.look(POLL_MS)
        except TimeoutError:
            raise AssertionError(f"{self.user_id} did not learn of it:\n{self}") from None
        return found

    async def hears(self, room_id: str, text: str) -> None:
        """Wait for a message."""
        await self.until(lambda: text in self.rooms[room_id].texts())

    async def sees(self, room_id: str, event_id: str) -> Any:
        """Wait for an event; as it came."""
        return await self.until(lambda: self.rooms[room_id].events.get(event_id))

    async def sees_state(self, room_id: str, kind: str, content: Mapping[str, Any], state_key: str = "") -> None:
        """Wait until a piece of state has this content."""
        await self.until(
            lambda: self.rooms[room_id].state.get((kind, state_key), {}).get("content") == content,
        )

    async def sees_membership(self, room_id: str, other: "Person", membership: str) -> None:
        """Wait until somebody stands to the room like this."""
        await self.until(lambda: self.rooms[room_id].membership(other.user_id) == membership)

    async def look(self, timeout_ms: int = 0) -> None:
        """Sync once, and remember what was told."""
        asked: dict[str, Any] = {"timeout": timeout_ms, "set_presence": "offline", "filter": FILTER}
        if self.since is not None:
            asked["since"] = self.since
        told = await self.get("sync", query=asked)
        self.since = told["next_batch"]
        rooms = told.get("rooms", {})
        for room_id, section in rooms.get("join", {}).items():
            self._note(self.rooms.setdefault(room_id, Room()), section)
            for elsewhere in (self.invites, self.knocks, self.left):
                elsewhere.pop(room_id, None)
        for room_id, section in rooms.get("invite", {}).items():
            self.invites[room_id] = section["invite_state"]["events"]
            self.knocks.pop(room_id, None)
        for room_id, section in rooms.get("knock", {}).items():
            self.knocks[room_id] = section["knock_state"]["events"]
        for room_id, section in rooms.get("leave", {}).items():
            self.invites.pop(room_id, None)
            self.knocks.pop(room_id, None)
            self.left[room_id] = self.rooms.pop(room_id, Room())
            self._note(self.left[room_id], section)
        self.messages_to_device += told.get("to_device", {}).get("events", [])
        for event in told.get("presence", {}).get("events", []):
            self.presence[event["sender"]] = event["content"]
        self.changed_devices |= set(told.get("device_lists", {}).get("changed", []))

    @staticmethod
    def _note(room: Room, section: Mapping[str, Any]) -> None:
        timeline = section.get("timeline", {}).get("events", [])
        for event in (*section.get("state", {}).get("events", []), *timeline):
            if "state_key" in event:
                room.state[event["type"], event["state_key"]] = event
        room.events |= {event["event_id"]: event for event in timeline}
        for event in section.get("ephemeral", {}).get("events", []):
            if event["type"] == "m.typing":
                room.typing = set(event["content"]["user_ids"])
            elif event["type"] == "m.receipt":
                for event_id, kinds in event["content"].items():
                    for user_id in kinds.get("m.read", {}):
                        room.read[user_id] = event_id
