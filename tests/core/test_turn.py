"""Credentials for TURN servers."""

import base64
import hashlib
import hmac

from homeserver.core.identifiers import UserID
from homeserver.core.turn import credentials_until

ALICE = UserID("@alice:example.org")


def test_the_name_says_until_when_and_the_password_is_its_hash_by_the_secret() -> None:
    found = credentials_until(1_443_779_631, ALICE, "north")

    assert found.username == "1443779631:@alice:example.org"
    expected = hmac.new(b"north", b"1443779631:@alice:example.org", hashlib.sha1).digest()
    assert base64.b64decode(found.password) == expected


def test_a_password_counts_for_one_user_one_time_and_one_secret() -> None:
    passwords = {
        credentials_until(expires_s, user_id, secret).password
        for expires_s in (1, 2)
        for user_id in (ALICE, UserID("@bob:example.org"))
        for secret in ("north", "south")
    }

    assert len(passwords) == 8
