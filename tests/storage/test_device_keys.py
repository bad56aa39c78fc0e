"""Device keys, one-time keys and fallback keys: stored, counted, handed out once."""

from collections.abc import Sequence

import orjson

from homeserver.core.device_keys import KeyClaim, OneTimeKey
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.device_keys import (
    CLAIMED_KEPT_MS,
    ClaimedKey,
    KeyCounts,
    claim_fallback_keys,
    claim_one_time_keys,
    device_keys_of_user,
    fallback_keys_of,
    find_device_keys,
    find_one_time_keys,
    forget_claimed_keys,
    insert_one_time_keys,
    key_counts,
    store_device_keys,
    store_fallback_keys,
    sweep_claimed,
)
from homeserver.storage.devices import insert_device
from homeserver.storage.owned_rows import delete_device_rows
from tests.databases import SyncDatabase
from tests.storage.statements import CountedStatements

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
PHONE, LAPTOP = DeviceID("PHONE"), DeviceID("LAPTOP")
SIGNED = "signed_curve25519"


def key(name: str, algorithm: str = SIGNED) -> OneTimeKey:
    return OneTimeKey(algorithm, name, {"key": f"public {name}", "signatures": {}})


def add(db: SyncDatabase, *names: str, user: UserID = ALICE, device: DeviceID = PHONE, algorithm: str = SIGNED) -> None:
    db.write(insert_one_time_keys, user, device, [key(name, algorithm) for name in names])


def claim(db: SyncDatabase, *claims: KeyClaim, now_ms: int = 1) -> list[ClaimedKey]:
    return db.write(claim_one_time_keys, claims, now_ms=now_ms)


def names(claimed: Sequence[ClaimedKey]) -> list[str]:
    return sorted(one.full_id for one in claimed)


ALICES = KeyClaim(ALICE, PHONE, SIGNED)


def test_a_device_has_the_keys_that_it_published_last(db: SyncDatabase) -> None:
    db.write(store_device_keys, ALICE, PHONE, b'{"old":1}')
    db.write(store_device_keys, ALICE, PHONE, b'{"new":1}')

    assert db.read(find_device_keys, ALICE, PHONE) == b'{"new":1}'
    assert db.read(find_device_keys, ALICE, LAPTOP) is None
    assert db.read(find_device_keys, BOB, PHONE) is None


def test_the_devices_of_a_user_are_listed_with_and_without_keys(db: SyncDatabase) -> None:
    db.write(insert_device, ALICE, PHONE, display_name=None, now_ms=1)
    db.write(insert_device, ALICE, LAPTOP, display_name=None, now_ms=1)
    db.write(insert_device, BOB, PHONE, display_name=None, now_ms=1)
    db.write(store_device_keys, ALICE, PHONE, b'{"a":1}')

    assert db.read(device_keys_of_user, ALICE) == {"PHONE": {"a": 1}, "LAPTOP": {}}


def test_each_one_time_key_is_handed_out_once_and_the_oldest_first(db: SyncDatabase) -> None:
    add(db, "b")
    add(db, "a")

    first, second, third = (claim(db, ALICES) for _ in range(3))

    assert names(first) == ["signed_curve25519:b"]
    assert orjson.loads(first[0].key) == key("b").key
    assert names(second) == ["signed_curve25519:a"]
    assert third == []


def test_a_claim_takes_no_key_of_another_user_device_or_algorithm(db: SyncDatabase) -> None:
    add(db, "1", user=BOB)
    add(db, "2", device=LAPTOP)
    add(db, "3", algorithm="org.example.future")

    assert claim(db, ALICES) == []
    assert names(claim(db, KeyClaim(ALICE, PHONE, "org.example.future"))) == ["org.example.future:3"]


def test_names_with_quotes_and_spaces_do_not_run_together(db: SyncDatabase) -> None:
    odd = DeviceID('a","b')
    add(db, "1", device=odd, algorithm="c")

    assert claim(db, KeyClaim(ALICE, DeviceID("a"), 'b","c')) == []
    assert names(claim(db, KeyClaim(ALICE, odd, "c"))) == ["c:1"]


def test_a_claim_for_a_hundred_devices_is_one_statement(db: SyncDatabase) -> None:
    devices = [DeviceID(f"DEVICE{number}") for number in range(100)]
    for device in devices:
        add(db, "1", "2", "3", device=device)

    def claim_all(tx: Transaction) -> tuple[list[ClaimedKey], int]:
        counted = CountedStatements(tx)
        claimed = claim_one_time_keys(counted, [KeyClaim(ALICE, device, SIGNED) for device in devices], now_ms=1)
        return claimed, counted.count

    claimed, statements = db.write(claim_all)

    assert statements == 1
    assert len({one.claim.device_id for one in claimed}) == 100
    assert db.read(key_counts, ALICE, devices[7]).one_time == {SIGNED: 2}


def test_claims_in_one_batch_get_different_keys(db: SyncDatabase) -> None:
    add(db, *map(str, range(5)))

    claimed = db.write_batch([lambda tx: claim_one_time_keys(tx, [ALICES], now_ms=1)] * 5)

    assert len({names(one)[0] for one in claimed}) == 5


def test_counts_tell_what_is_left_by_algorithm(db: SyncDatabase) -> None:
    add(db, "1", "2")
    add(db, "3", algorithm="curve25519")
    db.write(store_fallback_keys, ALICE, PHONE, [key("f"), key("g", "org.example.future")])
    claim(db, ALICES)
    db.write(claim_fallback_keys, [ALICES])

    counts = db.read(key_counts, ALICE, PHONE)

    assert counts == KeyCounts({"curve25519": 1, SIGNED: 1}, ["org.example.future"])
    assert db.read(key_counts, ALICE, LAPTOP) == KeyCounts({}, [])


def test_counts_take_no_key_of_a_device_with_a_similar_name(db: SyncDatabase) -> None:
    names_alike = ["A", "AB", 'A"', 'A","', "A ", "A#", "A]", "Ä", "A\\", ""]
    for number, name in enumerate(names_alike):
        add(db, *map(str, range(number + 1)), device=DeviceID(name))

    counted = [db.read(key_counts, ALICE, DeviceID(name)).one_time for name in names_alike]

    assert counted == [{SIGNED: number + 1} for number in range(len(names_alike))]


def test_a_fallback_key_is_handed_out_again_and_again(db: SyncDatabase) -> None:
    db.write(store_fallback_keys, ALICE, PHONE, [key("f")])

    first, second = (db.write(claim_fallback_keys, [ALICES, KeyClaim(BOB, PHONE, SIGNED)]) for _ in range(2))

    assert names(first) == names(second) == ["signed_curve25519:f"]


def test_a_new_fallback_key_of_an_algorithm_is_unused(db: SyncDatabase) -> None:
    db.write(store_fallback_keys, ALICE, PHONE, [key("f")])
    db.write(claim_fallback_keys, [ALICES])

    db.write(store_fallback_keys, ALICE, PHONE, [key("g")])

    assert db.read(key_counts, ALICE, PHONE).unused_fallback == [SIGNED]
    assert db.read(fallback_keys_of, ALICE, PHONE) == {SIGNED: key("g")}


def test_a_claimed_key_is_remembered_until_it_is_forgotten(db: SyncDatabase) -> None:
    add(db, "1", "2")
    claim(db, ALICES)

    found = db.read(find_one_time_keys, ALICE, PHONE, ["1", "2", "3"])
    db.write(forget_claimed_keys, ALICE, PHONE, ["1", "2"])

    assert {name: stored.is_claimed for name, stored in found.items()} == {f"{SIGNED}:1": True, f"{SIGNED}:2": False}
    assert found[f"{SIGNED}:2"].key == key("2")
    assert db.read(find_one_time_keys, ALICE, PHONE, ["1", "2"]).keys() == {f"{SIGNED}:2"}


def test_claimed_keys_expire_and_unclaimed_ones_do_not(db: SyncDatabase) -> None:
    add(db, "1", "2", "3")
    claim(db, ALICES, now_ms=1)
    claim(db, ALICES, now_ms=CLAIMED_KEPT_MS)

    assert db.write(sweep_claimed, CLAIMED_KEPT_MS + 2, 10) == 1
    assert db.read(find_one_time_keys, ALICE, PHONE, ["1", "2", "3"]).keys() == {f"{SIGNED}:2", f"{SIGNED}:3"}


def test_the_keys_of_a_device_go_with_it(db: SyncDatabase) -> None:
    for device in (PHONE, LAPTOP):
        db.write(store_device_keys, ALICE, device, b"{}")
        add(db, "1", device=device)
        db.write(store_fallback_keys, ALICE, device, [key("f")])

    db.write(delete_device_rows, ALICE, [PHONE])

    assert db.read(find_device_keys, ALICE, PHONE) is None
    assert db.read(key_counts, ALICE, PHONE) == KeyCounts({}, [])
    assert db.read(key_counts, ALICE, LAPTOP) == KeyCounts({SIGNED: 1}, [SIGNED])
