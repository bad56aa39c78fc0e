"""Devices of other servers' users, and whether their lists are fresh."""

from dataclasses import replace

from homeserver.core.identifiers import DeviceID, RoomID, ServerName, UserID
from homeserver.core.remote_keys import RemoteDevice
from homeserver.storage.memberships import store_memberships
from homeserver.storage.remote_users import (
    LOOKED_AT_EVERY_MS,
    RemoteDeviceList,
    delete_remote_devices,
    due_lists,
    find_list,
    fresh_lists,
    lists_of,
    next_due_ms,
    remote_devices_of,
    store_list,
    store_remote_devices,
    sweep_unshared,
    users_in_rooms_of,
)
from homeserver.storage.room_servers import count_members
from tests.databases import SyncDatabase
from tests.storage.test_room_servers import member

OWN, FAR = ServerName("example.org"), ServerName("far.example")
ALICE, FAY, FLO = UserID(f"@alice:{OWN}"), UserID(f"@fay:{FAR}"), UserID(f"@flo:{FAR}")
ROOM, OTHER_ROOM = RoomID("!room:example.org"), RoomID("!other:example.org")
PHONE, LAPTOP = DeviceID("PHONE"), DeviceID("LAPTOP")


def kept(user_id: UserID = FAY, **more: object) -> RemoteDeviceList:
    one = RemoteDeviceList(user_id, 1, 10, is_stale=False, marks=0, failures=0, next_attempt_ms=0)
    return replace(one, **more)  # type: ignore[arg-type]  # fields by their names


def join(db: SyncDatabase, room_id: RoomID, user_id: UserID, position: int, membership: str = "join") -> None:
    one = replace(member(room_id, user_id, membership), log_position=position, is_local=user_id == ALICE)
    db.write(store_memberships, [one])


def settle(db: SyncDatabase, room_id: RoomID, position: int) -> None:
    """Let this server be in a room from a position on."""
    db.write(count_members, room_id, {OWN: 1}, position=position, now_ms=0)


def test_a_list_is_found_as_it_was_stored_last(db: SyncDatabase) -> None:
    db.write(store_list, kept(), now_ms=0)
    changed = kept(stream_id=None, is_stale=True, marks=3, failures=2, next_attempt_ms=7, checked_position=12)
    db.write(store_list, changed, now_ms=5)

    assert db.read(find_list, FAY) == changed
    assert db.read(find_list, FLO) is None
    assert db.read(lists_of, []) == {}
    assert db.read(lists_of, [FAY, FLO]) == {FAY: changed}


def test_a_list_is_fresh_if_a_room_has_been_shared_since_it_was_asked_for(db: SyncDatabase) -> None:
    settle(db, ROOM, 3)
    join(db, ROOM, FAY, 10)
    db.write(store_list, kept(), now_ms=0)

    assert db.read(fresh_lists, [FAY, FLO], OWN) == {FAY}
    assert db.read(fresh_lists, [FAY], ServerName("another.example")) == set()
    assert db.read(fresh_lists, [], OWN) == set()


def test_a_list_is_not_fresh_if_it_is_stale_or_the_room_was_entered_later(db: SyncDatabase) -> None:
    settle(db, ROOM, 3)
    settle(db, OTHER_ROOM, 11)
    join(db, ROOM, FAY, 2)
    join(db, OTHER_ROOM, FLO, 2)
    db.write(store_list, kept(is_stale=True), now_ms=0)
    db.write(store_list, kept(FLO), now_ms=0)

    assert db.read(fresh_lists, [FAY, FLO], OWN) == set()
    db.write(store_list, kept(), now_ms=0)
    assert db.read(fresh_lists, [FAY, FLO], OWN) == {FAY}
    join(db, ROOM, FAY, 11)
    assert db.read(fresh_lists, [FAY, FLO], OWN) == set()
    db.write(store_list, kept(checked_position=11), now_ms=0)
    join(db, ROOM, FAY, 11, "leave")
    assert db.read(fresh_lists, [FAY, FLO], OWN) == set()


def test_who_is_in_a_room_of_a_server(db: SyncDatabase) -> None:
    settle(db, ROOM, 3)
    join(db, ROOM, FAY, 4)
    join(db, OTHER_ROOM, FLO, 4)

    assert db.read(users_in_rooms_of, [FAY, FLO], OWN) == {FAY}
    assert db.read(users_in_rooms_of, [], OWN) == set()


def test_stale_lists_are_due_in_their_order(db: SyncDatabase) -> None:
    assert db.read(next_due_ms) is None
    db.write(store_list, kept(is_stale=True, next_attempt_ms=9), now_ms=0)
    db.write(store_list, kept(FLO, is_stale=True, next_attempt_ms=5), now_ms=0)
    db.write(store_list, kept(ALICE, next_attempt_ms=1), now_ms=0)

    assert db.read(next_due_ms) == 5
    assert [one.user_id for one in db.read(due_lists, now_ms=9, limit=5)] == [FLO, FAY]
    assert [one.user_id for one in db.read(due_lists, now_ms=9, limit=1)] == [FLO]
    assert db.read(due_lists, now_ms=4, limit=5) == []


def test_devices_are_found_as_they_were_stored_last(db: SyncDatabase) -> None:
    phone, laptop = RemoteDevice(PHONE, {"keys": {"a": "b"}}, "phone"), RemoteDevice(LAPTOP, None, None)
    db.write(store_remote_devices, FAY, [phone, RemoteDevice(LAPTOP, {}, "old")])
    db.write(store_remote_devices, FAY, [laptop])
    db.write(store_remote_devices, FLO, [laptop])

    assert db.read(remote_devices_of, [FAY]) == {FAY: {PHONE: phone, LAPTOP: laptop}}
    assert db.read(remote_devices_of, []) == {}
    db.write(delete_remote_devices, FAY, {LAPTOP, DeviceID("NONE")})
    db.write(delete_remote_devices, FAY, ())
    assert db.read(remote_devices_of, [FAY, FLO]) == {FAY: {PHONE: phone}, FLO: {LAPTOP: laptop}}


def test_what_is_kept_of_users_goes_when_they_share_no_room_with_a_local_user(db: SyncDatabase) -> None:
    join(db, ROOM, ALICE, 1)
    join(db, ROOM, FAY, 2)
    join(db, OTHER_ROOM, FLO, 2)
    for user_id in (FAY, FLO):
        db.write(store_list, kept(user_id), now_ms=0)
        db.write(store_remote_devices, user_id, [RemoteDevice(PHONE, {}, None)])

    assert db.write(sweep_unshared, LOOKED_AT_EVERY_MS, 10) == 0
    assert db.write(sweep_unshared, LOOKED_AT_EVERY_MS + 1, 10) == 2
    assert db.read(remote_devices_of, [FAY, FLO]).keys() == {FAY}
    assert db.read(lists_of, [FAY, FLO]).keys() == {FAY}
    join(db, ROOM, ALICE, 5, "leave")
    assert db.write(sweep_unshared, LOOKED_AT_EVERY_MS + 2, 10) == 0  # it was just looked at
    assert db.write(sweep_unshared, 2 * LOOKED_AT_EVERY_MS + 2, 10) == 2
    assert db.read(remote_devices_of, [FAY, FLO]) == {}


def test_a_sweep_deletes_no_more_devices_than_it_is_told_unless_one_user_has_more(db: SyncDatabase) -> None:
    for user_id in (FAY, FLO):
        db.write(store_list, kept(user_id), now_ms=0)
        devices = [RemoteDevice(DeviceID(f"D{number}"), {}, None) for number in range(3)]
        db.write(store_remote_devices, user_id, devices)

    swept = [db.write(sweep_unshared, LOOKED_AT_EVERY_MS + 1, 2) for _ in range(3)]

    assert swept == [4, 4, 0]
