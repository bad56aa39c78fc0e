"""Profiles, as stored."""

from homeserver.core.identifiers import UserID
from homeserver.storage.profiles import (
    Profile,
    delete_profile,
    delete_profile_field,
    find_profile,
    member_profile,
    profile_fields,
    store_profile,
    store_profile_field,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def test_a_profile_is_stored_and_replaced(db: SyncDatabase) -> None:
    assert db.read(find_profile, ALICE) is None
    assert db.read(member_profile, ALICE) == {}

    db.write(store_profile, ALICE, Profile("Alice", None))
    db.write(store_profile, ALICE, Profile("Alice L.", "mxc://example.org/a"))

    assert db.read(find_profile, ALICE) == Profile("Alice L.", "mxc://example.org/a")
    assert db.read(member_profile, ALICE) == {"displayname": "Alice L.", "avatar_url": "mxc://example.org/a"}


def test_other_fields_are_kept_beside_it(db: SyncDatabase) -> None:
    db.write(store_profile_field, ALICE, "m.tz", b'"Europe/Berlin"')
    db.write(store_profile_field, ALICE, "m.tz", b'"Europe/Rome"')
    db.write(store_profile_field, ALICE, "org.example.pets", b"[1,2]")
    db.write(store_profile_field, BOB, "m.tz", b"null")

    assert db.read(profile_fields, ALICE) == {"m.tz": b'"Europe/Rome"', "org.example.pets": b"[1,2]"}

    db.write(delete_profile_field, ALICE, "m.tz")
    db.write(delete_profile_field, ALICE, "never")
    assert list(db.read(profile_fields, ALICE)) == ["org.example.pets"]


def test_a_whole_profile_goes_and_nobody_elses(db: SyncDatabase) -> None:
    for user_id in (ALICE, BOB):
        db.write(store_profile, user_id, Profile("name", None))
        db.write(store_profile_field, user_id, "m.tz", b"1")

    db.write(delete_profile, ALICE)

    assert db.read(find_profile, ALICE) is None
    assert db.read(profile_fields, ALICE) == {}
    assert db.read(find_profile, BOB) == Profile("name", None)
    assert db.read(profile_fields, BOB) == {"m.tz": b"1"}
