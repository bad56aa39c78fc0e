"""The EDUs that other servers send: one handler for each type; what has none is passed over.

A server speaks for its own users alone, and only about rooms that let it take part. What is not believed changes
nothing, and is not answered: EDUs have no answers. Spec: server-server-api/#edus
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from homeserver.core.canonical_json import INTEGER_LIMIT
from homeserver.core.errors import BadJson, ProtocolError
from homeserver.core.identifiers import (
    EventID,
    ServerName,
    UserID,
    parse_event_id,
    parse_room_id,
    parse_user_id,
    server_name_of_user,
)
from homeserver.core.presence import OFFLINE, PRESENCES, Status
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.services.e2ee.remote_users import Heard
from homeserver.services.e2ee.to_device import Messages, ToDevice
from homeserver.services.errors import ServiceError
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.rooms.presence import LONGEST_STATUS_MSG, Presence
from homeserver.services.rooms.receipts import MAIN, READ, Receipts, RemoteReceipt
from homeserver.services.rooms.typing import Typing
from homeserver.storage.database import Database, Transaction
from homeserver.storage.inbound_transactions import note_message

TO_DEVICE: Final = "m.direct_to_device"
DEVICE_NEWS: Final = {"m.device_list_update": False, "m.signing_key_update": True}  # whether it is of keys
MOST_RECEIPTS: Final = 1_000  # in one EDU
MOST_PRESENT: Final = 200  # users, likewise
LONGEST_MESSAGE_ID: Final = 32
LONGEST_TYPE_BYTES: Final = 255

Json = Mapping[str, Any]  # of another server: nobody has looked at it


class DeviceNews(Protocol):
    """Hears what other servers say of their users' devices and keys, and checks whether the users are of the server."""

    async def hear(self, origin: ServerName, heard: Sequence[Heard]) -> None: ...


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """Messages for devices of local users, and what their server calls them."""

    message_id: str
    messages: Messages


class IncomingEdus:
    """Takes EDUs."""

    def __init__(
        self,
        database: Database,
        acls: ServerAcls,
        typing: Typing,
        presence: Presence,
        receipts: Receipts,
        to_device: ToDevice,
        clock: Clock,
    ) -> None:
        self.counts: Final[Counter[tuple[str, str]]] = Counter()  # by type and what became of them
        self._database = database
        self._acls = acls
        self._typing = typing
        self._presence = presence
        self._receipts = receipts
        self._to_device = to_device
        self._clock = clock
        self._devices: DeviceNews | None = None
        self._handlers: Final[dict[str, Callable[[ServerName, Json], Awaitable[None]]]] = {
            "m.typing": self._take_typing,
            "m.receipt": self._take_receipts,
            "m.presence": self._take_presence,
        }

    def tell_of_devices(self, news: DeviceNews) -> None:
        """Have somebody hear what servers say of the devices and keys of their users."""
        self._devices = news

    async def take(self, origin: ServerName, edus: Iterable[Json]) -> None:
        """Do what these say, but for messages from device to device."""
        heard: list[Heard] = []
        for edu in edus:
            edu_type, content = edu.get("edu_type"), edu.get("content")
            if not isinstance(edu_type, str) or not (edu_type in self._handlers or edu_type in DEVICE_NEWS):
                continue
            try:
                if edu_type in DEVICE_NEWS:
                    heard.append(Heard(_object(content), is_of_keys=DEVICE_NEWS[edu_type]))
                else:
                    await self._handlers[edu_type](origin, _object(content))
            except (ProtocolError, ServiceError):
                self.counts[edu_type, "refused"] += 1
            else:
                self.counts[edu_type, "taken"] += 1
        if heard and self._devices is not None:
            await self._devices.hear(origin, heard)  # together: each is written down

    def messages(self, origin: ServerName, edus: Iterable[Json]) -> list[IncomingMessage]:
        """The messages from device to device among them: to be delivered in the write that says that they came."""
        found: list[IncomingMessage] = []
        for edu in edus:
            if edu.get("edu_type") != TO_DEVICE:
                continue
            try:
                found.append(self._message(origin, _object(edu.get("content"))))
            except (ProtocolError, ServiceError):
                self.counts[TO_DEVICE, "refused"] += 1
            else:
                self.counts[TO_DEVICE, "taken"] += 1
        return found

    def deliver(self, tx: Transaction, origin: ServerName, messages: Sequence[IncomingMessage], *, now_ms: int) -> None:
        """Put messages into the inboxes of devices, unless they came before."""
        for one in messages:
            if note_message(tx, origin, one.message_id, now_ms=now_ms):
                self._to_device.deliver(tx, one.messages)

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_federation_received_edus",
            "EDUs from other servers, by what became of them.",
            ["type", "result"],
            lambda: {key: number for key, number in self.counts.items()},  # noqa: C416 - a counter is no such mapping
        )

    # The types

    def _message(self, origin: ServerName, content: Json) -> IncomingMessage:
        sender = _user_of(origin, content.get("sender"))
        message_id = _text(content.get("message_id"), "message_id")
        event_type = _text(content.get("type"), "type")
        if len(message_id) > LONGEST_MESSAGE_ID or len(event_type.encode()) > LONGEST_TYPE_BYTES:
            raise BadJson("message_id or type is too long")
        return IncomingMessage(message_id, self._to_device.parse_remote(sender, event_type, content.get("messages")))

    async def _take_typing(self, origin: ServerName, content: Json) -> None:
        user_id = _user_of(origin, content.get("user_id"))
        room_id = parse_room_id(_text(content.get("room_id"), "room_id"))
        is_typing = content.get("typing")
        if not isinstance(is_typing, bool):
            raise BadJson("typing must be true or false")
        if await self._database.read(self._acls.allows, room_id, origin):
            await self._typing.set_remote_typing(user_id, room_id, is_typing=is_typing)

    async def _take_receipts(self, origin: ServerName, content: Json) -> None:
        left = MOST_RECEIPTS
        for room, by_type in content.items():
            told = _receipts(origin, by_type)[:left]
            left -= len(told)
            if told:
                room_id = parse_room_id(room)
                if await self._database.read(self._acls.allows, room_id, origin):
                    await self._receipts.mark_remote(room_id, told)

    async def _take_presence(self, origin: ServerName, content: Json) -> None:
        push = content.get("push")
        if not isinstance(push, list):
            raise BadJson("push must be a list")
        now_s = self._clock.seconds()
        self._presence.take_remote(origin, _present(origin, push[:MOST_PRESENT], now_s))


def _receipts(origin: ServerName, by_type: object) -> list[RemoteReceipt]:
    """The receipts in a room that are well formed and of users of the server; others are passed over."""
    users = by_type.get(READ) if isinstance(by_type, dict) else None
    found: list[RemoteReceipt] = []
    for user, receipt in users.items() if isinstance(users, dict) else ():
        try:
            found.append(_receipt(_user_of(origin, user), _object(receipt)))
        except ProtocolError:
            continue
    return found


def _present(origin: ServerName, push: Sequence[object], now_s: float) -> list[tuple[UserID, Status]]:
    """What is well formed, and of users of the server; the rest is passed over."""
    found: list[tuple[UserID, Status]] = []
    for said in push:
        try:
            told = _object(said)
            found.append((_user_of(origin, told.get("user_id")), _status(told, now_s)))
        except ProtocolError:
            continue
    return found


def _status(told: Json, now_s: float) -> Status:
    presence, status_msg = _text(told.get("presence"), "presence"), told.get("status_msg")
    word = next((one for one in PRESENCES if one == presence), None)
    if word is None:
        raise BadJson("presence must be one of three words")
    if status_msg is not None and len(_text(status_msg, "status_msg")) > LONGEST_STATUS_MSG:
        raise BadJson("status_msg is too long")
    ago_ms, is_active = told.get("last_active_ago", 0), told.get("currently_active", False)
    if type(ago_ms) is not int or not 0 <= ago_ms <= INTEGER_LIMIT or not isinstance(is_active, bool):
        raise BadJson("last_active_ago must be a number of milliseconds, currently_active true or false")
    return Status(word, status_msg or None, is_active and word != OFFLINE, now_s - ago_ms / 1000)


def _receipt(user_id: UserID, receipt: Json) -> RemoteReceipt:
    data, event_ids = _object(receipt.get("data")), receipt.get("event_ids")
    if not isinstance(event_ids, list) or not event_ids:
        raise BadJson("a receipt is for an event")
    ts, thread_id = data.get("ts"), data.get("thread_id")
    if type(ts) is not int or not 0 <= ts <= INTEGER_LIMIT:
        raise BadJson("ts must be a time in milliseconds")
    if thread_id is not None and thread_id != MAIN:
        thread_id = parse_event_id(_text(thread_id, "thread_id"))
    event_id: EventID = parse_event_id(_text(event_ids[0], "an event ID"))
    return RemoteReceipt(user_id, event_id, thread_id, ts)


def _user_of(origin: ServerName, value: object) -> UserID:
    """Raises ProtocolError kinds, also for a user of another server."""
    user_id = parse_user_id(_text(value, "a user ID"))
    if server_name_of_user(user_id) != origin:
        raise BadJson(f"{user_id} is not of the server that speaks")
    return user_id


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise BadJson(f"{name} must be text")
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadJson("an object is missing")
    return value
