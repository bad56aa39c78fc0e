"""OpenID tokens, as stored."""

from homeserver.core.identifiers import UserID
from homeserver.storage.openid_tokens import find_openid_user, insert_openid_token, sweep
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")


def test_a_token_is_somebodys_until_it_expires(db: SyncDatabase) -> None:
    db.write(insert_openid_token, b"one", ALICE, expires_ms=10)

    assert db.read(find_openid_user, b"one", now_ms=9) == ALICE
    assert db.read(find_openid_user, b"one", now_ms=9) == ALICE
    assert db.read(find_openid_user, b"one", now_ms=10) is None
    assert db.read(find_openid_user, b"other", now_ms=1) is None


def test_what_has_expired_is_swept_some_at_a_time(db: SyncDatabase) -> None:
    for number in range(5):
        db.write(insert_openid_token, bytes([number]), ALICE, expires_ms=number)

    assert db.write(sweep, 2, 2) == 2
    assert db.write(sweep, 2, 2) == 1
    assert db.read(find_openid_user, bytes([3]), now_ms=2) == ALICE
