"""Messages from device to device, kept until the receiving device has them.

Spec: client-server-api/#send-to-device-messaging. They are delivered by services/sync, which deletes what was received,
and those for users of other servers by services/federation.
"""

from collections import OrderedDict
from collections.abc import Container, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.errors import BadIdentifier, BadJson
from homeserver.core.identifiers import (
    DeviceID,
    ServerName,
    UserID,
    parse_device_id,
    parse_user_id,
    server_name_of_user,
)
from homeserver.core.rate_limits import Bucket, RateLimit, take
from homeserver.core.slices import slices
from homeserver.runtime.clock import Clock
from homeserver.services.errors import LimitExceeded, TooLarge
from homeserver.services.events.news import DEVICES_PER_NEWS, News, OutgoingWritten, ToDeviceWritten
from homeserver.storage.client_transactions import find_outcome, insert_outcome
from homeserver.storage.database import Database, Transaction
from homeserver.storage.to_device import delete_acknowledged, inboxes_of, insert_messages
from homeserver.storage.to_device_outbox import OutgoingMessage, insert_outgoing, trim_outbox

MESSAGE_LIMIT_BYTES: Final = 64 * 1024
MOST_RECIPIENTS: Final = 10_000
EDU_BYTES: Final = 64 * 1024  # of messages in one m.direct_to_device, unless a single one is larger
ALL_DEVICES: Final = "*"

# A full inbox loses its oldest messages: nobody alone may fill that of another within hours, or the disk.
TO_ONE_USER: Final = RateLimit(per_second=1, burst=2_000)  # messages
TO_ALL_BYTES: Final = RateLimit(per_second=256 * 1024, burst=64 * 1024 * 1024)
MOST_BUCKETS: Final = 100_000

Messages = Mapping[UserID, Mapping[str, bytes]]
"""By user and device, or ALL_DEVICES: the JSON that the device is to receive."""


class ToDevice:
    """Puts messages into the inboxes of devices."""

    def __init__(
        self,
        database: Database,
        news: News,
        clock: Clock,
        server_name: ServerName,
        shadow_bans: Container[UserID] = frozenset(),
    ) -> None:
        self._shadow_bans = shadow_bans
        self._database = database
        self._news = news
        self._clock = clock
        self._server_name = server_name
        self._buckets: OrderedDict[tuple[UserID, UserID | None], Bucket] = OrderedDict()  # by sender and recipient

    async def send(
        self,
        sender: UserID,
        device_id: DeviceID | None,
        event_type: str,
        transaction_id: str,
        messages: object,
    ) -> None:
        """Send messages of one type, once per transaction ID of the sending device.

        `messages` maps user IDs to device IDs (or "*": all other devices of the user) to contents. Devices that do not
        exist are passed over. Raises BadJson, TooLarge, LimitExceeded.
        """
        parsed = _parsed(sender, event_type, messages)
        self._take(sender, parsed)
        if sender in self._shadow_bans:
            parsed = {user: devices for user, devices in parsed.items() if user == sender}
        local = {user: devices for user, devices in parsed.items() if server_name_of_user(user) == self._server_name}
        remote = _by_server({user: devices for user, devices in parsed.items() if user not in local})
        scope = f"sendToDevice/{event_type}"
        await self._database.write(self._send, sender, device_id or DeviceID(""), scope, transaction_id, local, remote)

    def _take(self, sender: UserID, messages: Messages) -> None:
        """Count what the sender sends; nothing is counted of what is refused."""
        now_ms = self._clock.now_ms()
        size_bytes = sum(len(message) for by_device in messages.values() for message in by_device.values())
        wanted: dict[tuple[UserID, UserID | None], Bucket] = {}
        costs = [(None, TO_ALL_BYTES, size_bytes), *((user, TO_ONE_USER, len(of)) for user, of in messages.items())]
        for recipient, limit, cost in costs:
            key = (sender, recipient)
            wanted[key], wait_ms = take(limit, self._buckets.get(key), now_ms, cost)
            if wait_ms is not None:
                raise LimitExceeded(wait_ms)
        for key, bucket in wanted.items():
            self._buckets[key] = bucket
            self._buckets.move_to_end(key)
        while len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)

    def _send(
        self,
        tx: Transaction,
        sender: UserID,
        device_id: DeviceID,
        scope: str,
        transaction_id: str,
        messages: Messages,
        remote: Mapping[ServerName, Sequence[Messages]],
    ) -> None:
        now_ms = self._clock.now_ms()
        if find_outcome(tx, sender, device_id, scope, transaction_id, now_ms=now_ms) is not None:
            return
        self.deliver(tx, messages)
        if remote:
            event_type = scope.partition("/")[2]
            post = partial(self._post_at, sender=sender, event_type=event_type, remote=remote, now_ms=now_ms)
            tx.at_position(("to_device_outbox",), post)
        insert_outcome(tx, sender, device_id, scope, transaction_id, outcome="", now_ms=now_ms)

    def _post_at(
        self,
        tx: Transaction,
        position: int,
        *,
        sender: UserID,
        event_type: str,
        remote: Mapping[ServerName, Sequence[Messages]],
        now_ms: int,
    ) -> None:
        """Put messages into the outboxes of their users' servers."""
        outgoing = [
            OutgoingMessage(destination, message_id, sender, _edu(sender, event_type, message_id, messages))
            for destination, parts in remote.items()
            for number, messages in enumerate(parts)
            # As no position is given twice, neither is this, unless the database was put back to an earlier state.
            for message_id in (f"{now_ms:x}-{position:x}-{number:04x}",)
        ]
        insert_outgoing(tx, outgoing, position=position, now_ms=now_ms)
        for destination in remote:
            trim_outbox(tx, destination)
        tx.after_commit(lambda: self._news.publish(OutgoingWritten(position), ()))

    def parse_remote(self, sender: UserID, event_type: str, messages: object) -> Messages:
        """What of the messages that another server brings is for users of this one, ready for `deliver`.

        `sender` must be known to be of that server. Raises BadJson, TooLarge, LimitExceeded.
        """
        parsed = _parsed(sender, event_type, messages)
        local = {user: devices for user, devices in parsed.items() if server_name_of_user(user) == self._server_name}
        self._take(sender, local)
        return local

    def deliver(self, tx: Transaction, messages: Messages) -> None:
        """Put messages for users of this server into the inboxes of those devices that exist."""
        if not messages:
            return
        devices, overflows = inboxes_of(tx, tuple(messages))
        addressed: dict[tuple[UserID, DeviceID], bytes] = {}
        for user_id, by_device in messages.items():
            for device_id in devices.get(user_id, ()):
                message = by_device.get(device_id, by_device.get(ALL_DEVICES))
                if message is not None:
                    addressed[user_id, device_id] = message
        full = [(one.user_id, one.device_id, one.position) for one in overflows]
        delete_acknowledged(tx, [inbox for inbox in full if inbox[:2] in addressed])
        if addressed:
            tx.at_position(("to_device_messages",), partial(self._deliver_at, addressed=addressed))

    def _deliver_at(
        self, tx: Transaction, position: int, *, addressed: Mapping[tuple[UserID, DeviceID], bytes]
    ) -> None:
        insert_messages(tx, addressed, log_position=position)
        for devices in slices(list(addressed), DEVICES_PER_NEWS):
            written = ToDeviceWritten(position, frozenset(devices))
            tx.after_commit(partial(self._news.publish, written, {user_id for user_id, _ in devices}))


def _parsed(sender: UserID, event_type: str, messages: object) -> dict[UserID, dict[str, bytes]]:
    parsed: dict[UserID, dict[str, bytes]] = {}
    for user, by_device in _object(messages, "messages").items():
        try:
            user_id = parse_user_id(user)
            for device_id in _object(by_device, "the messages of a user"):
                parse_device_id(device_id)
        except BadIdentifier as bad:
            raise BadJson(bad.reason) from None
        parsed[user_id] = {
            device_id: _encoded(sender, event_type, _object(content, "a message"))
            for device_id, content in by_device.items()
        }
    if sum(map(len, parsed.values())) > MOST_RECIPIENTS:
        raise BadJson(f"More than {MOST_RECIPIENTS} devices at once")
    return parsed


def _by_server(messages: Messages) -> dict[ServerName, list[Messages]]:
    """By the server of their users, in parts that are each not too much for one EDU."""
    parts: dict[ServerName, list[dict[UserID, dict[str, bytes]]]] = {}
    sizes: dict[ServerName, int] = {}
    for user_id, by_device in messages.items():
        server = server_name_of_user(user_id)
        for device_id, message in by_device.items():
            sizes[server] = sizes.get(server, EDU_BYTES) + len(message)
            if sizes[server] > EDU_BYTES:
                parts.setdefault(server, []).append({})
                sizes[server] = len(message)
            parts[server][-1].setdefault(user_id, {})[device_id] = message
    return {server: list(of_server) for server, of_server in parts.items()}


def _edu(sender: UserID, event_type: str, message_id: str, messages: Messages) -> bytes:
    """The m.direct_to_device that carries messages to another server."""
    contents = {
        user_id: {device_id: orjson.loads(message)["content"] for device_id, message in by_device.items()}
        for user_id, by_device in messages.items()
    }
    content = {"message_id": message_id, "messages": contents, "sender": sender, "type": event_type}
    return encode_lenient({"content": content, "edu_type": "m.direct_to_device"})


def _encoded(sender: UserID, event_type: str, content: Mapping[str, Any]) -> bytes:
    message = orjson.dumps({"content": content, "sender": sender, "type": event_type})
    if len(message) > MESSAGE_LIMIT_BYTES:
        raise TooLarge(f"A message must not be larger than {MESSAGE_LIMIT_BYTES} bytes")
    return message


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadJson(f"{name} must be an object")
    return value
