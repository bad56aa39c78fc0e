"""What clients were told is kept by connection and answer, as long as an answer may be lost, and not longer."""

from typing import Any

import pytest

from homeserver.core.identifiers import DeviceID, RoomID, UserID
from homeserver.core.required_state import RequiredState
from homeserver.storage.owned_rows import delete_device_rows
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.schema import sweep_all
from homeserver.storage.sliding_connections import (
    MOST_CONNECTIONS,
    ConnectionKey,
    SentRoom,
    find_sent_rooms,
    store_sent_rooms,
)
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")
KEY = ConnectionKey(ALICE, "PHONE", "main")
ONE, TWO = RoomID("!one:example.org"), RoomID("!two:example.org")
NAME = RequiredState(frozenset({("m.room.name", "")}))
ALL = RequiredState(frozenset({("*", "*"), ("m.room.member", "$LAZY")}))
LIVE, PAST = SentRoom(None, 10, NAME), SentRoom(7, 1, ALL)


def store(
    db: SyncDatabase,
    rooms: dict[RoomID, SentRoom],
    at: tuple[int, int] = (0, 0),
    key: ConnectionKey = KEY,
    now_ms: int = 0,
) -> tuple[int, int]:
    stored = db.write(store_sent_rooms, key, rooms, nid=at[0], number=at[1], now_ms=now_ms)
    assert stored is not None
    return stored


def find(db: SyncDatabase, at: tuple[int, int], key: ConnectionKey = KEY) -> Any:
    return db.read(find_sent_rooms, key, nid=at[0], number=at[1])


def rows(db: SyncDatabase) -> int:
    found = db.read(lambda tx: tx.one("SELECT COUNT(*) FROM sliding_rooms"))
    return 0 if found is None else found[0]


def test_what_an_answer_told_is_added_to_what_was_told_before(db: SyncDatabase) -> None:
    first = store(db, {ONE: LIVE})
    second = store(db, {ONE: PAST, TWO: LIVE}, first)

    assert find(db, first) == {ONE: LIVE}
    assert find(db, second) == {ONE: PAST, TWO: LIVE}


def test_an_answer_that_was_lost_is_forgotten_when_another_takes_its_place(db: SyncDatabase) -> None:
    first = store(db, {ONE: LIVE})
    lost = store(db, {ONE: PAST, TWO: LIVE}, first)
    again = store(db, {TWO: PAST}, first)

    assert find(db, first) == {ONE: LIVE}
    assert find(db, again) == {ONE: LIVE, TWO: PAST}
    assert find(db, lost) is None
    assert lost != again


def test_what_came_before_an_answer_that_was_received_is_forgotten(db: SyncDatabase) -> None:
    first = store(db, {ONE: LIVE})
    second = store(db, {ONE: PAST}, first)
    third = store(db, {ONE: LIVE}, second)

    assert find(db, first) is None
    assert db.write(store_sent_rooms, KEY, {TWO: LIVE}, nid=first[0], number=first[1], now_ms=0) is None
    assert find(db, second) == {ONE: PAST}
    assert find(db, third) == {ONE: LIVE}
    for _ in range(5):
        third = store(db, {ONE: LIVE}, third)
    assert rows(db) == 2


def test_connections_are_of_one_device_and_name(db: SyncDatabase) -> None:
    first = store(db, {ONE: LIVE})

    for other in (
        ConnectionKey(UserID("@bob:example.org"), "PHONE", "main"),
        ConnectionKey(ALICE, "LAPTOP", "main"),
        ConnectionKey(ALICE, "PHONE", ""),
    ):
        assert find(db, first, other) is None
        store(db, {TWO: LIVE}, key=other)
    assert find(db, first) == {ONE: LIVE}


def test_a_new_connection_takes_the_place_of_one_of_its_name(db: SyncDatabase) -> None:
    old = store(db, {ONE: LIVE})
    new = store(db, {TWO: LIVE})

    assert find(db, old) is None
    assert find(db, new) == {TWO: LIVE}
    assert rows(db) == 1


def test_of_too_many_connections_those_go_that_were_written_to_longest_ago(db: SyncDatabase) -> None:
    keys = [ConnectionKey(ALICE, "PHONE", str(number)) for number in range(MOST_CONNECTIONS + 1)]
    stored = [store(db, {ONE: LIVE}, key=key, now_ms=number) for number, key in enumerate(keys)]

    assert find(db, stored[0], keys[0]) is None
    assert all(find(db, at, key) == {ONE: LIVE} for key, at in zip(keys[1:], stored[1:], strict=True))
    assert rows(db) == MOST_CONNECTIONS


def test_a_connection_that_asks_for_ever_more_kinds_of_state_has_to_begin_anew(db: SyncDatabase) -> None:
    def asking(number: int) -> SentRoom:
        return SentRoom(None, 1, RequiredState(frozenset({(f"{number}{'x' * 200}", str(key)) for key in range(200)})))

    at, count = store(db, {ONE: LIVE}), 0
    while count < 20:
        stored = db.write(store_sent_rooms, KEY, {ONE: asking(count)}, nid=at[0], number=at[1], now_ms=0)
        if stored is None:
            break
        at, count = stored, count + 1

    assert 0 < count < 20
    assert find(db, at) == {ONE: asking(count - 1)}


def test_what_was_told_is_forgotten_with_its_device_and_when_nobody_comes_for_it(db: SyncDatabase) -> None:
    laptop = ConnectionKey(ALICE, "LAPTOP", "main")
    phone_at, laptop_at = store(db, {ONE: LIVE, TWO: PAST}), store(db, {ONE: LIVE}, key=laptop, now_ms=10)

    db.write(delete_device_rows, ALICE, [DeviceID("PHONE")])
    assert find(db, phone_at) is None
    assert rows(db) == 1
    db.write(sweep_all, now_ms=SYNC_HORIZON_MS + 10, limit=100)
    assert find(db, laptop_at, laptop) == {ONE: LIVE}
    for _ in range(2):
        db.write(sweep_all, now_ms=SYNC_HORIZON_MS + 11, limit=100)
    assert find(db, laptop_at, laptop) is None
    assert rows(db) == 0


@pytest.mark.parametrize("count", [3, 300])
def test_what_was_told_of_many_rooms_is_read_and_written_at_once(db: SyncDatabase, count: int) -> None:
    rooms = {RoomID(f"!{number}:example.org"): LIVE for number in range(count)}
    at = store(db, rooms)

    assert find(db, at) == rooms
