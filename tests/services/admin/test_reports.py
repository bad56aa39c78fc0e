"""What administrators do about what users told of."""

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.admin.member_patterns import MemberPatterns
from homeserver.services.admin.reports import MOST_PER_PAGE, Decision, ReportDesk, Resolution
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.rooms import RoomReading
from homeserver.services.admin.user_patterns import StepBounds
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.services.rooms.reports import Reports
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.memberships import find_membership
from homeserver.storage.reports import Report, ReportFilter, Subject
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

ROOT = UserID(f"@root:{SERVER}")


@pytest.fixture
def desk(world: World) -> ReportDesk:
    reading = RoomReading(world.database, world.states, world.formats, world.aggregations)
    moderation = RoomModeration(world.event_creation)
    # Of a ban from all rooms, a step is one room.
    members = MemberPatterns(world.database, moderation, StepBounds(most_found=1))
    return ReportDesk(world.database, reading, moderation, members, world.clock)


@pytest.fixture
def reports(world: World) -> Reports:
    return Reports(world.database, world.readers, world.clock, world.randomness, SERVER)


@pytest.fixture
def room_id(world: World) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11", name="Hats")
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    return room_id


def newest(desk: ReportDesk) -> Report:
    return now(desk.newest(None))[0]


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def reported(world: World, reports: Reports, room_id: RoomID, *reporters: UserID) -> EventID:
    """An event of Bob's that these users reported."""
    event_id = world.send(BOB, room_id, "buy hats")
    for reporter in reporters:
        now(reports.report_event(reporter, room_id, event_id, "spam"))
    return event_id


def test_a_report_is_dismissed_with_all_of_the_same(
    world: World, desk: ReportDesk, reports: Reports, room_id: RoomID
) -> None:
    event_id = reported(world, reports, room_id, ALICE, CAROL)

    outcome = now(desk.resolve(newest(desk).report_id, Decision(Resolution.DISMISS, "not spam"), by=ROOT))

    assert outcome.resolved == 2
    resolved = newest(desk).resolved
    assert resolved is not None
    assert (resolved.resolution, resolved.resolved_by, resolved.note) == ("dismiss", ROOT, "not spam")
    assert resolved.resolved_ms == world.clock.now_ms()
    assert now(desk.newest(None, is_resolved=False)) == []
    assert world.history(ALICE, room_id)[0]["event_id"] == event_id


def test_a_reported_event_is_redacted(world: World, desk: ReportDesk, reports: Reports, room_id: RoomID) -> None:
    reported(world, reports, room_id, CAROL)

    now(desk.resolve(newest(desk).report_id, Decision(Resolution.REDACT, reason="spam"), by=None))

    redaction, redacted = world.history(ALICE, room_id)[:2]
    assert (redaction["sender"], redaction["content"]["reason"]) == (ALICE, "spam")
    assert redacted["content"] == {}


def test_who_sent_a_reported_event_is_banned_from_its_room(
    world: World, desk: ReportDesk, reports: Reports, room_id: RoomID
) -> None:
    other_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, other_id)
    reported(world, reports, room_id, CAROL)

    now(desk.resolve(newest(desk).report_id, Decision(Resolution.BAN), by=None))

    assert (membership(world, room_id, BOB), membership(world, other_id, BOB)) == ("ban", "join")


def test_a_reported_user_is_banned_from_all_rooms_and_at_the_end_the_report_is_resolved(
    world: World, desk: ReportDesk, reports: Reports, room_id: RoomID
) -> None:
    rooms = sorted([room_id, world.create_room(ALICE, preset="public_chat")])
    world.join(BOB, rooms[0] if rooms[1] == room_id else rooms[1])
    world.sync_database.write(insert_account, Account(BOB, AccountKind.USER, 0))
    now(reports.report_user(CAROL, BOB, "spam"))
    report_id = newest(desk).report_id

    first = now(desk.resolve(report_id, Decision(Resolution.BAN), by=None))
    between = newest(desk).resolved
    last = now(desk.resolve(report_id, Decision(Resolution.BAN, begin=first.banned.next), by=None))

    assert [one.room_id for one in (*first.banned.done, *last.banned.done)] == rooms
    assert (first.resolved, between, last.resolved, last.banned.next) == (0, None, 1, None)
    assert [membership(world, each, BOB) for each in rooms] == ["ban", "ban"]


def test_a_reported_user_whose_id_looks_like_a_pattern_is_nobody_else(
    world: World, desk: ReportDesk, reports: Reports, room_id: RoomID
) -> None:
    world.sync_database.write(insert_account, Account(UserID(f"@*:{SERVER}"), AccountKind.USER, 0))
    now(reports.report_user(CAROL, UserID(f"@*:{SERVER}"), "spam"))

    outcome = now(desk.resolve(newest(desk).report_id, Decision(Resolution.BAN), by=None))

    assert (outcome.resolved, outcome.banned.done) == (1, [])
    assert [membership(world, room_id, each) for each in (ALICE, BOB)] == ["join", "join"]


def test_what_cannot_be_done_is_not_noted(world: World, desk: ReportDesk, reports: Reports, room_id: RoomID) -> None:
    now(reports.report_room(CAROL, room_id, "hats"))
    of_room = newest(desk)
    world.clock.advance(1)
    reported(world, reports, room_id, CAROL)
    of_event = newest(desk)
    levels = {"users": {ALICE: 100, BOB: 100}}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))

    for resolution in (Resolution.REDACT, Resolution.BAN):
        with pytest.raises(InvalidParameter):
            now(desk.resolve(of_room.report_id, Decision(resolution), by=None))
    with pytest.raises(Forbidden):
        now(desk.resolve(of_event.report_id, Decision(Resolution.BAN), by=None))
    with pytest.raises(InvalidParameter):
        now(desk.resolve(of_event.report_id, Decision(Resolution.DISMISS, note="x" * 5_000), by=None))
    with pytest.raises(NotFound):
        now(desk.resolve("unknown", Decision(Resolution.DISMISS), by=None))

    assert len(now(desk.newest(None, is_resolved=False))) == 2


def test_a_report_is_shown_with_what_was_said_around_it(
    world: World, desk: ReportDesk, reports: Reports, room_id: RoomID
) -> None:
    event_id = reported(world, reports, room_id, CAROL)
    world.send(ALICE, room_id, "no")

    page = now(desk.report(newest(desk).report_id, Subject.EVENT))
    context = now(desk.context(page.reports[0]))

    assert page.events[event_id].event.sender == BOB
    assert page.rooms[room_id].name == "Hats"
    assert context is not None
    assert len(context.after) == 1
    assert context.before
    with pytest.raises(NotFound):
        now(desk.report(page.reports[0].report_id, Subject.USER))


def test_reports_of_what_is_gone_are_still_shown(world: World, desk: ReportDesk, reports: Reports) -> None:
    world.sync_database.write(insert_account, Account(BOB, AccountKind.USER, 0))
    now(reports.report_user(CAROL, BOB, ""))
    report = newest(desk)

    page = now(desk.page(ReportFilter(Subject.USER), backwards=True, offset=0, limit=1))

    assert (list(page.reports), page.total) == ([report], 1)
    assert now(desk.context(report)) is None
    now(desk.delete(report.report_id))
    with pytest.raises(NotFound):
        now(desk.delete(report.report_id))
    for offset, limit in ((-1, 1), (0, 0), (0, MOST_PER_PAGE + 1)):
        with pytest.raises(InvalidParameter):
            now(desk.page(ReportFilter(), backwards=False, offset=offset, limit=limit))
