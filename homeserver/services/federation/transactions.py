"""Transactions as they are sent: what goes into one, and its JSON, put together of JSON that is there already.

Which server gets which is in sender.py. Spec: server-server-api/#transactions
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.services.federation.outgoing_edus import receipt_edus
from homeserver.services.federation.outgoing_log import Content
from homeserver.storage.outgoing_events import OutgoingEvent
from homeserver.storage.receipts import Receipt
from homeserver.storage.to_device_outbox import OutboxPlace

MOST_PDUS: Final = 50
MOST_EDUS: Final = 100
MOST_ITEMS: Final = MOST_PDUS + MOST_EDUS
MOST_RECEIPTS: Final = 500
FULL_BYTES: Final = 4 * 1024 * 1024  # nothing is added to a transaction that has so many
NOTHING: Final = Content()


@dataclass(frozen=True, slots=True)
class Filled:
    """What one transaction carries: `taken` of the positions, up to `upto`, and messages up to `to_device`."""

    events: tuple[OutgoingEvent, ...]
    edus: tuple[bytes, ...]
    upto: int
    taken: int
    to_device: OutboxPlace | None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self.events and not self.edus

    @property
    def is_lasting(self) -> bool:
        """Whether anything in it must arrive some day: not so when it says only who types, or is there."""
        return self.taken > 0 or self.to_device is not None

    @property
    def items(self) -> int:
        """How many PDUs and EDUs there are."""
        return len(self.events) + len(self.edus)


def fill(
    positions: Sequence[int],
    contents: Mapping[int, Content],
    messages: Sequence[tuple[OutboxPlace, bytes]],
    signals: Sequence[bytes],
    *,
    delivered_upto: int,
    most: int,
) -> Filled:
    """As much as one transaction may carry, in the order of the positions, of at most so many items.

    `signals` are EDUs that say what is now: they go if there is room.
    Positions of which there is nothing any more are taken, too.
    """
    events: list[OutgoingEvent] = []
    edus: list[bytes] = []
    receipts: list[Receipt] = []
    threads: Counter[tuple[RoomID, UserID]] = Counter()  # of these each needs an EDU
    size, taken = 0, 0
    for position in positions:
        content = contents.get(position, NOTHING)
        spoken = len(edus) + max(threads.values(), default=0)
        is_edu = content.device is not None or bool(content.receipts)
        if content.event is not None and (len(events) >= MOST_PDUS or len(events) + spoken >= most):
            break
        if is_edu and (spoken >= MOST_EDUS or len(events) + spoken >= most or len(receipts) > MOST_RECEIPTS):
            break
        if size > FULL_BYTES:
            break
        taken += 1
        if content.event is not None:
            events.append(content.event)
            size += len(content.event.pdu)
        elif content.device is not None:
            edus.append(content.device)
            size += len(content.device)
        receipts.extend(content.receipts)
        threads.update((one.room_id, one.user_id) for one in content.receipts)
    upto = positions[taken - 1] if taken else delivered_upto
    edus += receipt_edus(receipts)
    place: OutboxPlace | None = None
    for at, edu in messages:
        if len(edus) >= MOST_EDUS or len(events) + len(edus) >= most or size > FULL_BYTES:
            break
        edus.append(edu)
        size += len(edu)
        place = at
    for edu in signals:
        if len(edus) >= MOST_EDUS or len(events) + len(edus) >= most:
            break
        edus.append(edu)
    return Filled(tuple(events), tuple(edus), upto, taken, place)


def json_list(values: Iterable[bytes]) -> bytes:
    """A JSON array of values that are JSON already."""
    return b"[" + b",".join(values) + b"]"


def transaction_json(origin: ServerName, created_ms: int, pdus: Iterable[bytes], edus: bytes) -> bytes:
    """The body of a transaction, in canonical JSON as its parts are; `edus` is an array already."""
    return b'{"edus":%b,"origin":"%b","origin_server_ts":%d,"pdus":%b}' % (
        edus,
        origin.encode(),
        created_ms,
        json_list(pdus),
    )
