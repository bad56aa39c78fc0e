"""The keys that this server has signed by: at most one is in use."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import KeyID
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.signing import VerifyKey
from homeserver.storage.own_keys import own_keys, use_own_key
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

A, B = (VerifyKey(KeyID(f"ed25519:{name}"), bytes(32)) for name in "ab")
OTHER_A = VerifyKey(A.key_id, b"\x01" * 32)


def test_the_key_before_expires_when_another_is_used(db: SyncDatabase) -> None:
    db.write(use_own_key, A, now_ms=1)
    db.write(use_own_key, B, now_ms=2)

    assert db.read(own_keys) == [PublishedKey(A, 2, 2), PublishedKey(B, FOR_EVER_MS)]


def test_when_a_key_expired_is_not_changed_by_later_ones(db: SyncDatabase) -> None:
    for now_ms, key in enumerate((A, B, OTHER_A)):
        db.write(use_own_key, key, now_ms=now_ms)

    assert db.read(own_keys) == [PublishedKey(A, 1, 1), PublishedKey(OTHER_A, FOR_EVER_MS), PublishedKey(B, 2, 2)]


def test_an_old_key_can_be_used_again(db: SyncDatabase) -> None:
    for now_ms, key in enumerate((A, B, A)):
        db.write(use_own_key, key, now_ms=now_ms)

    assert db.read(own_keys) == [PublishedKey(A, FOR_EVER_MS), PublishedKey(B, 2, 2)]


def test_old_keys_are_noted_with_their_own_times_once_and_for_all(db: SyncDatabase) -> None:
    db.write(use_own_key, A, now_ms=1)

    db.write(use_own_key, B, [PublishedKey(A, 5, 5), PublishedKey(OTHER_A, 3, 3)], now_ms=9)
    db.write(use_own_key, B, [PublishedKey(A, 7, 7)], now_ms=10)

    assert db.read(own_keys) == [PublishedKey(A, 5, 5), PublishedKey(OTHER_A, 3, 3), PublishedKey(B, FOR_EVER_MS)]


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(used=st.lists(st.sampled_from([A, B, OTHER_A]), min_size=1, max_size=8))
def test_the_last_one_used_is_the_only_one_in_use(db: SyncDatabase, used: list[VerifyKey]) -> None:
    db.write(empty, ("own_keys",))

    for now_ms, key in enumerate(used):
        db.write(use_own_key, key, now_ms=now_ms)

    kept = db.read(own_keys)
    assert {key.verify_key for key in kept} == set(used)
    assert [key.verify_key for key in kept if key.expired_ms is None] == [used[-1]]
