"""Rooms are listed by what happened in them last, from rows that are written with their events."""

from collections.abc import Mapping
from typing import Any

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, store_memberships
from homeserver.storage.room_index import (
    ListedRoom,
    RoomFacts,
    current_among,
    current_rooms,
    departed_rooms,
    forget_name,
    note_activity,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ROOM = RoomID("!room:example.org")
FACTS = RoomFacts("m.space", "Name", is_encrypted=True)


def member(room_id: RoomID = ROOM, membership: str = "join", sender: UserID = ALICE, **more: Any) -> Membership:
    fields: dict[str, Any] = {
        "room_id": room_id,
        "user_id": ALICE,
        "membership": membership,
        "event_id": EventID("$member"),
        "sender": sender,
        "place": 1,
        "log_position": 5,
        "display_name": None,
        "avatar_url": None,
        "is_local": True,
        "is_forgotten": False,
        "stripped_state": None,
        "joined_place": 1 if membership == "join" else None,
    }
    return Membership(**{**fields, **more})


def note(db: SyncDatabase, position: int, bump: int | None = None, facts: RoomFacts | None = None) -> None:
    def write(tx: Transaction) -> None:
        tx.at_position(
            ("room_index",), lambda tx, _: note_activity(tx, ROOM, position=position, bump_position=bump, facts=facts)
        )

    db.write(write)


def listed(db: SyncDatabase, after: int = 10**9) -> Mapping[RoomID, ListedRoom]:
    departed = db.read(departed_rooms, ALICE, after=after)
    return {room.room_id: room for room in (*db.read(current_rooms, ALICE), *departed)}


def test_a_room_keeps_its_newest_activity_and_what_is_known_of_its_state(db: SyncDatabase) -> None:
    db.write(store_memberships, [member()])
    note(db, 10, 10, FACTS)
    note(db, 11)

    room = listed(db)[ROOM]

    assert (room.active_position, room.bump_position, room.facts) == (11, 10, FACTS)
    note(db, 12, 12)
    note(db, 13, None, RoomFacts(None, None, is_encrypted=False))
    room = listed(db)[ROOM]
    assert (room.active_position, room.bump_position) == (13, 12)
    assert room.facts == RoomFacts(None, None, is_encrypted=False)


def test_a_name_that_was_redacted_is_forgotten(db: SyncDatabase) -> None:
    db.write(store_memberships, [member()])
    note(db, 10, 10, FACTS)

    db.write(forget_name, ROOM)

    assert listed(db)[ROOM].facts == RoomFacts("m.space", None, is_encrypted=True)


def test_a_room_of_which_no_activity_is_known_counts_by_its_membership(db: SyncDatabase) -> None:
    db.write(store_memberships, [member(membership="invite", sender=BOB)])

    room = listed(db)[ROOM]

    assert (room.active_position, room.bump_position, room.facts) == (5, None, None)


def test_whoever_is_out_of_a_room_learns_nothing_of_what_happens_there(db: SyncDatabase) -> None:
    db.write(store_memberships, [member(membership="ban", sender=BOB, was_joined=True)])
    note(db, 10, 10, FACTS)

    room = listed(db)[ROOM]

    assert (room.active_position, room.bump_position) == (5, None)


def test_rooms_are_listed_whose_users_are_in_them_come_in_or_were_removed(db: SyncDatabase) -> None:
    rows = {
        "in": member(RoomID("!in:example.org")),
        "invited": member(RoomID("!invited:example.org"), "invite", BOB),
        "knocking": member(RoomID("!knocking:example.org"), "knock"),
        "removed": member(RoomID("!removed:example.org"), "leave", BOB, was_joined=True),
        "banned": member(RoomID("!banned:example.org"), "ban", BOB, was_joined=True),
        "never in": member(RoomID("!never:example.org"), "ban", BOB),
        "left": member(RoomID("!left:example.org"), "leave", was_joined=True),
        "forgotten": member(RoomID("!forgotten:example.org"), "leave", BOB, was_joined=True, is_forgotten=True),
        "of Bob": member(RoomID("!bob:example.org"), user_id=BOB),
    }
    db.write(store_memberships, list(rows.values()))

    def names(after: int) -> set[str]:
        found = listed(db, after)
        return {name for name, row in rows.items() if row.room_id in found}

    among = db.read(current_among, ALICE, [rows[name].room_id for name in ("in", "banned", "of Bob")])
    assert [room.room_id for room in among] == [rows["in"].room_id]
    assert names(after=5) == {"in", "invited", "knocking", "removed", "banned"}
    since = {"in", "invited", "knocking", "removed", "banned", "left", "never in", "forgotten"}
    assert names(after=4) == since
