"""Account data: global and per room, since a position and all of it, and how much it is."""

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.account_data import (
    AccountData,
    Usage,
    account_data_since,
    account_data_usage,
    all_account_data,
    find_account_data,
    find_versioned,
    store_account_data,
    swap_account_data,
)
from homeserver.storage.database import Conflict
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ROOM = RoomID("!room:example.org")
GLOBAL = AccountData(None, "org.example", b'{"global":1}')
OF_ROOM = AccountData(ROOM, "org.example", b'{"room":1}')


def test_data_of_one_type_is_kept_apart_globally_and_per_room_and_user(db: SyncDatabase) -> None:
    db.write(store_account_data, ALICE, GLOBAL, log_position=1)
    db.write(store_account_data, ALICE, OF_ROOM, log_position=2)

    assert db.read(find_account_data, ALICE, None, "org.example") == GLOBAL.content
    assert db.read(find_versioned, ALICE, ROOM, "org.example") == (OF_ROOM.content, 2)
    assert db.read(find_account_data, BOB, None, "org.example") is None
    assert db.read(all_account_data, ALICE) == [GLOBAL, OF_ROOM]


def test_the_newest_content_counts_at_the_position_of_its_writing(db: SyncDatabase) -> None:
    db.write(store_account_data, ALICE, GLOBAL, log_position=1)
    db.write(store_account_data, ALICE, OF_ROOM, log_position=2)
    db.write(store_account_data, BOB, GLOBAL, log_position=3)
    changed = AccountData(None, "org.example", b"{}")

    db.write(store_account_data, ALICE, changed, log_position=4)

    assert db.read(account_data_since, ALICE, after=0, upto=9) == [OF_ROOM, changed]
    assert db.read(account_data_since, ALICE, after=2, upto=4) == [changed]
    assert db.read(account_data_since, ALICE, after=0, upto=3) == [OF_ROOM]
    assert db.read(account_data_since, ALICE, after=4, upto=9) == []


def test_a_swap_succeeds_only_on_what_was_seen(db: SyncDatabase) -> None:
    db.write(swap_account_data, ALICE, GLOBAL, seen=None, log_position=1)
    db.write(swap_account_data, ALICE, AccountData(None, "org.example", b"{}"), seen=1, log_position=2)

    for seen in (None, 1):
        with pytest.raises(Conflict):
            db.write(swap_account_data, ALICE, GLOBAL, seen=seen, log_position=3)

    assert db.read(find_versioned, ALICE, None, "org.example") == (b"{}", 2)


def test_usage_counts_pieces_and_bytes_of_one_user(db: SyncDatabase) -> None:
    assert db.read(account_data_usage, ALICE) == Usage(0, 0)

    db.write(store_account_data, ALICE, GLOBAL, log_position=1)
    db.write(store_account_data, ALICE, OF_ROOM, log_position=2)
    db.write(store_account_data, BOB, GLOBAL, log_position=3)

    assert db.read(account_data_usage, ALICE) == Usage(2, len(GLOBAL.content) + len(OF_ROOM.content))
