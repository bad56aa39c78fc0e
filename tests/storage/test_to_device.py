"""The inboxes of devices: read in pages, emptied by what was acknowledged, bounded."""

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.devices import insert_device
from homeserver.storage.owned_rows import delete_device_rows
from homeserver.storage.to_device import (
    InboxOverflow,
    ToDeviceMessage,
    delete_acknowledged,
    inboxes_of,
    insert_messages,
    messages_for_device,
)
from tests.databases import SyncDatabase
from tests.storage.statements import CountedStatements

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
PHONE, LAPTOP = DeviceID("PHONE"), DeviceID("LAPTOP")


def fill(db: SyncDatabase, *positions: int, user: UserID = ALICE, device: DeviceID = PHONE) -> None:
    for position in positions:
        db.write(insert_messages, {(user, device): b"%d" % position}, log_position=position)


def waiting(db: SyncDatabase, user: UserID = ALICE, device: DeviceID = PHONE) -> list[int]:
    messages = db.read(messages_for_device, user, device, after=0, upto=2**62, limit=1000)
    return [message.position for message in messages]


def test_messages_are_read_in_order_and_in_pages(db: SyncDatabase) -> None:
    fill(db, 3, 1, 2, 4)
    fill(db, 1, device=LAPTOP)
    fill(db, 1, user=BOB)

    page = db.read(messages_for_device, ALICE, PHONE, after=1, upto=4, limit=2)

    assert page == [ToDeviceMessage(2, b"2"), ToDeviceMessage(3, b"3")]


def test_what_a_device_acknowledged_is_deleted_and_nothing_else(db: SyncDatabase) -> None:
    fill(db, 1, 2, 3)
    fill(db, 1, 2, device=LAPTOP)

    deleted = db.write(delete_acknowledged, [(ALICE, PHONE, 2), (ALICE, LAPTOP, 1), (BOB, PHONE, 9)])

    assert deleted == 3
    assert waiting(db) == [3]
    assert waiting(db, device=LAPTOP) == [2]


def test_inboxes_are_those_of_devices_that_exist(db: SyncDatabase) -> None:
    db.write(insert_device, ALICE, PHONE, display_name=None, now_ms=1)
    db.write(insert_device, ALICE, LAPTOP, display_name=None, now_ms=1)

    devices, overflows = db.read(inboxes_of, [ALICE, BOB])

    assert {user: sorted(ids) for user, ids in devices.items()} == {ALICE: [LAPTOP, PHONE]}
    assert overflows == []


def test_a_full_inbox_says_up_to_where_it_must_be_emptied(db: SyncDatabase) -> None:
    db.write(insert_device, ALICE, PHONE, display_name=None, now_ms=1)
    fill(db, 10, 20)

    almost_full = db.read(inboxes_of, [ALICE], most=3)[1]
    fill(db, 30)
    full = db.read(inboxes_of, [ALICE], most=3)[1]
    fill(db, 40)
    overfull = db.read(inboxes_of, [ALICE], most=3)[1]

    assert almost_full == []
    assert full == [InboxOverflow(ALICE, PHONE, 10)]
    assert overfull == [InboxOverflow(ALICE, PHONE, 20)]


def test_a_hundred_devices_are_looked_up_and_written_to_in_one_statement_each(db: SyncDatabase) -> None:
    devices = [DeviceID(f"DEVICE{number}") for number in range(100)]
    for device in devices:
        db.write(insert_device, ALICE, device, display_name=None, now_ms=1)

    def deliver(tx: Transaction) -> int:
        counted = CountedStatements(tx)
        found, _ = inboxes_of(counted, [ALICE])
        insert_messages(counted, {(ALICE, device): b"{}" for device in found[ALICE]}, log_position=1)
        return counted.count

    assert db.write(deliver) == 2
    assert [waiting(db, device=device) for device in devices] == [[1]] * 100


def test_the_messages_of_a_device_go_with_it(db: SyncDatabase) -> None:
    fill(db, 1)
    fill(db, 1, device=LAPTOP)

    db.write(delete_device_rows, ALICE, [PHONE])

    assert waiting(db) == []
    assert waiting(db, device=LAPTOP) == [1]
