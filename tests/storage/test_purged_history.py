"""Events that go out of a room's history, as stored. That rooms are sound afterwards is tried in services/admin."""

from dataclasses import replace

import pytest

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import V12
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import insert_edges
from homeserver.storage.events import EventNid, Form, StoredEvent, events_by_id
from homeserver.storage.graph_audit import gaps_of
from homeserver.storage.outboxes import StoredOutbox, move_outgoing_position, store_outboxes
from homeserver.storage.purged_history import (
    count_events_below,
    delete_events,
    events_named_beside,
    unsent_among,
)
from homeserver.storage.room_audit import room_row
from homeserver.storage.room_servers import count_members
from homeserver.storage.rooms import RoomHead, insert_room, insert_root
from tests.databases import SyncDatabase
from tests.storage.test_search import keep_and_index, stored

ROOM = RoomID("!room:example.org")
HERE, THERE = ServerName("example.org"), ServerName("elsewhere.example")


def chain(count: int) -> list[StoredEvent]:
    """Events of which each is built on the one before."""
    events: list[StoredEvent] = []
    for number in range(1, count + 1):
        one = stored(number, f"word{number}")
        prev = () if not events else (events[-1].event.event_id,)
        events.append(replace(one, event=replace(one.event, prev_event_ids=prev)))
    return events


@pytest.fixture
def events(db: SyncDatabase) -> list[StoredEvent]:
    """Five events of the room."""
    made = chain(5)

    def write(tx: Transaction) -> None:
        head = RoomHead(ROOM, V12, 0, b"root", (), 0, 0, is_partial=False, is_blocked=False)
        insert_room(tx, head, created_ms=0)
        keep_and_index(tx, *made)
        for one, before in zip(made[1:], made, strict=False):
            insert_edges(tx, ROOM, one.nid, prev=[before.nid], auth=())

    db.write(write)
    return made


def test_what_is_built_on_what_is_gone_lacks_it_and_stands_on_this_server_s_word(
    db: SyncDatabase, events: list[StoredEvent]
) -> None:
    followers = db.write(delete_events, ROOM, events[1:3], server_name=HERE)

    kept = db.read(events_by_id, [one.event.event_id for one in events])
    edges = db.read(lambda tx: tx.all("SELECT target_nid, source_nid FROM event_edges"))
    words = db.read(lambda tx: tx.all("SELECT rowid FROM search_index ORDER BY rowid"))
    row = db.read(room_row, ROOM)
    assert followers == [EventID("$4")]
    assert sorted(kept) == ["$1", "$4", "$5"]
    assert {event_id: one.root_given_by for event_id, one in kept.items()} == {"$1": None, "$4": HERE, "$5": None}
    assert db.read(gaps_of, ROOM, [EventID("$4"), EventID("$5")]) == {"$4": {"$3"}}
    assert edges == [(4, 5)]
    assert words == [(1,), (4,), (5,)]
    assert row is not None
    assert row.purge_horizon == 3


def test_gaps_move_up_with_what_lacks_something(db: SyncDatabase, events: list[StoredEvent]) -> None:
    for one in events[:4]:
        db.write(delete_events, ROOM, [one], server_name=HERE)

    rows = db.read(lambda tx: tx.all("SELECT missing_id, event_id FROM event_gaps"))
    assert rows == [("$4", "$5")]
    assert db.read(count_events_below, ROOM, 6) == 1
    assert db.read(count_events_below, ROOM, 5) == 0


def test_what_redacted_an_event_that_is_gone_does_so_again_should_it_come(
    db: SyncDatabase, events: list[StoredEvent]
) -> None:
    redacted = replace(events[1], form=Form.REDACTED, redacted_by=EventID("$4"))
    redaction = replace(events[3], event=replace(events[3].event, redacts=EventID("$2")))
    db.write(delete_events, ROOM, [redacted], server_name=HERE)
    noted = db.read(lambda tx: tx.all("SELECT target_id, redaction_id FROM early_redactions"))

    db.write(delete_events, ROOM, [redaction], server_name=HERE)

    assert noted == [("$2", "$4")]
    assert db.read(lambda tx: tx.all("SELECT target_id FROM early_redactions")) == []


def test_what_some_server_lacks_yet_is_known(db: SyncDatabase, events: list[StoredEvent]) -> None:
    def write(tx: Transaction) -> None:
        tx.run("UPDATE events SET is_outgoing = (event_nid <> 2) WHERE room_id = :room_id", room_id=ROOM)
        count_members(tx, ROOM, {THERE: 1}, position=1, now_ms=0)
        move_outgoing_position(tx, 4)

    db.write(write)
    unread = db.read(unsent_among, ROOM, events)
    db.write(store_outboxes, [StoredOutbox(THERE, 1, None, is_behind=True, transaction=None)])

    assert unread == {"$5"}
    assert db.read(unsent_among, ROOM, events) == {"$3", "$4", "$5"}


def test_what_the_log_of_states_names_is_known(db: SyncDatabase, events: list[StoredEvent]) -> None:
    db.write(insert_root, ROOM, log_position=3, root=b"root", written_ms=0)
    stray = replace(stored(9, "elsewhere"), nid=EventNid(9))

    assert db.read(events_named_beside, ROOM, [*events, stray]) == {"$3"}
