"""Events by their time: whatever a page's size, none is left out and none comes twice."""

from typing import Final

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.event_times import events_by_time
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
PLACE = "UPDATE events SET place = :nid, origin_server_ts = :at, verdict = :verdict WHERE event_nid = :nid"
TIMES: Final = (30, 10, 20, 20, 20, 10, 40)  # by number


def fill(tx: Transaction) -> None:
    for nid, at_ms in enumerate(TIMES, start=1):
        insert_bare_event(tx, nid, f"${nid}", ROOM)
        tx.run(PLACE, nid=nid, at=at_ms, verdict=0)
    insert_bare_event(tx, 100, "$rejected", ROOM)
    tx.run(PLACE, nid=100, at=20, verdict=2)
    insert_bare_event(tx, 101, "$placeless", ROOM)
    insert_bare_event(tx, 102, "$elsewhere", OTHER)
    tx.run(PLACE, nid=102, at=20, verdict=0)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 10])
def test_pages_hold_every_event_once_in_order(db: SyncDatabase, limit: int, *, backwards: bool) -> None:
    db.write(fill)
    expected = sorted(((at_ms, nid) for nid, at_ms in enumerate(TIMES, start=1)), reverse=backwards)
    wanted = [(at_ms, nid) for at_ms, nid in expected if (at_ms <= 30 if backwards else at_ms >= 20)]

    found: list[tuple[int, int]] = []
    at_ms, nid = (30, 2**63 - 1) if backwards else (20, 0)
    while page := db.read(events_by_time, ROOM, timestamp_ms=at_ms, nid=nid, backwards=backwards, limit=limit):
        found += [(when, number) for _, when, number in page]
        at_ms, nid = page[-1][1], page[-1][2] + (-1 if backwards else 1)

    assert found == wanted
