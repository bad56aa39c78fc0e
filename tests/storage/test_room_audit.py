"""What an audit reads of a room: rows as they stand there, page by page, and none of another room's."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.storage import room_audit as rows
from homeserver.storage.database import Transaction
from homeserver.storage.events import ACCEPTED_BEFORE, Form, Verdict
from homeserver.storage.memberships import Membership, MembershipChange, insert_changes, store_memberships
from homeserver.storage.room_servers import give_servers
from homeserver.storage.rooms import insert_root
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty, insert_bare_event, insert_bare_room

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
WITH_DATABASE = settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
SET = """
    UPDATE events SET place = :place, log_position = :position, verdict = :verdict, verdict_reason = :reason
     WHERE event_nid = :nid"""
REASONS = st.sampled_from([None, "it is bad", "it is bad" + ACCEPTED_BEFORE])


@WITH_DATABASE
@given(
    st.lists(
        st.tuples(
            st.sampled_from([ROOM, OTHER]), st.none() | st.integers(-5, 5), st.sampled_from(list(Verdict)), REASONS
        ),
        max_size=10,
        unique_by=lambda one: (one[0], one[1]) if one[1] is not None else object(),
    ),
    st.integers(1, 4),
)
def test_each_event_of_the_room_is_read_once(
    db: SyncDatabase, events: list[tuple[RoomID, int | None, Verdict, str | None]], size: int
) -> None:
    def write(tx: Transaction) -> None:
        empty(tx, ("events",))
        for nid, (room_id, place, verdict, reason) in enumerate(events, 1):
            insert_bare_event(tx, nid, f"${nid}", room_id)
            tx.run(SET, nid=nid, place=place, position=None, verdict=int(verdict), reason=reason)

    db.write(write)

    placed: list[rows.EventRow] = []
    while page := db.read(rows.placed_events, ROOM, after=(placed[-1].place or 0) if placed else -100, limit=size):
        placed += page
    unplaced: list[rows.EventRow] = []
    while page := db.read(rows.unplaced_events, ROOM, after=unplaced[-1].nid if unplaced else -100, limit=size):
        unplaced += page

    own = [(nid, *event[1:]) for nid, event in enumerate(events, 1) if event[0] == ROOM]
    in_order = sorted((place, nid) for nid, place, *_ in own if place is not None)
    assert [(row.place, row.nid) for row in placed] == in_order
    assert [row.nid for row in unplaced] == [nid for nid, place, *_ in own if place is None]
    for row in (*placed, *unplaced):
        _, _, verdict, reason = events[row.nid - 1]
        assert (row.is_accepted, row.is_rejected) == (verdict is Verdict.ACCEPTED, verdict is Verdict.REJECTED)
        assert (row.has_reason, row.was_accepted) == (reason is not None, (reason or "").endswith(ACCEPTED_BEFORE))
    for nid, (room_id, *_) in enumerate(events, 1):
        found = db.read(rows.find_event_row, ROOM, f"${nid}")
        assert (found is None) == (room_id != ROOM) == db.read(rows.is_elsewhere, ROOM, f"${nid}")
        entries = db.read(rows.entry_rows, ROOM, [EventID(f"${nid}")])
        assert list(entries) == ([f"${nid}"] if room_id == ROOM else [])
    assert not db.read(rows.is_elsewhere, ROOM, "$unknown")


def test_a_form_goes_with_what_is_said_of_a_redaction(db: SyncDatabase) -> None:
    db.write(insert_bare_event, 1, "$1", ROOM)
    for form, redacted_by, is_known in (
        (Form.FULL, None, True),
        (Form.FULL, "$2", False),
        (Form.REDACTED, "$2", True),
        (Form.REDACTED, None, False),
        (Form.EXPIRED, None, True),
        (Form.EXPIRED, "$2", False),
        (Form.WRONG_HASH, None, True),
        (9, None, False),
    ):
        db.write(set_form, form, redacted_by)

        row = db.read(rows.find_event_row, ROOM, "$1")

        assert row is not None
        assert row.is_of_known_kind == is_known


def set_form(tx: Transaction, form: int, redacted_by: str | None) -> None:
    tx.run("UPDATE events SET form = :form, redacted_by = :by", form=int(form), by=redacted_by)


def test_an_entry_says_whether_there_is_a_state_around_it(db: SyncDatabase) -> None:
    db.write(insert_bare_event, 1, "$1", ROOM, state_key="", root_before=bytes(32))
    db.write(insert_bare_event, 2, "$2", ROOM)

    entries = db.read(rows.entry_rows, ROOM, [EventID("$1"), EventID("$2"), EventID("$3")])

    assert entries == {
        "$1": rows.EntryRow("m.test", "", Verdict.ACCEPTED, has_state=True, place=None),
        "$2": rows.EntryRow("m.test", None, Verdict.ACCEPTED, has_state=False, place=None),
    }


def test_the_log_of_states_is_read_with_the_positions_that_have_an_event(db: SyncDatabase) -> None:
    def write(tx: Transaction) -> None:
        insert_bare_event(tx, 1, "$1", ROOM)
        tx.run(SET, nid=1, place=1, position=5, verdict=0, reason=None)
        for room_id, position in ((ROOM, 5), (ROOM, 7), (OTHER, 9)):
            insert_root(tx, room_id, log_position=position, root=bytes([position]) * 32, written_ms=1)

    db.write(write)

    first, second = rows.RootRow(5, b"\5" * 32, has_event=True), rows.RootRow(7, b"\7" * 32, has_event=False)
    assert db.read(rows.root_rows, ROOM, after=0, limit=5) == [first, second]
    assert db.read(rows.root_rows, ROOM, after=0, limit=1) == [first]
    assert db.read(rows.root_rows, ROOM, after=5, limit=1) == [second]
    assert db.read(rows.newest_root, ROOM) == b"\7" * 32
    assert db.read(rows.newest_root, RoomID("!none:example.org")) is None
    assert db.read(rows.roots_at_positions, ROOM, [5, 9]) == {5: b"\5" * 32}
    assert db.read(rows.roots_at_positions, ROOM, []) == {}


def test_rooms_are_listed_in_order(db: SyncDatabase) -> None:
    for room_id in (ROOM, OTHER):
        db.write(insert_bare_room, room_id, root=bytes(32))

    assert db.read(rows.room_ids_after, "", limit=5) == [OTHER, ROOM]
    assert db.read(rows.room_ids_after, OTHER, limit=5) == [ROOM]
    assert db.read(rows.room_row, ROOM) == rows.RoomRow(
        "11", bytes(32), b"[]", 0, 0, is_partial=False, purge_horizon=None
    )
    assert db.read(rows.room_row, RoomID("!none:example.org")) is None


def test_members_are_read_page_by_page_with_their_changes(db: SyncDatabase) -> None:
    users = [UserID(f"@user{number}:example.org") for number in range(5)]
    own = ServerName("example.org")

    def write(tx: Transaction) -> None:
        members = [member(room_id, user_id) for room_id in (ROOM, OTHER) for user_id in users]
        store_memberships(tx, members)
        changes = [
            MembershipChange(user_id, position, room_id, None, "join", EventID("$1"))
            for user_id in users
            for room_id, position in ((ROOM, 3), (ROOM, 1), (OTHER, 2))
        ]
        insert_changes(tx, changes, written_ms=1)
        give_servers(tx, ROOM, [own], position=1)

    db.write(write)

    found: list[rows.MemberRow] = []
    while page := db.read(rows.member_rows, ROOM, after=found[-1].user_id if found else "", limit=2):
        assert len(page) <= 2
        found += page
    assert [row.user_id for row in found] == users
    assert db.read(rows.member_ids, ROOM) == set(users)
    assert db.read(rows.member_count, ROOM) == 5
    assert db.read(rows.member_count, RoomID("!none:example.org")) == 0
    changes = db.read(rows.change_rows, ROOM, users[:2], own)
    assert [change.log_position for change in changes] == [1, 1, 3, 3]
    assert {(change.log_position, change.user_id) for change in changes} == {
        (position, user_id) for position in (1, 3) for user_id in users[:2]
    }
    assert db.read(rows.change_rows, ROOM, [], own) == []
    assert db.read(rows.change_rows, ROOM, users, ServerName("other.example")) == []  # it was not in the room


def member(room_id: RoomID, user_id: UserID) -> Membership:
    return Membership(
        room_id=room_id,
        user_id=user_id,
        membership="join",
        event_id=EventID("$1"),
        sender=user_id,
        place=1,
        log_position=1,
        display_name=None,
        avatar_url=None,
        is_local=True,
        is_forgotten=False,
        stripped_state=None,
        joined_place=None,
    )
