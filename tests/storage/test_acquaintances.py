"""Who shares rooms with whom, within bounds."""

from collections.abc import Iterable

import pytest

from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of_user
from homeserver.storage.acquaintances import (
    Reach,
    RoomPeople,
    local_users_near,
    people_of_room,
    servers_near,
    users_near_among,
)
from homeserver.storage.database import Transaction
from homeserver.storage.room_servers import count_members
from tests.databases import SyncDatabase

OWN = ServerName("example.org")
A, B, C, D = (UserID(f"@{name}:example.org") for name in "abcd")
FAY, GUS, HAL = (UserID(f"@{name}") for name in ("fay:far.example", "gus:gulf.example", "hal:hill.example"))
SMALL, MIDDLE, LARGE = (RoomID(f"!{name}:example.org") for name in ("small", "middle", "large"))
WIDE = Reach(rooms=10, members=10, users=10, servers=10)


def fill(db: SyncDatabase, rooms: dict[RoomID, Iterable[UserID]], left: Iterable[tuple[RoomID, UserID]] = ()) -> None:
    def insert(tx: Transaction) -> None:
        for room_id, users in rooms.items():
            servers: dict[ServerName, int] = {}
            for user_id in users:
                insert_member(tx, room_id, user_id, "join")
                server = server_name_of_user(user_id)
                servers[server] = servers.get(server, 0) + 1
            count_members(tx, room_id, servers, position=1, now_ms=0)
        for room_id, user_id in left:
            insert_member(tx, room_id, user_id, "leave")

    db.write(insert)


INSERT = """
    INSERT INTO memberships (room_id, user_id, membership, event_id, sender, place, log_position, is_local,
                             is_forgotten, was_joined)
    VALUES (:room_id, :user_id, :membership, :event_id, :user_id, 1, 1, :is_local, :no, :no)"""


def insert_member(tx: Transaction, room_id: RoomID, user_id: UserID, membership: str) -> None:
    tx.run(
        INSERT,
        room_id=room_id,
        user_id=user_id,
        membership=membership,
        event_id=f"${room_id}{user_id}",
        is_local=server_name_of_user(user_id) == OWN,
        no=False,
    )


@pytest.fixture
def rooms(db: SyncDatabase) -> SyncDatabase:
    """Three rooms, each with one more user of this server than the one before."""
    fill(
        db,
        {SMALL: [A, FAY], MIDDLE: [A, B, FAY, GUS], LARGE: [A, B, C, FAY, GUS, HAL]},
        left=[(SMALL, D), (SMALL, HAL)],
    )
    return db


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (WIDE, {A, B, C}),
        (Reach(rooms=2, members=10, users=10, servers=10), {A, B}),
        (Reach(rooms=10, members=2, users=10, servers=10), {A, B}),
        (Reach(rooms=1, members=10, users=10, servers=10), {A}),
    ],
)
def test_users_near_are_those_of_the_smallest_rooms(rooms: SyncDatabase, reach: Reach, expected: set[UserID]) -> None:
    for user_id in (A, FAY):
        assert set(rooms.read(local_users_near, user_id, OWN, reach)) == expected


def test_no_more_users_are_near_than_reach_has(rooms: SyncDatabase) -> None:
    reach = Reach(rooms=10, members=10, users=2, servers=10)

    assert len(rooms.read(lambda tx: local_users_near(tx, A, OWN, reach))) == 2


def test_who_has_left_is_near_nobody(rooms: SyncDatabase) -> None:
    assert rooms.read(lambda tx: local_users_near(tx, D, OWN, WIDE)) == []
    assert rooms.read(lambda tx: servers_near(tx, D, OWN, WIDE)) == []
    assert rooms.read(lambda tx: users_near_among(tx, A, [B, D], OWN, WIDE)) == {B}
    assert rooms.read(lambda tx: users_near_among(tx, A, [], OWN, WIDE)) == set()


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (WIDE, {"far.example", "gulf.example", "hill.example"}),
        (Reach(rooms=2, members=10, users=10, servers=10), {"far.example", "gulf.example"}),
        (Reach(rooms=10, members=10, users=10, servers=2), {"far.example", "gulf.example"}),
        (Reach(rooms=10, members=10, users=10, servers=1), {"far.example"}),
    ],
)
def test_servers_near_are_in_rooms_with_few_servers(rooms: SyncDatabase, reach: Reach, expected: set[str]) -> None:
    assert set(rooms.read(lambda tx: servers_near(tx, A, OWN, reach))) == expected


def test_people_of_a_room_are_there_unless_it_is_too_large(rooms: SyncDatabase) -> None:
    def found(reach: Reach) -> RoomPeople:
        return rooms.read(lambda tx: people_of_room(tx, LARGE, OWN, reach))

    everybody = found(WIDE)

    assert (set(everybody.local), set(everybody.remote)) == ({A, B, C}, {FAY, GUS, HAL})
    assert set(everybody.servers) == {"far.example", "gulf.example", "hill.example"}
    assert found(Reach(rooms=10, members=10, users=10, servers=2)).servers == ()
    assert found(Reach(rooms=10, members=2, users=10, servers=10)) == RoomPeople()
    assert len(found(Reach(rooms=10, members=10, users=1, servers=10)).remote) == 1
