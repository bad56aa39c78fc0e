"""Where device lists last changed."""

from functools import partial

from homeserver.core.identifiers import DeviceID, RoomID, UserID
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.device_keys import store_device_keys
from homeserver.storage.device_lists import (
    CROSS_SIGNING,
    DeviceUpdate,
    changed_device_lists,
    device_updates,
    device_updates_at,
    local_audience,
    note_device_list_change,
    note_device_update,
    recipients_among,
    recipients_in,
    recipients_of,
    sweep_device_updates,
    sweep_remote_changes,
)
from homeserver.storage.devices import insert_device
from homeserver.storage.rooms import SYNC_HORIZON_MS
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def test_a_list_changed_where_it_changed_last(db: SyncDatabase) -> None:
    db.write(note_device_list_change, ALICE, 3)
    db.write(note_device_list_change, BOB, 4)
    db.write(note_device_list_change, ALICE, 7)

    assert db.read(changed_device_lists, after=0, upto=9) == {ALICE, BOB}
    assert db.read(changed_device_lists, after=4, upto=7) == {ALICE}
    assert db.read(changed_device_lists, after=2, upto=6) == {BOB}
    assert db.read(changed_device_lists, after=7, upto=9) == set()


def test_changes_in_one_batch_leave_one_row_per_user(db: SyncDatabase) -> None:
    db.write_batch([partial(note_device_list_change, user_id=ALICE, log_position=number) for number in (5, 6, 7)])

    assert db.read(changed_device_lists, after=6, upto=7) == {ALICE}


def test_who_is_in_no_room_shares_none(db: SyncDatabase) -> None:
    assert db.read(local_audience, ALICE) == {ALICE}
    assert db.read(recipients_of, ALICE) == set()
    assert db.read(recipients_among, ALICE, {BOB}) == set()
    assert db.read(recipients_among, ALICE, set()) == set()
    assert db.read(recipients_in, [RoomID("!nowhere:example.org")]) == []
    assert db.read(recipients_in, []) == []


def test_updates_of_a_user_form_a_chain_and_have_what_their_device_is_now(db: SyncDatabase) -> None:
    phone, gone = DeviceID("PHONE"), DeviceID("GONE")
    db.write(note_device_list_change, ALICE, 2)  # from before updates were kept
    db.write(insert_device, ALICE, phone, display_name="Phone", now_ms=0)
    db.write(store_device_keys, ALICE, phone, b"{}")
    for position, user_id, device_id in (
        (3, ALICE, phone),
        (4, BOB, phone),
        (5, ALICE, gone),
        (6, ALICE, CROSS_SIGNING),
        (7, ALICE, phone),
    ):
        db.write(note_device_update, user_id, device_id, position=position, now_ms=0)

    expected = [
        DeviceUpdate(BOB, phone, 4, None, is_gone=True, name=None, keys=None),
        DeviceUpdate(ALICE, gone, 5, 3, is_gone=True, name=None, keys=None),
        DeviceUpdate(ALICE, CROSS_SIGNING, 6, 5, is_gone=True, name=None, keys=None),
        DeviceUpdate(ALICE, phone, 7, 6, is_gone=False, name="Phone", keys=b"{}"),
    ]
    assert db.read(device_updates, after=0, upto=9) == expected
    assert db.read(device_updates, after=4, upto=6) == expected[1:3]
    assert db.read(device_updates_at, [3, 5]) == expected[1:2]
    assert db.read(device_updates_at, []) == []


def test_the_first_update_comes_after_the_last_change_from_before_updates_were_kept(db: SyncDatabase) -> None:
    db.write(note_device_list_change, ALICE, 2)

    db.write(note_device_update, ALICE, "PHONE", position=3, now_ms=0)

    assert [update.previous for update in db.read(device_updates, after=0, upto=9)] == [2]


def test_updates_from_long_ago_are_swept(db: SyncDatabase) -> None:
    db.write(note_device_update, ALICE, "OLD", position=1, now_ms=0)
    db.write(note_device_update, ALICE, "NEW", position=2, now_ms=5_000)

    assert db.write(sweep_device_updates, SYNC_HORIZON_MS + 1_000, 10) == 1

    assert [update.device_id for update in db.read(device_updates, after=0, upto=9)] == ["NEW"]


def test_where_remote_users_changed_is_forgotten_once_no_sync_asks_for_it(db: SyncDatabase) -> None:
    fay = UserID("@fay:far.example")
    db.write(insert_account, Account(ALICE, AccountKind.USER, 0))
    for user_id, position in ((ALICE, 1), (fay, 2)):
        db.write(note_device_list_change, user_id, position)

    too_early = db.write(sweep_remote_changes, 0, 10)
    db.write(lambda tx: tx.run("UPDATE sync_horizon SET log_position = 3"))

    assert too_early == 0
    assert db.write(sweep_remote_changes, 0, 10) == 1
    assert db.read(changed_device_lists, after=0, upto=9) == {ALICE}
