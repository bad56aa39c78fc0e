"""The index of words, on both databases."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import V12
from homeserver.core.search_words import search_for
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, insert_event
from homeserver.storage.rooms import RoomHead, insert_room
from homeserver.storage.search import NEWEST, IndexSearch, find_events, index_event, index_older, remove_event
from tests.databases import SyncDatabase

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def event(
    number: int, text: str, *, room_id: RoomID = ROOM, sender: UserID = ALICE, event_type: str = "m.room.message"
) -> Event:
    field = {"m.room.message": "body", "m.room.name": "name"}[event_type]
    content: dict[str, Any] = {field: text}
    state_key = None if field == "body" else ""
    pdu = {
        "type": event_type,
        "room_id": room_id,
        "sender": sender,
        "content": content,
        "origin_server_ts": number,
        "depth": number,
        "prev_events": [],
        "auth_events": [],
        **({} if state_key is None else {"state_key": state_key}),
    }
    return Event(
        V12, EventID(f"${number}"), room_id, event_type, sender, state_key, content, number, number, (), (), None, pdu
    )


def stored(number: int, text: str, **fields: Any) -> StoredEvent:
    """An event that was accepted; with `is_history` as one from the past, which has no position."""
    is_history = fields.pop("is_history", False)
    return StoredEvent(
        nid=EventNid(number),
        event=event(number, text, **fields),
        log_position=None if is_history else number,
        place=-number if is_history else number,
        verdict=Verdict.ACCEPTED,
        form=Form.FULL,
        redacted_by=None,
        replaces_state=None,
        thread_id=None,
        transaction=None,
        root_before=b"root",
        root_after=None,
        size_bytes=2,
    )


def keep(tx: Transaction, *events: StoredEvent) -> None:
    """Store events without letting them be found."""
    for one in events:
        insert_event(tx, one, encode_for(V12, one.event.pdu))


def keep_and_index(tx: Transaction, *events: StoredEvent) -> None:
    keep(tx, *events)
    for one in events:
        index_event(tx, one.nid, one.event, is_history=one.log_position is None)


@pytest.fixture(autouse=True)
def rooms(db: SyncDatabase) -> None:
    for room_id in (ROOM, OTHER):
        head = RoomHead(room_id, V12, 0, b"root", (), 0, 0, is_partial=False, is_blocked=False)
        db.write(insert_room, head, created_ms=0)


def found(db: SyncDatabase, term: str, rooms: tuple[RoomID, ...] = (ROOM,), **wishes: Any) -> list[str]:
    search = search_for(term)
    assert search is not None
    before, limit = wishes.pop("before", NEWEST), wishes.pop("limit", 99)
    wanted = IndexSearch(search.tokens, rooms, **wishes)
    return [event_id for _, event_id in db.read(find_events, wanted, before=before, limit=limit)]


def test_events_are_found_by_all_of_their_words_newest_first(db: SyncDatabase) -> None:
    db.write(keep_and_index, stored(1, "Red apple"), stored(2, "green APPLE"), stored(3, "red car"), stored(4, "?!"))

    assert found(db, "apple") == ["$2", "$1"]
    assert found(db, "apple red") == ["$1"]
    assert found(db, "red", before=3) == ["$1"]
    assert found(db, "red", limit=1) == ["$3"]
    assert found(db, "pear") == found(db, "appl") == []


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("我家有一只黑猫", "黑猫"),
        ("我家有一只黑猫", "猫"),
        ("東京都に住んでいます", "東京"),
        ("ﾊﾝｶｸのカタカナ", "ハンカク"),
        ("고양이가 좋아요", "고양이"),
        ("ฉันรักแมว", "แมว"),
        ("Ünïcode straße", "STRASSE"),
        ("हिन्दी में लिखा", "हिन्दी"),
    ],
)
def test_words_of_any_script_are_found(db: SyncDatabase, text: str, term: str) -> None:
    db.write(keep_and_index, stored(1, text), stored(2, "something else, 其他的话"))

    assert found(db, term) == ["$1"]


def test_rooms_senders_and_types_narrow_a_search(db: SyncDatabase) -> None:
    db.write(
        keep_and_index,
        stored(1, "apple"),
        stored(2, "apple", sender=BOB),
        stored(3, "apple", room_id=OTHER),
        stored(4, "apple", event_type="m.room.name"),
    )

    assert found(db, "apple", (OTHER,)) == ["$3"]
    assert found(db, "apple", (ROOM, OTHER), senders=[BOB]) == ["$2"]
    assert found(db, "apple", types=["m.room.name"]) == ["$4"]
    assert found(db, "apple", types=["m.room.topic"]) == found(db, "apple", ()) == found(db, "apple", senders=[]) == []


def test_many_rooms_are_searched_at_once(db: SyncDatabase) -> None:
    db.write(keep_and_index, stored(1, "apple"))
    rooms = tuple(RoomID(f"!{number}:example.org") for number in range(1_500))

    assert found(db, "apple", (*rooms, ROOM)) == ["$1"]


def test_what_came_from_the_past_is_older_than_what_was_here(db: SyncDatabase) -> None:
    db.write(
        keep_and_index, stored(5, "apple"), stored(6, "apple", is_history=True), stored(7, "apple", is_history=True)
    )

    assert found(db, "apple") == ["$5", "$6", "$7"]


def test_a_redacted_event_is_not_found_any_more(db: SyncDatabase) -> None:
    past, present = stored(1, "apple", is_history=True), stored(2, "apple")
    db.write(keep_and_index, past, present, stored(3, "apple"))

    for one in (past, present):
        db.write(remove_event, one.nid, one.event)

    assert found(db, "apple") == ["$3"]
    assert db.read(lambda tx: tx.all("SELECT COUNT(*) FROM search_index")) == [(1,)]


def test_an_event_is_in_the_index_once(db: SyncDatabase) -> None:
    db.write(keep_and_index, stored(1, "apple"))

    db.write(index_event, EventNid(1), event(1, "apple"), is_history=False)

    assert found(db, "apple") == ["$1"]


def test_the_text_stands_in_the_event_alone(db: SyncDatabase) -> None:
    db.write(keep_and_index, stored(1, "Incomparable sentence"))

    rows = db.read(lambda tx: tx.all("SELECT * FROM search_index"))

    assert "Incomparable sentence" not in str(rows)
    assert len(rows) == 1


def begin_index_at(tx: Transaction, below: int) -> None:
    tx.run("UPDATE search_progress SET below_nid = :below", below=below)


def test_events_from_before_the_index_are_put_into_it_step_by_step(db: SyncDatabase) -> None:
    db.write(keep, *(stored(number, "apple") for number in (1, 4)), stored(6, "apple", is_history=True))
    db.write(keep, replace(stored(2, "apple"), verdict=Verdict.REJECTED), stored(3, "apple", event_type="m.room.name"))
    db.write(begin_index_at, 7)

    steps = []
    while db.write(index_older, count=2):
        steps.append(found(db, "apple"))

    assert steps == [["$6"], ["$4", "$3", "$6"]]
    assert found(db, "apple") == ["$4", "$3", "$1", "$6"]
    assert db.write(index_older, count=2) is False


def test_a_new_database_has_nothing_older(db: SyncDatabase) -> None:
    assert db.write(index_older, count=2) is False
