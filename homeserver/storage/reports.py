"""What users told moderators of: events, rooms and other users; and what was done about it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.dialect import like_pattern
from homeserver.storage.tables import Owner, Retention, Table

REPORTS_KEPT: Final = 500  # of one user


class Subject(Enum):
    """What a report is of."""

    EVENT = "event"
    ROOM = "room"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was done about a report, by which administrator (None: the owner of the server), and what they noted."""

    resolution: str
    resolved_by: UserID | None
    resolved_ms: int
    note: str | None


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
    resolved: Resolved | None = None
    sender: UserID | None = None  # of the event: it may be gone before anybody reads the report

    @property
    def subject(self) -> Subject:
        """What it is of."""
        if self.user_id is not None:
            return Subject.USER
        return Subject.ROOM if self.event_id is None else Subject.EVENT


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """Which reports: None where it does not matter. `part`s are looked for in IDs, without regard to case.

    `sender` is the whole ID of who sent the event that a report is of.
    """

    subject: Subject | None = None
    part_of_reporter: str | None = None
    part_of_room_id: str | None = None
    part_of_user_id: str | None = None
    is_resolved: bool | None = None
    sender: str | None = None


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
    INSERT INTO reports (report_id, reporter, room_id, event_id, user_id, reason, received_ms, sender)
    VALUES (:report_id, :reporter, :room_id, :event_id, :user_id, :reason, :received_ms, :sender)"""


def insert_report(tx: Transaction, report: Report) -> None:
    """Keep a report instead of the same user's earlier one of the same; and of that user the newest REPORTS_KEPT."""
    values = asdict(report)
    del values["resolved"]
    tx.run(
        DELETE_SAME,
        reporter=report.reporter,
        room_id=report.room_id,
        event_id=report.event_id,
        user_id=report.user_id,
    )
    tx.run(INSERT, **values)
    tx.run(DELETE_OLDEST, reporter=report.reporter, kept=REPORTS_KEPT)


SELECT: Final = """
    SELECT report_id, reporter, room_id, event_id, user_id, reason, received_ms, resolution, resolved_by, resolved_ms,
           note, sender
      FROM reports"""
RESOLVED_OR_NOT: Final = "(:both_or_not OR (resolved_ms IS NOT NULL) = :is_resolved)"
NEWEST = SELECT + f" WHERE {RESOLVED_OR_NOT} ORDER BY received_ms DESC, report_id DESC LIMIT :limit"
NEWEST_BEFORE = (
    SELECT
    + f"""
     WHERE {RESOLVED_OR_NOT}
       AND (received_ms < :received_ms OR (received_ms = :received_ms AND report_id < :report_id))
     ORDER BY received_ms DESC, report_id DESC LIMIT :limit"""
)


def newest_reports(
    tx: Transaction, *, before: Report | None, limit: int, is_resolved: bool | None = None
) -> Sequence[Report]:
    """Reports, the newest first, from the newest of all or from the one after `before`."""
    wanted = {"both_or_not": is_resolved is None, "is_resolved": bool(is_resolved)}
    if before is None:
        rows = tx.all(NEWEST, limit=limit, **wanted)
    else:
        at = {"received_ms": before.received_ms, "report_id": before.report_id}
        rows = tx.all(NEWEST_BEFORE, limit=limit, **at, **wanted)
    return [_report(row) for row in rows]


WHERE: Final = f"""
     WHERE {RESOLVED_OR_NOT}
       AND (:events_or_not OR event_id IS NOT NULL) AND (:users_or_not OR user_id IS NOT NULL)
       AND (:rooms_or_not OR (room_id IS NOT NULL AND event_id IS NULL))
       AND LOWER(reporter) LIKE :reporter ESCAPE '!' AND LOWER(COALESCE(room_id, '')) LIKE :room_id ESCAPE '!'
       AND LOWER(COALESCE(user_id, '')) LIKE :user_id ESCAPE '!'
       AND (:any_sender OR sender = :sender)"""
PAGE = SELECT + WHERE + " ORDER BY received_ms, report_id LIMIT :limit OFFSET :offset"
PAGE_BACKWARDS = SELECT + WHERE + " ORDER BY received_ms DESC, report_id DESC LIMIT :limit OFFSET :offset"


def reports_page(
    tx: Transaction, wanted: ReportFilter, *, backwards: bool, offset: int, limit: int
) -> Sequence[Report]:
    """Some reports, the oldest first or the newest, after so many others."""
    page = {"offset": offset, "limit": limit, **_values(wanted)}
    rows = tx.all(PAGE_BACKWARDS, **page) if backwards else tx.all(PAGE, **page)
    return [_report(row) for row in rows]


COUNT = "SELECT COUNT(*) FROM reports" + WHERE  # noqa: S608 - these are constants


def count_reports(tx: Transaction, wanted: ReportFilter) -> int:
    """How many reports there are on all pages."""
    row = tx.one(COUNT, **_values(wanted))
    return 0 if row is None else row[0]


RESOLVE = """
    UPDATE reports
       SET resolution = :resolution, resolved_by = :resolved_by, resolved_ms = :resolved_ms, note = :note
     WHERE report_id = :report_id
        OR (resolved_ms IS NULL AND COALESCE(room_id, '') = COALESCE(:room_id, '')
            AND COALESCE(event_id, '') = COALESCE(:event_id, '') AND COALESCE(user_id, '') = COALESCE(:user_id, ''))"""


def resolve_reports(tx: Transaction, report: Report, resolved: Resolved) -> int:
    """Note what was done about a report, and about all others of the same that were open; how many those are."""
    return tx.run(
        RESOLVE,
        report_id=report.report_id,
        room_id=report.room_id,
        event_id=report.event_id,
        user_id=report.user_id,
        **asdict(resolved),
    )


DELETE = "DELETE FROM reports WHERE report_id = :report_id"


def delete_report(tx: Transaction, report_id: str) -> bool:
    """Forget a report; False if there is none of this ID."""
    return tx.run(DELETE, report_id=report_id) > 0


FIND = SELECT + " WHERE report_id = :report_id"


def find_report(tx: Transaction, report_id: str) -> Report | None:
    """The report of this ID."""
    row = tx.one(FIND, report_id=report_id)
    return None if row is None else _report(row)


def _report(row: tuple[Any, ...]) -> Report:  # Any: a row
    room_id = None if row[2] is None else RoomID(row[2])
    event_id = None if row[3] is None else EventID(row[3])
    user_id = None if row[4] is None else UserID(row[4])
    sender = None if row[11] is None else UserID(row[11])
    return Report(row[0], UserID(row[1]), room_id, event_id, user_id, row[5], row[6], _resolved(row), sender)


def _resolved(row: tuple[Any, ...]) -> Resolved | None:  # Any: a row
    if row[9] is None:
        return None
    return Resolved(row[7], None if row[8] is None else UserID(row[8]), row[9], row[10])


def _values(wanted: ReportFilter) -> dict[str, Any]:  # Any: column values
    subject = wanted.subject
    parts = {
        "reporter": wanted.part_of_reporter,
        "room_id": wanted.part_of_room_id,
        "user_id": wanted.part_of_user_id,
    }
    return {
        "both_or_not": wanted.is_resolved is None,
        "is_resolved": bool(wanted.is_resolved),
        "events_or_not": subject is not Subject.EVENT,
        "users_or_not": subject is not Subject.USER,
        "rooms_or_not": subject is not Subject.ROOM,
        "any_sender": wanted.sender is None,
        "sender": wanted.sender,
        **{name: f"%{like_pattern(part or '')}%" for name, part in parts.items()},
    }


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "reports",
        owners={Owner.USER: "reporter", Owner.ROOM: "room_id"},
        retention=Retention.bounded(f"{REPORTS_KEPT} per user who reports"),
    ),
)
