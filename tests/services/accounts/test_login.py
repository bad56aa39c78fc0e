"""Logging in: with a password, with a token, as an application service."""

import pytest

from homeserver.core.cross_signing import CrossSigningKey, KeyUsage
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.login import LOGIN_TOKEN_LIFETIME_MS
from homeserver.services.accounts.passwords import Passwords
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.errors import Forbidden, LimitExceeded, UserLocked
from homeserver.services.rate_limits import Counted
from homeserver.storage.accounts import find_account
from homeserver.storage.cross_signing import store_cross_signing_keys
from homeserver.storage.database import Backend
from homeserver.storage.devices import find_device
from tests.services.accounts.people import PASSWORD, change_account, register, whose
from tests.services.world import ALICE, BOB, PHONE, World, call_now, now

NEW_DEVICE = DeviceWish()


@pytest.mark.parametrize("said", ["alice", "Alice", "@alice:example.org"])
def test_one_logs_in_with_a_user_id_or_its_local_part(world: World, said: str) -> None:
    register(world, "alice")

    session = now(world.login.with_password(said, PASSWORD, NEW_DEVICE))

    assert session.user_id == ALICE
    assert whose(world, session.tokens.access_token) is not None


@pytest.mark.parametrize(
    ("said", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", "wonderland" * 100),
        ("nobody", PASSWORD),
        ("@alice:elsewhere.org", PASSWORD),
        ("@alice", PASSWORD),
        ("", PASSWORD),
        (None, PASSWORD),
        ("alice\0", PASSWORD),
    ],
)
def test_a_wrong_password_and_an_unknown_user_are_refused_alike(world: World, said: str | None, password: str) -> None:
    register(world, "alice")

    with pytest.raises(Forbidden) as refused:
        now(world.login.with_password(said, password, NEW_DEVICE))

    assert refused.value.reason == "Wrong user name or password"


def test_an_unknown_user_costs_as_many_hashes_as_a_wrong_password(world: World) -> None:
    register(world, "alice")
    asked: list[str] = []

    async def call(function: object, *arguments: object) -> object:
        asked.append(getattr(function, "__name__", ""))
        return function(*arguments)  # type: ignore[operator]  # what a thread is given

    world.passwords._call_in_thread = call
    for said in ("alice", "nobody", "@alice:elsewhere.org"):
        with pytest.raises(Forbidden):
            now(world.login.with_password(said, "wrong", NEW_DEVICE))

    assert asked == ["_verify"] * 3


def test_after_many_wrong_passwords_even_the_right_one_has_to_wait(world: World) -> None:
    register(world, "alice")
    for _ in range(10):
        with pytest.raises(Forbidden):
            now(world.login.with_password("alice", "wrong", NEW_DEVICE))

    for said in ("alice", "ALICE", ALICE):
        with pytest.raises(LimitExceeded) as limited:
            now(world.login.with_password(said, PASSWORD, NEW_DEVICE))

    world.clock.advance(limited.value.retry_after_ms / 1000)
    assert now(world.login.with_password("alice", PASSWORD, NEW_DEVICE)).user_id == ALICE


def test_guessing_at_one_account_leaves_the_others_alone(world: World) -> None:
    register(world, "alice")
    register(world, "bob")
    for _ in range(10):
        with pytest.raises(Forbidden):
            now(world.login.with_password("alice", "wrong", NEW_DEVICE))

    assert now(world.login.with_password("bob", PASSWORD, NEW_DEVICE)).user_id == BOB


def test_logging_in_often_with_the_right_password_is_no_failure(world: World) -> None:
    register(world, "alice")

    for _ in range(30):
        now(world.login.with_password("alice", PASSWORD, DeviceWish(PHONE)))


def test_a_locked_user_is_told_so_only_with_the_right_password(world: World) -> None:
    register(world, "alice")
    change_account(world, ALICE, is_locked=True)

    with pytest.raises(Forbidden):
        now(world.login.with_password("alice", "wrong", NEW_DEVICE))
    with pytest.raises(UserLocked):
        now(world.login.with_password("alice", PASSWORD, NEW_DEVICE))


def test_a_deactivated_user_does_not_log_in(world: World) -> None:
    register(world, "alice")
    change_account(world, ALICE, is_deactivated=True)

    with pytest.raises(Forbidden):
        now(world.login.with_password("alice", PASSWORD, NEW_DEVICE))


def test_a_login_without_a_device_makes_one_and_names_it(world: World) -> None:
    register(world, "alice")

    session = now(world.login.with_password("alice", PASSWORD, DeviceWish(None, "My\0 phone" + "x" * 500)))

    device = world.sync_database.read(find_device, ALICE, session.device_id)
    assert device is not None
    assert device.display_name is not None
    assert device.display_name.startswith("My phone")
    assert len(device.display_name) == 256


def test_a_login_on_a_known_device_keeps_its_name(world: World) -> None:
    register(world, "alice", device=DeviceWish(PHONE, "first"))

    now(world.login.with_password("alice", PASSWORD, DeviceWish(PHONE, "second")))

    device = world.sync_database.read(find_device, ALICE, PHONE)
    assert device is not None
    assert device.display_name == "first"


def test_a_device_cannot_be_called_like_a_cross_signing_key(world: World) -> None:
    register(world, "alice")
    key = CrossSigningKey(ALICE, KeyUsage.MASTER, "publicpart", {})
    world.sync_database.write(store_cross_signing_keys, [key])

    with pytest.raises(Forbidden):
        now(world.login.with_password("alice", PASSWORD, DeviceWish(DeviceID("publicpart"))))


def test_a_hash_made_with_older_parameters_is_renewed_by_a_login(world: World) -> None:
    register(world, "alice")
    newer = Passwords(call_now, time_cost=2, memory_kib=16)
    world.login._passwords = newer

    now(world.login.with_password("alice", PASSWORD, NEW_DEVICE))

    account = world.sync_database.read(find_account, ALICE)
    assert account is not None
    assert account.password_hash is not None
    assert not newer.is_outdated(account.password_hash)
    assert now(world.login.with_password("alice", PASSWORD, NEW_DEVICE)).user_id == ALICE


def test_a_login_token_lets_in_once(world: World) -> None:
    register(world, "alice")
    token, lifetime_ms = now(world.login.issue_token(ALICE))
    assert lifetime_ms == LOGIN_TOKEN_LIFETIME_MS

    session = now(world.login.with_token(token, NEW_DEVICE))

    assert session.user_id == ALICE
    with pytest.raises(Forbidden):
        now(world.login.with_token(token, NEW_DEVICE))


def test_a_login_token_does_not_last(world: World) -> None:
    register(world, "alice")
    token, lifetime_ms = now(world.login.issue_token(ALICE))

    world.clock.advance(lifetime_ms / 1000)

    with pytest.raises(Forbidden):
        now(world.login.with_token(token, NEW_DEVICE))


@pytest.mark.parametrize("token", ["", "clbl_", "clbl_guessed", "clba_guessed"])
def test_a_guessed_login_token_is_refused(world: World, token: str) -> None:
    with pytest.raises(Forbidden):
        now(world.login.with_token(token, NEW_DEVICE))


def test_an_access_token_is_no_login_token_and_a_login_token_no_access_token(world: World) -> None:
    access_token = register(world, "alice").tokens.access_token
    login_token, _ = now(world.login.issue_token(ALICE))

    assert whose(world, login_token) is None
    with pytest.raises(Forbidden):
        now(world.login.with_token(access_token, NEW_DEVICE))


class Bridge:
    """One application service, for users whose names begin with bridge_."""

    def find_by_token(self, token: str) -> Requester | None:
        bot = UserID("@bridge_bot:example.org")
        return Requester(bot, None, 0, appservice_id="bridge") if token == "as-token" else None

    def may_speak_for(self, appservice_id: str, user_id: UserID) -> bool:
        return appservice_id == "bridge" and user_id.startswith("@bridge_")

    def is_reserved(self, user_id: UserID, *, besides: str | None) -> bool:
        return user_id.startswith("@bridge_") and besides != "bridge"


def test_an_application_service_logs_its_own_users_in_and_nobody_else(world: World) -> None:
    world.appservices = Bridge()
    registration = world.open_registration(world.registration._policy)
    requester = Bridge().find_by_token("as-token")
    assert requester is not None
    now(registration.register_for_appservice(requester, RegistrationWish("bridge_one", None, None)))
    register(world, "alice")

    session = now(world.login.as_appservice(requester, "bridge_one", NEW_DEVICE))

    assert session.user_id == "@bridge_one:example.org"
    for other in ("alice", "bridge_unknown", None):
        with pytest.raises(Forbidden):
            now(world.login.as_appservice(requester, other, NEW_DEVICE))
    with pytest.raises(Forbidden):
        now(world.login.as_appservice(None, "bridge_one", NEW_DEVICE))
    with pytest.raises(Forbidden):
        now(world.login.with_password("bridge_one", "", NEW_DEVICE))


def test_whoever_tries_many_accounts_from_one_place_is_stopped_there_and_others_are_not(backend: Backend) -> None:
    world = World(backend, counted={Counted.FAILED_LOGINS_BY_ADDRESS: RateLimit(0.01, 2)})
    register(world, "alice")
    for name in ("bob", "carol"):
        with pytest.raises(Forbidden):
            now(world.login.with_password(name, "wrong", NEW_DEVICE, "192.0.2.1"))

    with pytest.raises(LimitExceeded):
        now(world.login.with_password("alice", PASSWORD, NEW_DEVICE, "192.0.2.1"))

    for _ in range(5):
        now(world.login.with_password("alice", PASSWORD, NEW_DEVICE, "192.0.2.2"))
    world.clock.advance(100)
    now(world.login.with_password("alice", PASSWORD, NEW_DEVICE, "192.0.2.1"))
    world.close()
