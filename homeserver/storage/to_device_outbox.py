"""Messages for devices of users of other servers, until those servers have them.

What each server is sent of them, and when, is in services/federation/.
Spec: server-server-api/#send-to-device-messaging
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

KEPT_MS: Final = 7 * 24 * 3600 * 1000
MESSAGES_PER_DESTINATION: Final = 10_000


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One m.direct_to_device for one server: `edu` is its JSON."""

    destination: ServerName
    message_id: str
    sender: UserID
    edu: bytes


@dataclass(frozen=True, slots=True)
class OutboxPlace:
    """Where a message stands in the outbox of its server."""

    position: int
    message_id: str


INSERT = """
    INSERT INTO to_device_outbox (destination, log_position, message_id, sender, edu, written_ms)
    VALUES (:destination, :log_position, :message_id, :sender, :edu, :written_ms)"""


def insert_outgoing(tx: Transaction, messages: Sequence[OutgoingMessage], *, position: int, now_ms: int) -> None:
    """Put messages into the outboxes of their servers, at one position of the change log."""
    rows = [
        {
            "destination": message.destination,
            "log_position": position,
            "message_id": message.message_id,
            "sender": message.sender,
            "edu": message.edu,
            "written_ms": now_ms,
        }
        for message in messages
    ]
    tx.insert_many(INSERT, rows)


OVERFLOW = """
    SELECT log_position, message_id FROM to_device_outbox WHERE destination = :destination
     ORDER BY log_position DESC, message_id DESC LIMIT 1 OFFSET :spare"""


def trim_outbox(tx: Transaction, destination: ServerName, *, most: int = MESSAGES_PER_DESTINATION) -> int:
    """Delete the oldest messages of an outbox that is too full; return how many went."""
    row = tx.one(OVERFLOW, destination=destination, spare=most)
    return 0 if row is None else delete_delivered(tx, destination, OutboxPlace(row[0], row[1]))


DESTINATIONS = """
    SELECT DISTINCT destination FROM to_device_outbox WHERE log_position > :after AND log_position <= :upto"""


def destinations_with_messages(tx: Transaction, *, after: int, upto: int) -> set[ServerName]:
    """The servers for which there are messages that were written in (after, upto]."""
    return {ServerName(row[0]) for row in tx.all(DESTINATIONS, after=after, upto=upto)}


FIRST = """
    SELECT destination, log_position, message_id, edu FROM (
        SELECT destination, log_position, message_id, edu,
               ROW_NUMBER() OVER (PARTITION BY destination ORDER BY log_position, message_id) AS number
          FROM to_device_outbox WHERE destination IN :destinations[text]) AS numbered
     WHERE number <= :limit ORDER BY destination, number"""


def first_messages(
    tx: Transaction, destinations: Collection[ServerName], *, limit: int
) -> dict[ServerName, list[tuple[OutboxPlace, bytes]]]:
    """The oldest messages for each of the servers, at most `limit` for each."""
    found: dict[ServerName, list[tuple[OutboxPlace, bytes]]] = {}
    if destinations:
        for row in tx.all(FIRST, destinations=list(destinations), limit=limit):
            found.setdefault(ServerName(row[0]), []).append((OutboxPlace(row[1], row[2]), bytes(row[3])))
    return found


COUNT = """
    SELECT destination, COUNT(*) FROM to_device_outbox WHERE destination IN :destinations[text]
     GROUP BY destination"""


def count_messages(tx: Transaction, destinations: Collection[ServerName]) -> dict[ServerName, int]:
    """How many messages wait for each of the servers for which any do."""
    if not destinations:
        return {}
    return {ServerName(row[0]): row[1] for row in tx.all(COUNT, destinations=list(destinations))}


DELETE = """
    DELETE FROM to_device_outbox
     WHERE destination = :destination AND (log_position, message_id) <= (:position, :message_id)"""


def delete_delivered(tx: Transaction, destination: ServerName, upto: OutboxPlace) -> int:
    """Delete what a server has, up to and with one message; return how many went."""
    return tx.run(DELETE, destination=destination, position=upto.position, message_id=upto.message_id)


SWEEP = """
    DELETE FROM to_device_outbox WHERE (destination, log_position, message_id) IN (
        SELECT destination, log_position, message_id FROM to_device_outbox WHERE written_ms < :before LIMIT :limit)"""


def sweep_outbox(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget messages for servers that have not answered for so long."""
    return tx.run(SWEEP, before=now_ms - KEPT_MS, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "to_device_outbox",
        owners={Owner.USER: "sender", Owner.DESTINATION: "destination"},
        retention=Retention.expires(sweep_outbox),
    ),
)
