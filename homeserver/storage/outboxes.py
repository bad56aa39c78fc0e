"""How far each other server has got with what is for it, and the transaction that is on its way there.

What is for a server is not here, but found in the change log (outgoing_events.py) and in to_device_outbox.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.identifiers import ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.dialect import like_pattern
from homeserver.storage.tables import Owner, Retention, Table
from homeserver.storage.to_device_outbox import OutboxPlace


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction that may have arrived: whoever sends it again sends the same under the same ID.

    `pdus` are the positions of its events, `edus` the JSON list of its EDUs; `upto` is how far the server has got once
    it has this, `to_device` the last message in it.
    """

    transaction_id: str
    created_ms: int
    upto: int
    pdus: tuple[int, ...]
    edus: bytes
    to_device: OutboxPlace | None


@dataclass(frozen=True, slots=True)
class StoredOutbox:
    """Where a server stands. All that is for it up to `delivered_upto` was delivered; `is_behind`: there is more."""

    destination: ServerName
    delivered_upto: int
    delivered_ms: int | None
    is_behind: bool
    transaction: StoredTransaction | None


COLUMNS: Final = """destination, delivered_upto, delivered_ms, is_behind, transaction_id, transaction_ms,
           transaction_upto, transaction_pdus, transaction_edus, to_device_position, to_device_id"""
STORE = f"""
    INSERT INTO outboxes ({COLUMNS})
    VALUES (:destination, :delivered_upto, :delivered_ms, :is_behind, :transaction_id, :transaction_ms,
            :transaction_upto, :transaction_pdus, :transaction_edus, :to_device_position, :to_device_id)
    ON CONFLICT (destination) DO UPDATE SET
        delivered_upto = excluded.delivered_upto,
        delivered_ms = COALESCE(excluded.delivered_ms, outboxes.delivered_ms),
        is_behind = excluded.is_behind, transaction_id = excluded.transaction_id,
        transaction_ms = excluded.transaction_ms, transaction_upto = excluded.transaction_upto,
        transaction_pdus = excluded.transaction_pdus, transaction_edus = excluded.transaction_edus,
        to_device_position = excluded.to_device_position, to_device_id = excluded.to_device_id"""  # noqa: S608 - the columns are a constant


def store_outboxes(tx: Transaction, outboxes: Sequence[StoredOutbox]) -> None:
    """Put these in place of what was known of the same servers. No `delivered_ms` leaves the one that is there."""
    tx.insert_many(STORE, [_row(outbox) for outbox in outboxes])


MARK = f"""
    INSERT INTO outboxes ({COLUMNS})
    VALUES (:destination, :delivered_upto, :delivered_ms, :is_behind, :transaction_id, :transaction_ms,
            :transaction_upto, :transaction_pdus, :transaction_edus, :to_device_position, :to_device_id)
    ON CONFLICT (destination) DO UPDATE SET is_behind = excluded.is_behind"""  # noqa: S608 - as above


def mark_behind(tx: Transaction, outboxes: Sequence[StoredOutbox]) -> None:
    """There is more for these servers; what is known of them stays, a transaction that is under way included."""
    tx.insert_many(MARK, [_row(outbox) for outbox in outboxes])


PENDING = f"""
    SELECT {COLUMNS} FROM outboxes WHERE is_behind OR transaction_id IS NOT NULL"""  # noqa: S608 - as above


def pending_outboxes(tx: Transaction) -> list[StoredOutbox]:
    """The servers for which there is something, as far as `outgoing_position`."""
    return [_outbox(row) for row in tx.all(PENDING)]


FIND = f"SELECT {COLUMNS} FROM outboxes WHERE destination IN :destinations[text]"  # noqa: S608 - as above


def find_outboxes(tx: Transaction, destinations: Iterable[ServerName]) -> dict[ServerName, StoredOutbox]:
    """Where these servers stand: those to which anything was ever sent."""
    rows = tx.all(FIND, destinations=list(destinations))
    return {outbox.destination: outbox for outbox in map(_outbox, rows)}


AFTER = f"SELECT {COLUMNS} FROM outboxes WHERE destination > :after ORDER BY destination LIMIT :limit"  # noqa: S608


def outboxes_after(tx: Transaction, after: str, *, limit: int) -> list[StoredOutbox]:
    """Where servers stand, in the order of their names, a page at a time."""
    return [_outbox(row) for row in tx.all(AFTER, after=after, limit=limit)]


DELIVERIES = """
    SELECT destination, CASE WHEN delivered_ms IS NOT NULL THEN delivered_upto END FROM outboxes
     WHERE LOWER(destination) LIKE :like ESCAPE '!'"""


def deliveries(tx: Transaction, part: str) -> dict[ServerName, int | None]:
    """Up to where all was delivered to the servers in whose names a text is; None where nothing was yet."""
    return {ServerName(row[0]): row[1] for row in tx.all(DELIVERIES, like=f"%{like_pattern(part)}%")}


LATELY = """
    SELECT destination FROM (SELECT destination, delivered_ms FROM outboxes ORDER BY destination LIMIT :most) o
     WHERE delivered_ms IS NOT NULL ORDER BY delivered_ms DESC, destination LIMIT :limit"""
MOST_LOOKED_AT: Final = 10_000


def lately_delivered(tx: Transaction, *, limit: int) -> list[ServerName]:
    """Servers that took something, those who did last first; of very many servers not all are looked at."""
    return [ServerName(row[0]) for row in tx.all(LATELY, most=MOST_LOOKED_AT, limit=limit)]


FIND_POSITION = "SELECT log_position FROM outgoing_position"
MOVE_POSITION = "UPDATE outgoing_position SET log_position = :position WHERE log_position < :position"


def outgoing_position(tx: Transaction) -> int:
    """Up to where the change log was looked through for what is for other servers."""
    row = tx.one(FIND_POSITION)
    return 0 if row is None else row[0]


def move_outgoing_position(tx: Transaction, position: int) -> None:
    """The change log was looked through up to here."""
    tx.run(MOVE_POSITION, position=position)


def _row(outbox: StoredOutbox) -> dict[str, object]:
    transaction = outbox.transaction
    to_device = None if transaction is None else transaction.to_device
    return {
        "destination": outbox.destination,
        "delivered_upto": outbox.delivered_upto,
        "delivered_ms": outbox.delivered_ms,
        "is_behind": outbox.is_behind,
        "transaction_id": None if transaction is None else transaction.transaction_id,
        "transaction_ms": None if transaction is None else transaction.created_ms,
        "transaction_upto": None if transaction is None else transaction.upto,
        "transaction_pdus": None if transaction is None else orjson.dumps(transaction.pdus),
        "transaction_edus": None if transaction is None else transaction.edus,
        "to_device_position": None if to_device is None else to_device.position,
        "to_device_id": None if to_device is None else to_device.message_id,
    }


def _outbox(row: tuple[Any, ...]) -> StoredOutbox:
    transaction: StoredTransaction | None = None
    if row[4] is not None:
        transaction = StoredTransaction(
            transaction_id=row[4],
            created_ms=row[5],
            upto=row[6],
            pdus=tuple(orjson.loads(bytes(row[7]))),
            edus=bytes(row[8]),
            to_device=None if row[9] is None else OutboxPlace(row[9], row[10]),
        )
    return StoredOutbox(ServerName(row[0]), row[1], row[2], bool(row[3]), transaction)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "outboxes",
        owners={Owner.DESTINATION: "destination"},
        retention=Retention.bounded("one per server to which anything was to be sent"),
    ),
    Table("outgoing_position", retention=Retention.bounded("one row")),
)
