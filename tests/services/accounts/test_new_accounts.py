"""Accounts that people make themselves: how many, and by whom."""

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.errors import (
    Forbidden,
    LimitExceeded,
    RefusedAsSpam,
    UserInteractionRequired,
    WeakPassword,
)
from homeserver.services.rate_limits import Counted
from homeserver.services.spam_checks import Installed, Refusal, SpamCheck
from homeserver.storage.database import Backend
from tests.services.accounts.people import DUMMY_SHOWN, PASSWORD
from tests.services.world import ALICE, PHONE, World, now

NOTHING_SHOWN = Attempt("POST /register", b"", None)


def wish(username: str, password: str = PASSWORD) -> RegistrationWish:
    return RegistrationWish(username, password, None)


def made(world: World, username: str, network: str) -> UserID:
    return now(world.registration.register(wish(username), DUMMY_SHOWN, network)).user_id


def test_so_many_accounts_are_made_from_one_place_and_others_are_made_elsewhere(backend: Backend) -> None:
    world = World(backend, counted={Counted.REGISTRATIONS_BY_ADDRESS: RateLimit(0.001, 2)})
    made(world, "a", "192.0.2.1")
    now(world.guests.register(None, "192.0.2.1"))

    with pytest.raises(LimitExceeded) as refused:
        made(world, "b", "192.0.2.1")
    with pytest.raises(LimitExceeded):
        now(world.guests.register(None, "192.0.2.1"))

    assert refused.value.retry_after_ms == 1_000_000
    made(world, "b", "192.0.2.2")
    world.clock.advance(1_000)
    made(world, "c", "192.0.2.1")
    world.close()


def test_so_many_accounts_are_made_in_all_but_administrators_make_more(backend: Backend) -> None:
    world = World(backend, counted={Counted.REGISTRATIONS: RateLimit(0.001, 1)})
    made(world, "a", "192.0.2.1")

    with pytest.raises(LimitExceeded):
        made(world, "b", "192.0.2.2")

    now(world.registration.register_by_administrator("b", None, is_admin=False))
    world.close()


def test_an_account_that_is_not_made_does_not_count(backend: Backend) -> None:
    world = World(backend, counted={Counted.REGISTRATIONS: RateLimit(0.001, 1)})
    for _ in range(3):
        with pytest.raises(UserInteractionRequired):
            now(world.registration.register(wish("a"), NOTHING_SHOWN, "192.0.2.1"))
        with pytest.raises(WeakPassword):
            now(world.registration.register(wish("a", ""), DUMMY_SHOWN, "192.0.2.1"))

    assert made(world, "a", "192.0.2.1")
    world.close()


class Strict(SpamCheck):
    """Lets nobody make an account or log in from one address."""

    async def may_register(self, user_id: UserID, address: str) -> Refusal | None:
        return Refusal() if address == "192.0.2.1" else None

    async def may_log_in(
        self, user_id: UserID, device_id: DeviceID | None, device_name: str | None, address: str
    ) -> Refusal | None:
        return Refusal(f"{user_id} {device_id} {device_name}") if address == "192.0.2.1" else None


def test_a_spam_check_refuses_accounts_and_logins(backend: Backend) -> None:
    world = World(backend, spam_checks=[Installed("strict", Strict(), 5, fails_open=False)])
    device = DeviceWish(PHONE, "phone")
    with pytest.raises(RefusedAsSpam):
        made(world, "alice", "192.0.2.1")
    made(world, "alice", "192.0.2.2")
    token, _ = now(world.login.issue_token(ALICE))

    with pytest.raises(RefusedAsSpam) as refused:
        now(world.login.with_password("alice", PASSWORD, device, "192.0.2.1"))
    with pytest.raises(RefusedAsSpam):
        now(world.login.with_token(token, device, "192.0.2.1"))
    with pytest.raises(Forbidden) as wrong:
        now(world.login.with_password("alice", "wrong", device, "192.0.2.1"))

    assert refused.value.reason == f"{ALICE} {PHONE} phone"
    assert not isinstance(wrong.value, RefusedAsSpam)
    assert now(world.login.with_token(token, device, "192.0.2.2")).user_id == ALICE
    assert now(world.login.with_password("alice", PASSWORD, device, "192.0.2.2")).user_id == ALICE
    world.close()
