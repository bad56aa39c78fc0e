"""Reports, as stored."""

from dataclasses import replace

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.reports import REPORTS_KEPT, Report, find_report, insert_report, newest_reports
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")
BOB = UserID("@bob:example.org")
OF_EVENT = Report("one", ALICE, RoomID("!room"), EventID("$event"), None, "spam", 10)
OF_ROOM = Report("two", ALICE, RoomID("!room"), None, None, "", 20)
OF_USER = Report("three", BOB, None, None, UserID("@eve:example.org"), "ünkind", 20)


def test_reports_are_read_newest_first_a_page_at_a_time(db: SyncDatabase) -> None:
    for report in (OF_EVENT, OF_ROOM, OF_USER):
        db.write(insert_report, report)

    assert db.read(newest_reports, before=None, limit=2) == [OF_ROOM, OF_USER]
    assert db.read(newest_reports, before=OF_USER, limit=2) == [OF_EVENT]
    assert db.read(newest_reports, before=OF_EVENT, limit=2) == []
    assert db.read(find_report, "three") == OF_USER
    assert db.read(find_report, "four") is None


def test_who_reports_the_same_again_is_kept_once_with_what_they_said_last(db: SyncDatabase) -> None:
    again = replace(OF_ROOM, report_id="four", reason="now it hurts", received_ms=30)
    of_another = replace(OF_ROOM, report_id="five", reporter=BOB)
    for report in (OF_EVENT, OF_ROOM, of_another, again):
        db.write(insert_report, report)

    assert db.read(newest_reports, before=None, limit=9) == [again, of_another, OF_EVENT]


def test_so_many_of_one_user_are_kept_and_all_of_others(db: SyncDatabase) -> None:
    db.write(insert_report, replace(OF_EVENT, report_id="of bob", reporter=BOB, received_ms=0))
    for number in range(REPORTS_KEPT + 2):
        report = replace(OF_EVENT, report_id=f"{number:04}", event_id=EventID(f"${number}"), received_ms=number)
        db.write(insert_report, report)

    kept = db.read(newest_reports, before=None, limit=10_000)

    assert [report.report_id for report in kept] == [
        *(f"{number:04}" for number in range(REPORTS_KEPT + 1, 1, -1)),
        "of bob",
    ]
