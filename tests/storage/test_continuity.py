"""Whether a database is the one that ran last; and what it does not do again when it is not."""

from homeserver.core.device_keys import KeyClaim, OneTimeKey
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.continuity import Continuity, break_continuity, find_continuity, set_mark
from homeserver.storage.device_keys import (
    CLAIMED_KEPT_MS,
    claim_fallback_keys,
    claim_one_time_keys,
    find_one_time_keys,
    forget_claimed_keys,
    insert_one_time_keys,
    key_counts,
    store_fallback_keys,
    sweep_claimed,
    use_up_fallback_keys,
    withhold_one_time_keys,
)
from tests.databases import SyncDatabase

ALICE, PHONE = UserID("@alice:example.org"), DeviceID("PHONE")
SIGNED = "signed_curve25519"
CLAIM = KeyClaim(ALICE, PHONE, SIGNED)


def add(db: SyncDatabase, *names: str) -> None:
    db.write(insert_one_time_keys, ALICE, PHONE, [OneTimeKey(SIGNED, name, {"key": name}) for name in names])


def claim(db: SyncDatabase) -> list[str]:
    return [one.key_id for one in db.write(claim_one_time_keys, [CLAIM], now_ms=1)]


def test_a_fresh_database_knows_no_mark_and_later_the_last_one(db: SyncDatabase) -> None:
    fresh = db.read(find_continuity)

    db.write(set_mark, "one")
    db.write(set_mark, "two")

    assert fresh.mark is None
    assert db.read(find_continuity) == Continuity("two", db.database.position)


def test_after_a_break_keys_of_before_are_neither_handed_out_nor_counted(db: SyncDatabase) -> None:
    add(db, "A", "B")
    db.write(break_continuity, now_ms=5)

    add(db, "C")

    assert db.read(key_counts, ALICE, PHONE).one_time == {SIGNED: 1}
    assert claim(db) == ["C"]
    assert claim(db) == []


def test_a_key_that_is_withheld_stays_so_when_its_upload_is_tried_again_or_its_id_is_given_to_another(
    db: SyncDatabase,
) -> None:
    add(db, "A", "B")

    db.write(break_continuity, now_ms=5)
    found = db.read(find_one_time_keys, ALICE, PHONE, ["A", "B"])
    db.write(forget_claimed_keys, ALICE, PHONE, ["B"])

    assert {stored.is_claimed for stored in found.values()} == {True}
    assert db.read(find_one_time_keys, ALICE, PHONE, ["A", "B"]).keys() == {f"{SIGNED}:A"}


def test_keys_of_one_device_are_withheld_without_a_break(db: SyncDatabase) -> None:
    add(db, "A", "B")
    claim(db)

    withheld = db.write(withhold_one_time_keys, ALICE, PHONE, now_ms=5)

    assert withheld == 1
    assert db.write(withhold_one_time_keys, ALICE, PHONE, now_ms=5) == 0
    assert claim(db) == []


def test_a_second_break_without_any_keys_withholds_what_the_first_did(db: SyncDatabase) -> None:
    add(db, "A")

    db.write(break_continuity, now_ms=5)
    db.write(break_continuity, now_ms=6)

    assert claim(db) == []


def test_withheld_keys_are_forgotten_as_long_after_the_break_as_those_that_were_handed_out(db: SyncDatabase) -> None:
    add(db, "A", "B")
    db.write(break_continuity, now_ms=5)
    add(db, "C")

    kept = db.write(sweep_claimed, 5 + CLAIMED_KEPT_MS, 10)
    gone = db.write(sweep_claimed, 6 + CLAIMED_KEPT_MS, 1), db.write(sweep_claimed, 6 + CLAIMED_KEPT_MS, 10)

    assert (kept, gone) == (0, (1, 1))
    assert db.write(sweep_claimed, 6 + CLAIMED_KEPT_MS, 10) == 0
    assert claim(db) == ["C"]


def test_used_up_fallback_keys_are_still_handed_out(db: SyncDatabase) -> None:
    db.write(store_fallback_keys, ALICE, PHONE, [OneTimeKey(SIGNED, "F", {"key": "F"})])

    db.write(use_up_fallback_keys)

    assert db.read(key_counts, ALICE, PHONE).unused_fallback == []
    assert [one.key_id for one in db.write(claim_fallback_keys, [CLAIM])] == ["F"]
