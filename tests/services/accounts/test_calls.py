"""Credentials for TURN servers: whoever has them makes those carry traffic."""

from dataclasses import replace

import pytest

from homeserver.core.identifiers import UserID
from homeserver.core.turn import credentials_until
from homeserver.runtime.clock import ManualClock
from homeserver.services.accounts.calls import Calls, Turn
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import Forbidden, NotFound

ALICE = Requester(UserID("@alice:example.org"), None, 1)
GUEST = replace(ALICE, user_id=UserID("@1:example.org"), is_guest=True)
TURN = Turn(uris=("turn:turn.example.org",), lifetime_s=600, shared_secret="secret")


def test_credentials_are_of_one_user_and_of_one_time() -> None:
    clock = ManualClock()

    access = Calls(TURN, clock).turn_access(ALICE)

    assert access.credentials == credentials_until(clock.now_ms() // 1000 + 600, ALICE.user_id, "secret")
    assert "secret" not in repr(access)


def test_guests_get_no_credentials_unless_the_operator_says_so() -> None:
    with pytest.raises(Forbidden):
        Calls(TURN, ManualClock()).turn_access(GUEST)

    allowed = Calls(replace(TURN, allows_guests=True), ManualClock()).turn_access(GUEST)

    assert GUEST.user_id in allowed.credentials.username


def test_where_there_are_no_turn_servers_nobody_gets_credentials() -> None:
    with pytest.raises(NotFound):
        Calls(replace(TURN, uris=()), ManualClock()).turn_access(ALICE)
