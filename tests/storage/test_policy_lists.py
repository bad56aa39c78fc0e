"""Moderation policy lists that are followed, and what was done because of them."""

from dataclasses import replace

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import MembershipChange, insert_changes
from homeserver.storage.policy_lists import (
    Deed,
    DeedKind,
    OnRooms,
    PolicyList,
    came_since,
    count_deeds,
    deeds_after,
    delete_deeds,
    delete_policy_list,
    forget_deleted_lists,
    known_rooms,
    move_deeds,
    note_watched,
    policy_lists,
    set_applied,
    store_deeds,
    store_policy_list,
    watched_position,
)
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_room

LIST, OTHER = RoomID("!list:example.org"), RoomID("!other:example.org")
ROOM = RoomID("!room:example.org")
EVE = UserID("@eve:bad.example")
FOLLOWED = PolicyList(
    LIST,
    on_server=True,
    on_rooms=OnRooms.GIVEN,
    rooms=frozenset({ROOM}),
    subscribed_by=UserID("@root:example.org"),
    subscribed_ms=10,
)
BAN = Deed(DeedKind.BAN, ROOM, EVE, LIST)
REFUSE = Deed(DeedKind.REFUSE, None, "*.bad.example", LIST)


def test_a_list_is_followed_changed_and_given_up(db: SyncDatabase) -> None:
    other = PolicyList(
        OTHER, on_server=False, on_rooms=OnRooms.NONE, rooms=frozenset(), subscribed_by=None, subscribed_ms=5
    )
    changed = replace(FOLLOWED, on_rooms=OnRooms.ALL, rooms=frozenset(), ends=True)

    for followed in (FOLLOWED, other):
        db.write(store_policy_list, followed)
    first = db.read(policy_lists)
    db.write(set_applied, LIST, b"digest")
    db.write(store_policy_list, changed)
    second = db.read(policy_lists)
    gone = [db.write(delete_policy_list, LIST) for _ in range(2)]

    assert first == [other, FOLLOWED]
    assert second == [other, changed]
    assert gone == [True, False]
    assert db.read(policy_lists) == [other]


def test_what_a_list_protects_is_what_it_was_said_to() -> None:
    watched = replace(FOLLOWED, on_server=False, on_rooms=OnRooms.NONE, rooms=frozenset())
    given = replace(FOLLOWED, on_server=False)

    assert [given.protects(ROOM), given.protects(OTHER), watched.protects(ROOM)] == [True, False, False]
    assert replace(watched, on_server=True).protects(OTHER)
    assert replace(watched, on_rooms=OnRooms.ALL).protects(OTHER)
    assert not replace(FOLLOWED, ends=True).protects(ROOM)
    assert [given.acts, watched.acts] == [True, False]


def test_deeds_are_noted_once_and_go_with_their_list(db: SyncDatabase) -> None:
    again = replace(BAN, list_id=OTHER)
    db.write(store_deeds, [BAN, REFUSE], now_ms=10)
    db.write(store_deeds, [again], now_ms=20)
    noted = db.read(deeds_after, None, limit=10)

    db.write(move_deeds, [again])
    counts = db.read(count_deeds)
    db.write(delete_policy_list, LIST)

    assert noted == [BAN, REFUSE]
    assert db.read(deeds_after, None, limit=10) == [again]
    assert counts == {LIST: {DeedKind.REFUSE: 1}, OTHER: {DeedKind.BAN: 1}}
    db.write(delete_deeds, [again])
    assert db.read(deeds_after, None, limit=10) == []


def test_what_is_left_of_a_list_whose_room_was_deleted_is_forgotten(db: SyncDatabase) -> None:
    kept, gone = replace(BAN, list_id=OTHER), replace(REFUSE, list_id=LIST)
    for list_id in (LIST, OTHER):
        db.write(store_policy_list, replace(FOLLOWED, room_id=list_id))
    db.write(store_deeds, [kept, gone], now_ms=10)

    def delete(tx: Transaction) -> None:
        tx.run("DELETE FROM policy_lists WHERE room_id = :room_id", room_id=LIST)

    db.write(delete)
    db.write(forget_deleted_lists)

    assert db.read(deeds_after, None, limit=10) == [kept]
    assert db.read(policy_lists) == [replace(FOLLOWED, room_id=OTHER)]


def test_deeds_are_read_page_by_page(db: SyncDatabase) -> None:
    deeds = [replace(BAN, entity=f"@{number}:bad.example") for number in range(3)]
    db.write(store_deeds, [*deeds, REFUSE], now_ms=10)

    first = db.read(deeds_after, None, limit=2)

    assert first == deeds[:2]
    assert db.read(deeds_after, first[-1], limit=9) == [deeds[2], REFUSE]
    assert db.read(deeds_after, REFUSE, limit=9) == []


def test_who_came_since_a_position_is_found(db: SyncDatabase) -> None:
    steps = [(5, "join"), (6, "leave"), (7, "invite"), (9, "join")]
    changes = [
        MembershipChange(UserID(f"@{at}:x"), at, ROOM, None, membership, EventID(f"${at}")) for at, membership in steps
    ]
    db.write(insert_changes, changes, written_ms=1)

    assert set(db.read(came_since, 5)) == {(ROOM, UserID("@7:x")), (ROOM, UserID("@9:x"))}


def test_the_position_is_noted(db: SyncDatabase) -> None:
    before = db.read(watched_position)
    for position in (3, 7):
        db.write(note_watched, position)

    assert before is None
    assert db.read(watched_position) == 7


def test_rooms_are_listed_with_whether_they_are_blocked(db: SyncDatabase) -> None:
    db.write(insert_bare_room, ROOM, root=b"root")

    assert db.read(known_rooms, after="", limit=5) == {ROOM: False}
    assert db.read(known_rooms, after=ROOM, limit=5) == {}
