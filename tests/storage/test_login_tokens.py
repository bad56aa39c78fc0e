"""Login tokens, as stored."""

from homeserver.core.identifiers import UserID
from homeserver.storage.login_tokens import delete_login_tokens, insert_login_token, sweep, take_login_token
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")


def test_a_token_is_taken_once_and_in_time(db: SyncDatabase) -> None:
    db.write(insert_login_token, b"one", ALICE, expires_ms=10)
    db.write(insert_login_token, b"late", ALICE, expires_ms=10)

    assert db.write(take_login_token, b"one", now_ms=9) == ALICE
    assert db.write(take_login_token, b"one", now_ms=9) is None
    assert db.write(take_login_token, b"late", now_ms=10) is None
    assert db.write(take_login_token, b"late", now_ms=9) is None


def test_of_two_who_come_with_the_same_token_at_once_one_gets_in(db: SyncDatabase) -> None:
    db.write(insert_login_token, b"one", ALICE, expires_ms=10)

    results = db.write_batch([lambda tx: take_login_token(tx, b"one", now_ms=1)] * 2)

    assert sorted(results, key=str) == [ALICE, None]


def test_tokens_of_a_user_are_taken_back(db: SyncDatabase) -> None:
    db.write(insert_login_token, b"one", ALICE, expires_ms=10)

    db.write(delete_login_tokens, ALICE)

    assert db.write(take_login_token, b"one", now_ms=1) is None


def test_what_has_expired_is_swept_some_at_a_time(db: SyncDatabase) -> None:
    for number in range(5):
        db.write(insert_login_token, bytes([number]), ALICE, expires_ms=number)

    assert db.write(sweep, 2, 2) == 2
    assert db.write(sweep, 2, 2) == 1
    assert db.write(take_login_token, bytes([3]), now_ms=2) == ALICE
