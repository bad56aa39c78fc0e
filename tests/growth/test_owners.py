"""What belongs to a room, a user or a device is found by the columns that the tables declare, and by no others.

Where an identifier stands in a column that is not its owner's, that is on purpose, and is named here.
"""

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.rooms.sending import ClientTransaction
from homeserver.storage.database import Transaction
from homeserver.storage.owned_rows import delete_device_rows
from homeserver.storage.schema import TABLES, tables_of
from homeserver.storage.tables import Owner
from tests.growth.rows import columns_that_name, count_rows
from tests.growth.workload import ELSEWHERE, SIGNED, Workload
from tests.services.accounts.people import PASSWORD
from tests.services.e2ee.signed_keys import device_keys, one_time_key
from tests.services.sync.sliding import Phone, window
from tests.services.world import ALICE, BOB, CAROL, World, now

LAPTOP = DeviceID("LAPTOP")

# What others wrote of a user, or did to one: theirs, and gone with them or with the room. What administrators did
# stays, and what a policy list did, until it is undone.
OF_USERS = {
    ("admin_audit", "actor"),
    ("admin_audit", "target"),
    ("admin_jobs", "asked_by"),
    ("events", "pdu"),
    ("events", "state_key"),
    ("memberships", "sender"),
    ("policy_deeds", "entity"),
    ("state_nodes", "body"),
    ("to_device_messages", "message"),
    ("to_device_outbox", "edu"),
    ("user_signatures", "user_id"),
}
# Keys that a user backed up are the user's, whatever becomes of the room; the room is the scope of a transaction. What
# administrators had done with it is told of for a while.
OF_ROOMS = {("admin_jobs", "subject"), ("backed_up_keys", "room_id"), ("client_transactions", "scope")}
# The device that sent an event: only its own user is told. That a device went, other servers have yet to be told.
OF_DEVICES = {("device_updates", "device_id"), ("events", "transaction_device")}


class Undone(Exception):  # noqa: N818 - on purpose
    """Ends a transaction of which nothing is to stay."""

    def __init__(self, left: set[tuple[str, str]]) -> None:
        super().__init__()
        self.left = left


def delete_rows_of(tx: Transaction, owner: Owner, identifier: str) -> None:
    """Delete all rows of an owner, by the columns that the tables declare."""
    for table in tables_of(owner):
        tx.run(f"DELETE FROM {table.name} WHERE {table.owners[owner]} = :identifier", identifier=identifier)


def columns_left_of(world: World, user_id: UserID) -> set[tuple[str, str]]:
    """Which columns would still name a user whose rows are gone. They stay: the transaction is undone."""

    def delete(tx: Transaction) -> None:
        delete_rows_of(tx, Owner.USER, user_id)
        raise Undone(columns_that_name(tx, user_id))

    with pytest.raises(Undone) as undone:
        world.sync_database.write(delete)
    return undone.value.left


def owner_columns(owner: Owner) -> set[tuple[str, str]]:
    """The columns in which an owner stands."""
    return {(table.name, table.owners[owner]) for table in tables_of(owner)}


def test_a_room_is_gone_with_the_rows_that_it_owns(world: World) -> None:
    workload = Workload(world)
    workload.run()
    named = world.sync_database.read(columns_that_name, workload.room_id)

    world.sync_database.write(delete_rows_of, Owner.ROOM, workload.room_id)

    left = world.sync_database.read(columns_that_name, workload.room_id)
    assert named >= owner_columns(Owner.ROOM)
    assert left == OF_ROOMS


def test_other_rooms_keep_their_rows_when_one_goes(world: World) -> None:
    other = world.create_room(BOB, name="Another")
    before = world.sync_database.read(columns_that_name, other)
    workload = Workload(world)
    workload.run()

    world.sync_database.write(delete_rows_of, Owner.ROOM, workload.room_id)

    told = {("sliding_rooms", "room_id")}  # Bob's window shows this one, too
    assert world.sync_database.read(columns_that_name, other) == before | told
    assert len(world.history(BOB, other)) == world.sync_database.read(count_rows)["events"]


def test_users_are_gone_with_the_rows_that_they_own(world: World) -> None:
    workload = Workload(world)
    workload.run()
    named: set[tuple[str, str]] = set()
    left: set[tuple[str, str]] = set()

    for user_id in (ALICE, BOB, CAROL, ELSEWHERE):
        named |= world.sync_database.read(columns_that_name, user_id)
        left |= columns_left_of(world, user_id)

    assert named >= owner_columns(Owner.USER)
    assert left == OF_USERS


def test_a_device_is_gone_with_the_rows_that_it_owns(world: World) -> None:
    workload = Workload(world)
    workload.run()
    laptop = DeviceWish(LAPTOP, "A laptop", wants_refresh_token=True)
    now(world.login.with_password("alice", PASSWORD, laptop))
    keys = {f"{SIGNED}:1": one_time_key(ALICE, device_id=LAPTOP)}
    now(
        world.device_keys.upload(
            ALICE,
            LAPTOP,
            device_keys=device_keys(ALICE, LAPTOP),
            one_time_keys=keys,
            fallback_keys=keys,
        )
    )
    now(world.to_device.send(BOB, None, "org.example", "txn", {ALICE: {LAPTOP: {}}}))
    words = ClientTransaction(LAPTOP, f"send/{workload.room_id}", "txn")
    now(world.sending.send_message(ALICE, workload.room_id, "m.room.message", {}, words))
    Phone(workload.sliding, ALICE, lists=window(), device_id=LAPTOP).ask()
    named = world.sync_database.read(columns_that_name, LAPTOP)

    world.sync_database.write(delete_device_rows, ALICE, [LAPTOP])

    left = world.sync_database.read(columns_that_name, LAPTOP)
    assert owner_columns(Owner.DEVICE) - named == {
        ("dehydrated_devices", "device_id"),  # it is awake
        ("key_signatures", "key_id"),  # nobody signed it
    }
    assert left == OF_DEVICES


def test_what_belongs_to_the_server_alone_names_nobody_but_in_the_book_of_its_administration(world: World) -> None:
    workload = Workload(world)
    workload.run()
    of_server = {table.name for table in TABLES if Owner.SERVER in table.owners}

    named = {
        table
        for identifier in (ALICE, BOB, workload.room_id)
        for table, _ in world.sync_database.read(columns_that_name, identifier)
    }

    assert named & of_server == {"admin_audit", "admin_jobs"}  # who did what to whom: kept, whatever becomes of them
