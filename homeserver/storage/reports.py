"""What users told moderators of: events, rooms and other users."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

REPORTS_KEPT: Final = 500  # of one user


@dataclass(frozen=True, slots=True)
class Report:
    """One report: of an event and its room, of a room, or of a user."""

    report_id: str
    reporter: UserID
    room_id: RoomID | None
    event_id: EventID | None
    user_id: UserID | None
    reason: str
    received_ms: int


# An ID that is absent is as good as another that is.
DELETE_SAME = """
    DELETE FROM reports
     WHERE reporter = :reporter AND COALESCE(room_id, '') = COALESCE(:room_id, '')
       AND COALESCE(event_id, '') = COALESCE(:event_id, '') AND COALESCE(user_id, '') = COALESCE(:user_id, '')"""
DELETE_OLDEST = """
    DELETE FROM reports WHERE report_id IN (
        SELECT report_id FROM reports WHERE reporter = :reporter
         ORDER BY received_ms DESC, report_id DESC LIMIT 1000000 OFFSET :kept)"""
INSERT = """
    INSERT INTO reports (report_id, reporter, room_id, event_id, user_id, reason, received_ms)
    VALUES (:report_id, :reporter, :room_id, :event_id, :user_id, :reason, :received_ms)"""


def insert_report(tx: Transaction, report: Report) -> None:
    """Keep a report instead of the same user's earlier one of the same; and of that user the newest REPORTS_KEPT."""
    values = asdict(report)
    tx.run(
        DELETE_SAME,
        reporter=report.reporter,
        room_id=report.room_id,
        event_id=report.event_id,
        user_id=report.user_id,
    )
    tx.run(INSERT, **values)
    tx.run(DELETE_OLDEST, reporter=report.reporter, kept=REPORTS_KEPT)


SELECT: Final = "SELECT report_id, reporter, room_id, event_id, user_id, reason, received_ms FROM reports"
NEWEST = SELECT + " ORDER BY received_ms DESC, report_id DESC LIMIT :limit"
NEWEST_BEFORE = (
    SELECT
    + """
     WHERE received_ms < :received_ms OR (received_ms = :received_ms AND report_id < :report_id)
     ORDER BY received_ms DESC, report_id DESC LIMIT :limit"""
)


def newest_reports(tx: Transaction, *, before: Report | None, limit: int) -> Sequence[Report]:
    """Reports, the newest first, from the newest of all or from the one after `before`."""
    if before is None:
        rows = tx.all(NEWEST, limit=limit)
    else:
        rows = tx.all(NEWEST_BEFORE, received_ms=before.received_ms, report_id=before.report_id, limit=limit)
    return [_report(row) for row in rows]


FIND = SELECT + " WHERE report_id = :report_id"


def find_report(tx: Transaction, report_id: str) -> Report | None:
    """The report of this ID."""
    row = tx.one(FIND, report_id=report_id)
    return None if row is None else _report(row)


def _report(row: tuple[Any, ...]) -> Report:  # Any: a row
    room_id = None if row[2] is None else RoomID(row[2])
    event_id = None if row[3] is None else EventID(row[3])
    user_id = None if row[4] is None else UserID(row[4])
    return Report(row[0], UserID(row[1]), room_id, event_id, user_id, row[5], row[6])


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "reports",
        owners={Owner.USER: "reporter", Owner.ROOM: "room_id"},
        retention=Retention.bounded(f"{REPORTS_KEPT} per user who reports"),
    ),
)
