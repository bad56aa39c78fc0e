"""Accounts as administrators look through them."""

from collections.abc import Sequence

import pytest

from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.database import Transaction
from homeserver.storage.devices import Sighting, insert_device, store_sightings
from homeserver.storage.profiles import Profile, store_profile
from homeserver.storage.users import ORDERS, UserFilter, count_users, find_listed_user, users_page
from tests.databases import SyncDatabase

SERVER = ServerName("example.org")


def user(name: str) -> UserID:
    return UserID(f"@{name}:{SERVER}")


ACCOUNTS = (
    Account(user("alice"), AccountKind.USER, 3, is_admin=True),
    Account(user("bob_1"), AccountKind.USER, 2, is_locked=True, is_suspended=True),
    Account(user("carol"), AccountKind.USER, 1, is_deactivated=True, is_erased=True),
    Account(user("guest"), AccountKind.GUEST, 4),
    Account(user("ex%le"), AccountKind.APPSERVICE, 5, appservice_id="bridge"),
)


@pytest.fixture
def filled(db: SyncDatabase) -> SyncDatabase:
    def fill(tx: Transaction) -> None:
        for account in ACCOUNTS:
            insert_account(tx, account)
        store_profile(tx, user("alice"), Profile("Äliçe 100%", "mxc://example.org/a"))
        store_profile(tx, user("guest"), Profile("Zoe Bob_1", None))
        for device_id, seen_ms in (("A", 70), ("B", 90)):
            insert_device(tx, user("bob_1"), DeviceID(device_id), display_name=None, now_ms=1)
            store_sightings(tx, [Sighting(user("bob_1"), DeviceID(device_id), seen_ms, "192.0.2.1", "")])
        insert_device(tx, user("guest"), DeviceID("new"), display_name=None, now_ms=80)

    db.write(fill)
    return db


def names(
    db: SyncDatabase,
    wanted: UserFilter = UserFilter(),
    order: str = "name",
    *,
    down: bool = False,
    offset: int = 0,
    limit: int = 9,
) -> Sequence[str]:
    found = db.read(users_page, wanted, SERVER, order=order, is_descending=down, offset=offset, limit=limit)
    if offset == 0 and limit == 9:
        assert db.read(count_users, wanted, SERVER) == len(found)
    return [one.user_id[1:].partition(":")[0] for one in found]


def test_a_user_is_listed_with_how_they_are_shown_and_when_they_were_seen(filled: SyncDatabase) -> None:
    bob = filled.read(find_listed_user, user("bob_1"))
    alice = filled.read(find_listed_user, user("alice"))

    assert bob is not None
    assert alice is not None
    assert (bob.last_seen_ms, bob.is_locked, bob.is_suspended, bob.is_admin) == (90, True, True, False)
    assert (alice.display_name, alice.avatar_url, alice.is_admin) == ("Äliçe 100%", "mxc://example.org/a", True)
    assert filled.read(find_listed_user, user("nobody")) is None


def test_a_device_that_was_not_noted_yet_was_seen_when_it_logged_in(filled: SyncDatabase) -> None:
    guest = filled.read(find_listed_user, user("guest"))

    assert guest is not None
    assert guest.last_seen_ms == 80
    assert names(filled, order="last_seen_ts", down=True)[:2] == ["bob_1", "guest"]


def test_users_are_filtered(filled: SyncDatabase) -> None:
    assert names(filled, UserFilter(is_guest=False)) == ["alice", "bob_1", "carol", "ex%le"]
    assert names(filled, UserFilter(is_guest=True)) == ["guest"]
    assert names(filled, UserFilter(is_admin=True)) == ["alice"]
    assert names(filled, UserFilter(is_admin=False)) == ["bob_1", "carol", "ex%le", "guest"]
    assert names(filled, UserFilter(is_deactivated=True)) == ["carol"]
    assert names(filled, UserFilter(is_deactivated=False, is_locked=False)) == ["alice", "ex%le", "guest"]


def test_users_are_found_by_parts_of_names_whatever_these_hold(filled: SyncDatabase) -> None:
    assert names(filled, UserFilter(part_of_name="BOB_1")) == ["bob_1", "guest"]
    assert names(filled, UserFilter(part_of_name="b_b")) == []
    assert names(filled, UserFilter(part_of_name="%")) == ["alice", "ex%le"]
    assert names(filled, UserFilter(part_of_name="liçe")) == ["alice"]
    assert names(filled, UserFilter(part_of_name="example.org")) == []
    assert names(filled, UserFilter(part_of_user_id="example.org")) == ["alice", "bob_1", "carol", "ex%le", "guest"]
    assert names(filled, UserFilter(part_of_user_id="@ALI")) == ["alice"]
    assert names(filled, UserFilter(part_of_name="!' OR 1")) == []


def test_users_are_sorted_both_ways_and_paged(filled: SyncDatabase) -> None:
    assert names(filled, order="creation_ts") == ["carol", "bob_1", "alice", "guest", "ex%le"]
    assert names(filled, order="creation_ts", down=True) == ["ex%le", "guest", "alice", "bob_1", "carol"]
    assert names(filled, order="displayname", down=True)[0] == "alice"
    assert names(filled, order="last_seen_ts", down=True)[0] == "bob_1"
    assert names(filled, offset=1, limit=2) == ["bob_1", "carol"]
    for order in ORDERS:
        assert sorted(names(filled, order=order)) == sorted(names(filled, order=order, down=True))
