"""Redactions that came before what they redact.

Which of them count is decided in services/events/persistence.py, when the event is there.
"""

from typing import Final

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

INSERT = """
    INSERT INTO early_redactions (room_id, target_id, redaction_id) VALUES (:room_id, :target_id, :redaction_id)
    ON CONFLICT (room_id, target_id, redaction_id) DO NOTHING"""


def note_early_redaction(tx: Transaction, room_id: RoomID, *, target_id: EventID, redaction_id: EventID) -> None:
    """Remember that an event is to be redacted when it comes."""
    tx.run(INSERT, room_id=room_id, target_id=target_id, redaction_id=redaction_id)


DELETE = """
    DELETE FROM early_redactions
     WHERE room_id = :room_id AND target_id = :target_id AND redaction_id = :redaction_id"""


def delete_early_redaction(tx: Transaction, room_id: RoomID, *, target_id: EventID, redaction_id: EventID) -> None:
    """Forget it: it did not come before what it redacts, or is gone."""
    tx.run(DELETE, room_id=room_id, target_id=target_id, redaction_id=redaction_id)


TAKE = """
    DELETE FROM early_redactions WHERE room_id = :room_id AND target_id = :target_id RETURNING redaction_id"""


def take_early_redactions(tx: Transaction, room_id: RoomID, target_id: EventID) -> list[EventID]:
    """The redactions that came before this event, in the order of their IDs; they are forgotten."""
    return sorted(EventID(row[0]) for row in tx.all(TAKE, room_id=room_id, target_id=target_id))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "early_redactions",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("one per accepted redaction of the room"),
    ),
)
