"""Accounts, as stored."""

from dataclasses import replace

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.storage.accounts import (
    Account,
    AccountKind,
    accounts_after,
    find_account,
    guests_in_room,
    insert_account,
    is_guest,
    rooms_with_guests,
    set_password_hash,
    update_account,
)
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, store_memberships
from tests.databases import SyncDatabase

ALICE = Account(UserID("@alice:example.org"), AccountKind.USER, 1_700_000_000_000, password_hash="hash")


def test_an_account_is_read_as_it_was_stored(db: SyncDatabase) -> None:
    bridged = Account(
        UserID("@bridge_bot:example.org"),
        AccountKind.APPSERVICE,
        1,
        appservice_id="bridge",
        is_admin=True,
        is_locked=True,
        is_suspended=True,
        is_shadow_banned=True,
        is_rate_limited=False,
        rate_limit=RateLimit(per_second=0.5, burst=3),
        probation_until_ms=7,
    )

    for account in (ALICE, bridged):
        assert db.write(insert_account, account)

    assert db.read(find_account, ALICE.user_id) == ALICE
    assert db.read(find_account, bridged.user_id) == bridged


def test_a_user_id_has_one_account(db: SyncDatabase) -> None:
    db.write(insert_account, ALICE)

    assert not db.write(insert_account, replace(ALICE, password_hash="another", is_admin=True))

    assert db.read(find_account, ALICE.user_id) == ALICE


def test_of_two_who_want_the_same_name_at_once_one_gets_it(db: SyncDatabase) -> None:
    results = db.write_batch([lambda tx: insert_account(tx, ALICE), lambda tx: insert_account(tx, ALICE)])

    assert sorted(results) == [False, True]


def test_what_changes_is_stored_and_the_rest_stays(db: SyncDatabase) -> None:
    db.write(insert_account, ALICE)

    changed = replace(ALICE, is_deactivated=True, is_erased=True, password_hash=None)
    db.write(update_account, changed)
    assert db.read(find_account, ALICE.user_id) == changed

    db.write(set_password_hash, ALICE.user_id, "newer")
    assert db.read(find_account, ALICE.user_id) == replace(changed, password_hash="newer")


def test_pages_of_accounts_meet_everybody_once(db: SyncDatabase) -> None:
    accounts = [replace(ALICE, user_id=UserID(f"@user{number}:example.org")) for number in range(5)]
    for account in accounts:
        db.write(insert_account, account)

    first = db.read(accounts_after, "", limit=3)
    second = db.read(accounts_after, first[-1].user_id, limit=3)

    assert first + second == accounts


def member(room_id: RoomID, user_id: UserID, membership: str) -> Membership:
    return Membership(
        room_id=room_id,
        user_id=user_id,
        membership=membership,
        event_id=EventID("$member"),
        sender=user_id,
        place=1,
        log_position=1,
        display_name=None,
        avatar_url=None,
        is_local=True,
        is_forgotten=False,
        stripped_state=None,
        joined_place=None,
    )


def test_guests_are_found_in_the_rooms_that_they_are_in(db: SyncDatabase) -> None:
    guest, gone = UserID("@guest:example.org"), UserID("@gone:example.org")
    room, other = RoomID("!room:example.org"), RoomID("!other:example.org")

    def fill(tx: Transaction) -> None:
        for account in (ALICE, Account(guest, AccountKind.GUEST, 1), Account(gone, AccountKind.GUEST, 1)):
            insert_account(tx, account)
        store_memberships(
            tx,
            [
                member(room, ALICE.user_id, "join"),
                member(other, ALICE.user_id, "join"),
                member(room, guest, "join"),
                member(room, gone, "leave"),
                member(other, gone, "invite"),
            ],
        )

    db.write(fill)

    assert [db.read(is_guest, each) for each in (guest, gone, ALICE.user_id, UserID("@x:example.org"))] == [
        True,
        True,
        False,
        False,
    ]
    assert db.read(rooms_with_guests) == [room]
    assert db.read(guests_in_room, room) == [guest]
    assert db.read(guests_in_room, other) == []
