"""Registration tokens, as stored."""

import pytest

from homeserver.storage.registration_tokens import (
    RegistrationToken,
    change_registration_token,
    delete_registration_token,
    find_registration_token,
    insert_registration_token,
    registration_tokens,
    use_registration_token,
)
from tests.databases import SyncDatabase

TOKEN = RegistrationToken("welcome", 2, 0, 1, 10)


def test_a_token_is_kept_changed_and_deleted(db: SyncDatabase) -> None:
    assert db.write(insert_registration_token, TOKEN)
    assert not db.write(insert_registration_token, TOKEN)
    assert db.read(find_registration_token, "welcome") == TOKEN

    assert db.write(change_registration_token, "welcome", uses_allowed=None, expires_ms=None)
    assert db.read(registration_tokens) == [RegistrationToken("welcome", None, 0, 1, None)]

    assert db.write(delete_registration_token, "welcome")
    assert not db.write(delete_registration_token, "welcome")
    assert not db.write(change_registration_token, "welcome", uses_allowed=1, expires_ms=None)


def test_a_token_is_used_as_often_as_it_allows_even_at_once(db: SyncDatabase) -> None:
    db.write(insert_registration_token, TOKEN)

    results = db.write_batch([lambda tx: use_registration_token(tx, "welcome", now_ms=5)] * 3)

    assert results == [True, True, False]
    found = db.read(find_registration_token, "welcome")
    assert found is not None
    assert found.times_used == 2


def test_a_token_is_not_used_after_its_time(db: SyncDatabase) -> None:
    db.write(insert_registration_token, TOKEN)

    assert not db.write(use_registration_token, "welcome", now_ms=10)
    assert not db.write(use_registration_token, "unknown", now_ms=1)


@pytest.mark.parametrize(
    ("token", "is_valid"),
    [
        (RegistrationToken("t", None, 100, 1, None), True),
        (RegistrationToken("t", 1, 0, 1, None), True),
        (RegistrationToken("t", 1, 1, 1, None), False),
        (RegistrationToken("t", None, 0, 1, 6), True),
        (RegistrationToken("t", None, 0, 1, 5), False),
    ],
)
def test_a_token_is_valid_while_one_more_account_can_be_made(token: RegistrationToken, is_valid: bool) -> None:
    assert token.is_valid(5) == is_valid
