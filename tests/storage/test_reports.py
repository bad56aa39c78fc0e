"""Reports, as stored."""

from dataclasses import replace

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.reports import (
    REPORTS_KEPT,
    Report,
    ReportFilter,
    Resolved,
    Subject,
    count_reports,
    delete_report,
    find_report,
    insert_report,
    newest_reports,
    reports_page,
    resolve_reports,
)
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")
BOB = UserID("@bob:example.org")
OF_EVENT = Report("one", ALICE, RoomID("!room"), EventID("$event"), None, "spam", 10, sender=BOB)
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


def test_what_was_done_about_a_report_is_kept_with_it_and_open_ones_of_the_same(db: SyncDatabase) -> None:
    of_another = replace(OF_EVENT, report_id="five", reporter=BOB)
    for report in (OF_EVENT, OF_ROOM, OF_USER, of_another):
        db.write(insert_report, report)
    dismissed, banned = Resolved("dismiss", BOB, 40, "a joke"), Resolved("ban", None, 50, None)

    assert db.write(resolve_reports, OF_USER, banned) == 1
    assert db.write(resolve_reports, OF_EVENT, dismissed) == 2
    assert db.write(resolve_reports, of_another, banned) == 1

    assert db.read(find_report, "one") == replace(OF_EVENT, resolved=dismissed)
    assert db.read(find_report, "five") == replace(of_another, resolved=banned)
    assert db.read(find_report, "three") == replace(OF_USER, resolved=banned)
    assert db.read(newest_reports, before=None, limit=9, is_resolved=False) == [OF_ROOM]
    resolved = db.read(newest_reports, before=None, limit=9, is_resolved=True)
    assert [report.report_id for report in resolved] == ["three", "one", "five"]


def test_who_reports_again_what_was_resolved_is_heard_again(db: SyncDatabase) -> None:
    db.write(insert_report, OF_ROOM)
    db.write(resolve_reports, OF_ROOM, Resolved("dismiss", None, 40, None))

    again = replace(OF_ROOM, report_id="four", received_ms=50)
    db.write(insert_report, again)

    assert db.read(newest_reports, before=None, limit=9) == [again]


def test_reports_are_filtered_and_read_in_either_order(db: SyncDatabase) -> None:
    of_another = replace(
        OF_EVENT, report_id="five", reporter=BOB, room_id=RoomID("!Other"), received_ms=15, sender=UserID("@eve:x")
    )
    for report in (OF_EVENT, OF_ROOM, OF_USER, of_another):
        db.write(insert_report, report)

    def page(wanted: ReportFilter, *, backwards: bool = False, offset: int = 0, limit: int = 9) -> list[str]:
        found = db.read(reports_page, wanted, backwards=backwards, offset=offset, limit=limit)
        return [report.report_id for report in found]

    assert page(ReportFilter()) == ["one", "five", "three", "two"]
    assert page(ReportFilter(), backwards=True, offset=1, limit=2) == ["three", "five"]
    assert page(ReportFilter(Subject.EVENT)) == ["one", "five"]
    assert page(ReportFilter(Subject.USER)) == ["three"]
    assert page(ReportFilter(Subject.ROOM)) == ["two"]
    assert page(ReportFilter(part_of_reporter="BOB")) == ["five", "three"]
    assert page(ReportFilter(part_of_room_id="!oth")) == ["five"]
    assert page(ReportFilter(part_of_user_id="eve")) == ["three"]
    assert page(ReportFilter(part_of_user_id="%")) == []
    assert page(ReportFilter(sender="@eve:x")) == ["five"]
    assert page(ReportFilter(sender="@EVE:x")) == []
    assert db.read(count_reports, ReportFilter(Subject.EVENT)) == 2
    assert [OF_EVENT.subject, OF_ROOM.subject, OF_USER.subject] == [Subject.EVENT, Subject.ROOM, Subject.USER]


def test_a_report_is_forgotten(db: SyncDatabase) -> None:
    db.write(insert_report, OF_ROOM)

    assert db.write(delete_report, "two")
    assert not db.write(delete_report, "two")

    assert db.read(find_report, "two") is None
