"""Accounts that are new, on a server that lets them do little."""

from collections.abc import Iterator

import pytest

from tests.api.client import new_user
from tests.server import Server, running

FREELY = {"rate_hz": 1000, "burst": 1000}
LIMITS = {
    **dict.fromkeys(("login", "register", "registrations_by_address", "send"), FREELY),
    "newcomer": {"rate_hz": 0.001, "burst": 4},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server on which newcomers invite no strangers."""
    registration = {"enabled": True, "require_token": False, "newcomers_invite_strangers": False}
    with running(settings={"rate_limits": LIMITS, "registration": registration}) as server:
        yield server


def test_newcomers_do_little_until_an_administrator_trusts_them(server: Server) -> None:
    alice, bob = new_user(server.url, "alice"), new_user(server.url, "bob")
    room_id = alice.create_room(preset="public_chat")
    invite = ("rooms", room_id, "invite")
    alice.post(*invite, body={"user_id": bob.user_id}, status=403, errcode="M_FORBIDDEN")
    bob.join(room_id)
    other_id = alice.create_room(bob)  # whom she knows now

    alice.say(other_id, "hello")
    alice.post(*invite, body={"user_id": f"@carol:{server.server_name}"}, status=429, errcode="M_LIMIT_EXCEEDED")

    before = server.command("admin", "user", "show", alice.user_id)
    trusted = server.command("admin", "user", "rate-limit", alice.user_id, "--none")
    assert trusted.returncode == 0, trusted.stderr
    after = server.command("admin", "user", "show", alice.user_id)
    assert ("On probation until" in before.stdout, "On probation until" in after.stdout) == (True, False)
    carol = new_user(server.url, "carol")
    alice.post(*invite, body={"user_id": carol.user_id})
