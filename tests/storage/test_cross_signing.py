"""Cross-signing keys and signatures, and who sees them."""

from collections.abc import Sequence

from homeserver.core.cross_signing import CrossSigningKey, KeyUsage, VerifiedSignature
from homeserver.core.identifiers import DeviceID, KeyID, UserID
from homeserver.storage.cross_signing import (
    PublishedKeys,
    StoredSignature,
    cross_signing_keys_of,
    delete_cross_signing_key,
    forget_signatures_by,
    forget_signatures_on,
    key_signatures_on,
    master_keys_of,
    note_user_signing_change,
    private_changes_of,
    published_keys,
    store_cross_signing_keys,
    store_key_signatures,
    store_user_signatures,
)
from homeserver.storage.database import Transaction
from homeserver.storage.device_keys import store_device_keys
from homeserver.storage.devices import insert_device
from homeserver.storage.owned_rows import delete_device_rows
from tests.databases import SyncDatabase
from tests.storage.statements import CountedStatements

ALICE, BOB, CAROL = (UserID(f"@{name}:example.org") for name in ("alice", "bob", "carol"))
PHONE = DeviceID("PHONE")


def key_of(user_id: UserID, usage: KeyUsage, public_key: str) -> CrossSigningKey:
    return CrossSigningKey(user_id, usage, public_key, {"user_id": user_id, "usage": [usage.value]})


def signature(signer: UserID, by: str, text: str = "signature") -> VerifiedSignature:
    return VerifiedSignature(signer, KeyID(f"ed25519:{by}"), text)


def store(db: SyncDatabase, *keys: CrossSigningKey) -> None:
    db.write(store_cross_signing_keys, keys)


def sign_user(db: SyncDatabase, user_id: UserID, key_id: str, signatures: Sequence[VerifiedSignature], at: int) -> None:
    db.write(store_user_signatures, user_id, key_id, signatures, log_position=at)


def test_keys_are_stored_without_signatures_one_for_each_usage(db: SyncDatabase) -> None:
    master = key_of(ALICE, KeyUsage.MASTER, "m1")
    store(db, CrossSigningKey(ALICE, KeyUsage.MASTER, "m1", {**master.payload, "signatures": {ALICE: {}}}))
    store(db, key_of(ALICE, KeyUsage.SELF_SIGNING, "s1"), key_of(BOB, KeyUsage.MASTER, "b1"))
    store(db, key_of(ALICE, KeyUsage.SELF_SIGNING, "s2"))

    assert db.read(cross_signing_keys_of, ALICE) == {
        KeyUsage.MASTER: master,
        KeyUsage.SELF_SIGNING: key_of(ALICE, KeyUsage.SELF_SIGNING, "s2"),
    }
    assert db.read(master_keys_of, [ALICE, BOB, CAROL]) == {ALICE: master, BOB: key_of(BOB, KeyUsage.MASTER, "b1")}


def test_a_deleted_key_is_gone(db: SyncDatabase) -> None:
    store(db, key_of(ALICE, KeyUsage.MASTER, "m1"), key_of(ALICE, KeyUsage.SELF_SIGNING, "s1"))

    db.write(delete_cross_signing_key, ALICE, KeyUsage.MASTER)

    assert db.read(cross_signing_keys_of, ALICE).keys() == {KeyUsage.SELF_SIGNING}


def test_signatures_on_other_users_are_published_to_their_signer_alone(db: SyncDatabase) -> None:
    store(db, key_of(ALICE, KeyUsage.MASTER, "m1"))
    db.write(store_key_signatures, ALICE, "m1", [signature(ALICE, "PHONE")])
    sign_user(db, ALICE, "m1", [signature(BOB, "u1")], 5)

    def shown_to(viewer: str) -> list[StoredSignature]:
        return db.read(published_keys, [ALICE], viewer_id=viewer).signatures

    own = StoredSignature(ALICE, "m1", ALICE, "ed25519:PHONE", "signature")
    bobs = StoredSignature(ALICE, "m1", BOB, "ed25519:u1", "signature")
    assert shown_to(ALICE) == shown_to(CAROL) == shown_to("") == [own]
    assert shown_to(BOB) == [own, bobs]


def test_the_keys_of_a_hundred_users_are_one_statement(db: SyncDatabase) -> None:
    users = [UserID(f"@user{number}:example.org") for number in range(100)]
    for user_id in users:
        db.write(insert_device, user_id, PHONE, display_name=f"phone of {user_id}", now_ms=1)
        db.write(store_device_keys, user_id, PHONE, b'{"a":1}')
        store(db, key_of(user_id, KeyUsage.MASTER, f"m {user_id}"))

    def publish(tx: Transaction) -> tuple[PublishedKeys, int]:
        counted = CountedStatements(tx)
        return published_keys(counted, users, viewer_id=ALICE), counted.count

    published, statements = db.read(publish)

    assert statements == 1
    assert {device.user_id for device in published.devices} == set(users)
    assert {device.display_name for device in published.devices} == {f"phone of {user_id}" for user_id in users}
    assert {device.keys for device in published.devices} == {b'{"a":1}'}
    assert len(published.cross_signing_keys) == 100


def test_keys_without_a_device_are_not_published(db: SyncDatabase) -> None:
    db.write(store_device_keys, ALICE, PHONE, b"{}")

    assert db.read(published_keys, [ALICE], viewer_id=ALICE).devices == []


def test_whom_a_user_signed_is_found_by_position(db: SyncDatabase) -> None:
    sign_user(db, BOB, "b1", [signature(ALICE, "u1")], 5)
    sign_user(db, CAROL, "c1", [signature(ALICE, "u1")], 6)
    sign_user(db, ALICE, "m1", [signature(BOB, "u2")], 7)

    assert db.read(private_changes_of, ALICE, after=4, upto=9) == {BOB, CAROL}
    assert db.read(private_changes_of, ALICE, after=5, upto=9) == {CAROL}
    assert db.read(private_changes_of, CAROL, after=0, upto=9) == set()


def test_where_a_user_signing_key_changed_is_private_too_until_it_is_gone(db: SyncDatabase) -> None:
    store(db, key_of(ALICE, KeyUsage.USER_SIGNING, "u1"), key_of(ALICE, KeyUsage.MASTER, "m1"))

    db.write(note_user_signing_change, ALICE, 5)

    assert db.read(private_changes_of, ALICE, after=4, upto=5) == {ALICE}
    assert db.read(private_changes_of, ALICE, after=5, upto=9) == set()
    assert db.read(private_changes_of, BOB, after=0, upto=9) == set()
    db.write(delete_cross_signing_key, ALICE, KeyUsage.USER_SIGNING)
    assert db.read(private_changes_of, ALICE, after=4, upto=5) == set()


def test_signatures_on_a_key_that_is_gone_are_forgotten(db: SyncDatabase) -> None:
    db.write(store_key_signatures, ALICE, "m1", [signature(ALICE, "PHONE")])
    db.write(store_key_signatures, ALICE, "PHONE", [signature(ALICE, "s1")])
    sign_user(db, ALICE, "m1", [signature(BOB, "u1")], 5)

    db.write(forget_signatures_on, ALICE, "m1")

    left = db.read(published_keys, [ALICE], viewer_id=BOB).signatures
    assert left == [StoredSignature(ALICE, "PHONE", ALICE, "ed25519:s1", "signature")]


def test_signatures_by_a_key_that_is_gone_are_forgotten(db: SyncDatabase) -> None:
    db.write(store_key_signatures, ALICE, "PHONE", [signature(ALICE, "s1"), signature(ALICE, "s2")])
    sign_user(db, BOB, "b1", [signature(ALICE, "s1")], 5)

    db.write(forget_signatures_by, ALICE, "ed25519:s1")

    assert db.read(key_signatures_on, ALICE, "PHONE") == [signature(ALICE, "s2")]
    assert db.read(private_changes_of, ALICE, after=0, upto=9) == set()


def test_signatures_on_a_device_go_with_it(db: SyncDatabase) -> None:
    db.write(store_key_signatures, ALICE, "PHONE", [signature(ALICE, "s1")])
    db.write(store_key_signatures, ALICE, "m1", [signature(ALICE, "PHONE")])

    db.write(delete_device_rows, ALICE, [PHONE])

    assert db.read(key_signatures_on, ALICE, "PHONE") == []
    assert db.read(key_signatures_on, ALICE, "m1") == [signature(ALICE, "PHONE")]
