"""What was sent into a room: the newest first, a stretch at a time."""

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.sent_events import LATEST, TimePoint, sent_in_room
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
SET = """
    UPDATE events SET place = :nid, sender = :sender, origin_server_ts = :at_ms, type = :type WHERE event_nid = :nid"""
SPOIL = "UPDATE events SET verdict = :verdict, form = :form, redacted_by = :redacted_by WHERE event_nid = :nid"
TIMES = (30, 10, 20, 20, -(2**60), 2**60, 20)  # by number


def insert(
    tx: Transaction, nid: int, at_ms: int, event_type: str = "m.room.message", *, state_key: str | None = None
) -> None:
    insert_bare_event(tx, nid, f"${nid}", ROOM, state_key=state_key)
    tx.run(SET, nid=nid, sender=BOB, at_ms=at_ms, type=event_type)


def fill(tx: Transaction) -> None:
    for nid, at_ms in enumerate(TIMES, start=1):
        insert(tx, nid, at_ms)
    insert_bare_event(tx, 100, "$placeless", ROOM)
    insert_bare_event(tx, 101, "$elsewhere", OTHER)
    tx.run(SET, nid=101, sender=BOB, at_ms=20, type="m.room.message")


@pytest.mark.parametrize("limit", [1, 2, 10])
@pytest.mark.parametrize(("since_ms", "until_ms"), [(None, None), (20, None), (20, 20), (None, 20)])
def test_stretches_leave_nothing_out_whatever_times_servers_gave(
    db: SyncDatabase, limit: int, since_ms: int | None, until_ms: int | None
) -> None:
    db.write(fill)
    wanted = [
        (at_ms, nid)
        for nid, at_ms in enumerate(TIMES, start=1)
        if (since_ms is None or at_ms >= since_ms) and (until_ms is None or at_ms <= until_ms)
    ]

    found: list[tuple[int, int]] = []
    begins = LATEST if until_ms is None else TimePoint(until_ms, LATEST.nid)
    while stretch := db.read(sent_in_room, ROOM, begins=begins, since_ms=since_ms, limit=limit):
        found += [(row.point.origin_server_ts, row.point.nid) for row in stretch]
        begins = stretch[-1].point.before

    assert found == sorted(wanted, reverse=True)


def test_what_can_be_redacted_still_says_something_and_no_room_stands_on_it(db: SyncDatabase) -> None:
    def spoil(tx: Transaction) -> None:
        for nid, verdict, form, redacted_by in (
            *((1, 0, 0, None), (2, 1, 0, None), (3, 2, 0, None)),  # accepted, soft-failed, rejected
            *((4, 0, 1, None), (5, 0, 0, "$x")),
        ):
            insert(tx, nid, nid)
            tx.run(SPOIL, nid=nid, verdict=verdict, form=form, redacted_by=redacted_by)
        insert(tx, 6, 6, "m.room.redaction")
        for nid, event_type, state_key in (
            *((11, "m.room.power_levels", ""), (12, "m.room.member", ALICE)),
            *((13, "m.room.member", BOB), (14, "m.room.topic", "")),
        ):
            insert(tx, nid, nid, event_type, state_key=state_key)

    db.write(spoil)

    rows = [row for row in db.read(sent_in_room, ROOM, begins=LATEST, since_ms=None, limit=100) if row.can_be_redacted]

    assert [row.event_id for row in rows] == ["$14", "$13", "$2", "$1"]
    assert [row.is_state for row in rows] == [True, True, False, False]
    assert {row.sender for row in rows} == {BOB}
