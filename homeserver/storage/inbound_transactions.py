"""What other servers sent: the transactions that came, and the events in them that are not judged yet.

How they are taken is in services/federation/inbound_transactions.py, and who judges the events in receiver.py there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

KEPT_MS: Final = 24 * 3600 * 1000  # a server sends the same again within minutes, or comes back with something newer
TRANSACTIONS_KEPT: Final = 100  # of each server, which sends one after the other
MESSAGES_KEPT: Final = 10_000  # likewise
NUMBERS: Final = "inbound"


@dataclass(frozen=True, slots=True)
class NewPDU:
    """An event that came just now."""

    room_id: RoomID
    pdu: bytes


@dataclass(frozen=True, slots=True)
class StagedPDU:
    """An event that is not judged yet. `number` says when it came, compared with others."""

    number: int
    origin: ServerName
    received_ms: int
    pdu: bytes


@dataclass(frozen=True, slots=True)
class StagedAmount:
    """How much of one server's waits in a room."""

    room_id: RoomID
    origin: ServerName
    count: int
    size_bytes: int


FIND = "SELECT answer FROM inbound_transactions WHERE origin = :origin AND transaction_id = :transaction_id"


def find_answer(tx: Transaction, origin: ServerName, transaction_id: str) -> bytes | None:
    """What was answered to a transaction; None if it has not come yet."""
    row = tx.one(FIND, origin=origin, transaction_id=transaction_id)
    return None if row is None else bytes(row[0])


INSERT = """
    INSERT INTO inbound_transactions (origin, transaction_id, number, answer, received_ms)
    VALUES (:origin, :transaction_id, :number, :answer, :received_ms)"""
TRIM = """
    DELETE FROM inbound_transactions WHERE origin = :origin AND number <= (
        SELECT number FROM inbound_transactions WHERE origin = :origin ORDER BY number DESC LIMIT 1 OFFSET :most)"""


def insert_answer(
    tx: Transaction,
    origin: ServerName,
    transaction_id: str,
    answer: bytes,
    *,
    now_ms: int,
    most: int = TRANSACTIONS_KEPT,
) -> None:
    """Note what is answered to a transaction, in the write of what it brings; forget a server's oldest ones."""
    tx.run(
        INSERT,
        origin=origin,
        transaction_id=transaction_id,
        number=tx.next_ids(NUMBERS),
        answer=answer,
        received_ms=now_ms,
    )
    tx.run(TRIM, origin=origin, most=most)


FIND_MESSAGE = "SELECT 1 FROM inbound_messages WHERE origin = :origin AND message_id = :message_id"
INSERT_MESSAGE = """
    INSERT INTO inbound_messages (origin, message_id, number, received_ms)
    VALUES (:origin, :message_id, :number, :received_ms)"""
TRIM_MESSAGES = """
    DELETE FROM inbound_messages WHERE origin = :origin AND number <= (
        SELECT number FROM inbound_messages WHERE origin = :origin ORDER BY number DESC LIMIT 1 OFFSET :most)"""


def note_message(
    tx: Transaction, origin: ServerName, message_id: str, *, now_ms: int, most: int = MESSAGES_KEPT
) -> bool:
    """Note that a message from device to device came; False if it came before."""
    if tx.one(FIND_MESSAGE, origin=origin, message_id=message_id) is not None:
        return False
    number = tx.next_ids(NUMBERS)
    tx.run(INSERT_MESSAGE, origin=origin, message_id=message_id, number=number, received_ms=now_ms)
    tx.run(TRIM_MESSAGES, origin=origin, most=most)
    return True


STAGE = """
    INSERT INTO staged_pdus (number, room_id, origin, received_ms, size, pdu)
    VALUES (:number, :room_id, :origin, :received_ms, :size, :pdu)"""


def stage_pdus(tx: Transaction, origin: ServerName, pdus: Sequence[NewPDU], *, now_ms: int) -> None:
    """Keep events until they are judged, in this order."""
    if not pdus:
        return
    first = tx.next_ids(NUMBERS, len(pdus))
    tx.insert_many(
        STAGE,
        [
            {
                "number": number,
                "room_id": one.room_id,
                "origin": origin,
                "received_ms": now_ms,
                "size": len(one.pdu),
                "pdu": one.pdu,
            }
            for number, one in enumerate(pdus, first)
        ],
    )


FIRST = """
    SELECT number, origin, received_ms, pdu FROM staged_pdus
     WHERE room_id = :room_id ORDER BY number LIMIT :limit"""


def first_staged(tx: Transaction, room_id: RoomID, *, limit: int) -> list[StagedPDU]:
    """The events of a room that came first."""
    rows = tx.all(FIRST, room_id=room_id, limit=limit)
    return [StagedPDU(row[0], ServerName(row[1]), row[2], bytes(row[3])) for row in rows]


FORGET = "DELETE FROM staged_pdus WHERE number IN :numbers[bigint]"


def forget_staged(tx: Transaction, numbers: Sequence[int]) -> None:
    """These are judged."""
    if numbers:
        tx.run(FORGET, numbers=list(numbers))


AMOUNTS = "SELECT room_id, origin, COUNT(*), SUM(size) FROM staged_pdus GROUP BY room_id, origin"


def staged_amounts(tx: Transaction) -> list[StagedAmount]:
    """All that waits, by room and server."""
    return [StagedAmount(RoomID(row[0]), ServerName(row[1]), row[2], int(row[3])) for row in tx.all(AMOUNTS)]


SWEEP = """
    DELETE FROM inbound_transactions WHERE (origin, transaction_id) IN (
        SELECT origin, transaction_id FROM inbound_transactions WHERE received_ms < :before LIMIT :limit)"""


def sweep_transactions(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget transactions that nobody sends again any more."""
    return tx.run(SWEEP, before=now_ms - KEPT_MS, limit=limit)


SWEEP_MESSAGES = """
    DELETE FROM inbound_messages WHERE (origin, message_id) IN (
        SELECT origin, message_id FROM inbound_messages WHERE received_ms < :before LIMIT :limit)"""


def sweep_messages(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget messages that nobody sends again any more."""
    return tx.run(SWEEP_MESSAGES, before=now_ms - KEPT_MS, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "inbound_transactions",
        owners={Owner.DESTINATION: "origin"},
        retention=Retention.expires(sweep_transactions),
    ),
    Table("inbound_messages", owners={Owner.DESTINATION: "origin"}, retention=Retention.expires(sweep_messages)),
    Table(
        "staged_pdus",
        owners={Owner.ROOM: "room_id", Owner.DESTINATION: "origin"},
        retention=Retention.bounded("what came last and is not judged yet, so much of each server at most"),
    ),
)
