"""Making accounts."""

from dataclasses import replace

import pytest

from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.registration import Registration, RegistrationPolicy
from homeserver.services.accounts.registration_tokens import TokenLimits
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.errors import (
    Exclusive,
    Forbidden,
    InvalidParameter,
    InvalidUsername,
    MissingParameter,
    UserInteractionRequired,
    UserInUse,
    WeakPassword,
)
from homeserver.storage.accounts import AccountKind, find_account
from tests.services.accounts.people import DUMMY_SHOWN, PASSWORD, change_account, register, whose
from tests.services.accounts.test_login import Bridge
from tests.services.world import ALICE, PHONE, World, now

NOTHING_SHOWN = Attempt("POST /register", b"", None)


def wish(username: str | None = "alice", password: str | None = PASSWORD) -> RegistrationWish:
    return RegistrationWish(username, password, None)


def shows_token(token: str) -> Attempt:
    return Attempt("POST /register", b"", {"type": "m.login.registration_token", "token": token})


@pytest.fixture
def with_tokens(world: World) -> Registration:
    """Registration that asks for a registration token."""
    return world.open_registration(RegistrationPolicy(is_open=True, needs_token=True))


@pytest.fixture
def closed(world: World) -> Registration:
    """Registration that is closed."""
    return world.open_registration(RegistrationPolicy(is_open=False, needs_token=False))


def test_an_account_is_made_once_the_stages_are_passed(world: World) -> None:
    with pytest.raises(UserInteractionRequired) as required:
        now(world.registration.register(wish(), NOTHING_SHOWN))
    assert required.value.flows == [["m.login.dummy"]]
    shown = {"type": "m.login.dummy", "session": required.value.session}

    registered = now(world.registration.register(wish(), Attempt("POST /register", b"", shown)))

    assert registered.user_id == ALICE
    assert registered.session is None
    account = world.sync_database.read(find_account, ALICE)
    assert account is not None
    assert account.kind is AccountKind.USER
    assert not account.is_admin


def test_a_password_is_not_in_the_database(world: World) -> None:
    register(world, "alice")

    account = world.sync_database.read(find_account, ALICE)

    assert account is not None
    assert account.password_hash is not None
    assert account.password_hash.startswith("$argon2id$")
    assert PASSWORD not in account.password_hash


def test_without_a_device_nobody_is_logged_in_and_with_one_somebody_is(world: World) -> None:
    silent = now(world.registration.register(wish("quiet"), DUMMY_SHOWN))
    loud = now(world.registration.register(RegistrationWish("loud", PASSWORD, DeviceWish()), DUMMY_SHOWN))

    assert silent.session is None
    assert loud.session is not None


def test_without_a_name_one_is_made_up(world: World) -> None:
    first = now(world.registration.register(wish(None), DUMMY_SHOWN))
    second = now(world.registration.register(wish(None), DUMMY_SHOWN))

    assert first.user_id != second.user_id


@pytest.mark.parametrize("username", ["alice", "Alice", "ALICE"])
def test_a_name_that_is_taken_is_refused_before_any_stage(world: World, username: str) -> None:
    register(world, "alice")

    with pytest.raises(UserInUse):
        now(world.registration.register(wish(username), NOTHING_SHOWN))
    with pytest.raises(UserInUse):
        now(world.registration.check_available(username))


def test_the_name_of_a_deactivated_user_stays_taken(world: World) -> None:
    register(world, "alice")
    change_account(world, ALICE, is_deactivated=True)

    with pytest.raises(UserInUse):
        now(world.registration.register(wish("alice"), DUMMY_SHOWN))


@pytest.mark.parametrize(
    "username", ["", "a b", "al:ice", "@alice:example.org", "ünicode", "a\0b", "x" * 250, "a\n", "#a"]
)
def test_a_name_outside_the_grammar_is_refused_before_any_stage(world: World, username: str) -> None:
    with pytest.raises(InvalidUsername):
        now(world.registration.register(wish(username), NOTHING_SHOWN))
    with pytest.raises(InvalidUsername):
        now(world.registration.check_available(username))


@pytest.mark.parametrize("username", ["a", "1234", "a.b_c=d-e/f+g"])
def test_a_name_within_the_grammar_is_free(world: World, username: str) -> None:
    now(world.registration.check_available(username))


def test_a_password_is_neither_empty_nor_endless_nor_left_out(world: World) -> None:
    with pytest.raises(WeakPassword):
        now(world.registration.register(wish(password=""), DUMMY_SHOWN))
    with pytest.raises(InvalidParameter):
        now(world.registration.register(wish(password="x" * 513), DUMMY_SHOWN))
    with pytest.raises(MissingParameter):
        now(world.registration.register(wish(password=None), DUMMY_SHOWN))


def test_closed_registration_makes_no_account_and_tells_nothing_of_names(world: World, closed: Registration) -> None:
    register(world, "alice")

    for refused in (
        closed.register(wish("bob"), DUMMY_SHOWN),
        closed.register(wish("alice"), NOTHING_SHOWN),
        closed.check_available("alice"),
        closed.check_available("bob"),
        closed.is_token_valid("anything"),
    ):
        with pytest.raises(Forbidden):
            now(refused)


def test_administrators_make_accounts_whether_registration_is_open_or_not(world: World, closed: Registration) -> None:
    now(closed.register_by_administrator("alice", PASSWORD, is_admin=True))

    account = world.sync_database.read(find_account, ALICE)
    assert account is not None
    assert account.is_admin
    assert now(world.login.with_password("alice", PASSWORD, DeviceWish())).user_id == ALICE
    with pytest.raises(UserInUse):
        now(closed.register_by_administrator("alice", "other", is_admin=False))
    with pytest.raises(WeakPassword):
        now(closed.register_by_administrator("bob", "", is_admin=False))


def test_a_registration_token_makes_as_many_accounts_as_it_allows(world: World, with_tokens: Registration) -> None:
    token = now(world.registration_tokens.create("welcome", None, TokenLimits(2, None)))

    now(with_tokens.register(wish("alice"), shows_token(token.token)))
    now(with_tokens.register(wish("bob"), shows_token(token.token)))

    with pytest.raises(UserInteractionRequired) as required:
        now(with_tokens.register(wish("carol"), shows_token(token.token)))
    assert isinstance(required.value.failure, Forbidden)
    assert not now(with_tokens.is_token_valid("welcome"))
    assert now(world.registration_tokens.token("welcome")).times_used == 2


def test_a_token_that_is_used_up_between_the_stage_and_the_account_makes_none(
    world: World, with_tokens: Registration
) -> None:
    now(world.registration_tokens.create("welcome", None, TokenLimits(1, None)))
    real_hash = world.passwords.hash_new

    async def hash_while_another_registers(password: str) -> str:
        world.passwords.hash_new = real_hash  # type: ignore[method-assign]
        await with_tokens.register(wish("bob"), shows_token("welcome"))
        return await real_hash(password)

    world.passwords.hash_new = hash_while_another_registers  # type: ignore[method-assign]
    with pytest.raises(Forbidden):
        now(with_tokens.register(wish("alice"), shows_token("welcome")))

    assert world.sync_database.read(find_account, ALICE) is None


@pytest.mark.parametrize("shown", [{}, {"type": "m.login.dummy"}, {"type": "m.login.registration_token"}])
def test_where_a_token_is_asked_for_nothing_else_will_do(
    world: World, with_tokens: Registration, shown: dict[str, str]
) -> None:
    with pytest.raises(UserInteractionRequired) as required:
        now(with_tokens.register(wish(), Attempt("POST /register", b"", shown)))

    assert required.value.flows == [["m.login.registration_token"]]
    assert world.sync_database.read(find_account, ALICE) is None


def test_a_token_expires(world: World, with_tokens: Registration) -> None:
    soon_ms = world.clock.now_ms() + 1000
    now(world.registration_tokens.create("welcome", None, TokenLimits(None, soon_ms)))
    assert now(with_tokens.is_token_valid("welcome"))

    world.clock.advance(1)

    assert not now(with_tokens.is_token_valid("welcome"))
    with pytest.raises(UserInteractionRequired):
        now(with_tokens.register(wish(), shows_token("welcome")))


@pytest.mark.parametrize("token", ["", "wel come", "welcome\0", "x" * 65, "x" * 1_000_000, "\N{SNOWMAN}", "\ud800"])
def test_what_is_no_token_is_not_valid_and_costs_no_read(world: World, with_tokens: Registration, token: str) -> None:
    before = world.database.counts.reads

    assert not now(with_tokens.is_token_valid(token))

    assert world.database.counts.reads == before


def test_names_of_an_application_service_are_its_own(world: World) -> None:
    world.appservices = Bridge()
    registration = world.open_registration(RegistrationPolicy(is_open=True, needs_token=False))
    requester = Bridge().find_by_token("as-token")
    assert requester is not None

    registered = now(registration.register_for_appservice(requester, wish("bridge_one", None)))

    account = world.sync_database.read(find_account, registered.user_id)
    assert account is not None
    assert (account.kind, account.appservice_id) == (AccountKind.APPSERVICE, "bridge")
    with pytest.raises(Exclusive):
        now(registration.register(wish("bridge_two"), NOTHING_SHOWN))
    with pytest.raises(Exclusive):
        now(registration.register_for_appservice(requester, wish("alice", None)))


def session_of(world: World, wished: RegistrationWish) -> Attempt:
    """The stages of a registration that has begun, passed."""
    with pytest.raises(UserInteractionRequired) as required:
        now(world.registration.register(wished, NOTHING_SHOWN))
    return Attempt("POST /register", b"", {"type": "m.login.dummy", "session": required.value.session})


@pytest.mark.parametrize("username", ["alice", None])
def test_who_got_no_answer_registers_once_more_and_has_the_same_account(world: World, username: str | None) -> None:
    wished = RegistrationWish(username, PASSWORD, DeviceWish())
    shown = session_of(world, wished)
    lost = now(world.registration.register(wished, shown))

    again = now(world.registration.register(wished, shown))

    assert again.user_id == lost.user_id
    assert lost.session is not None
    assert again.session is not None
    assert again.session.device_id == lost.session.device_id
    assert whose(world, lost.session.tokens.access_token) is None
    assert whose(world, again.session.tokens.access_token) is not None
    assert now(world.registration.register(replace(wished, device=None), shown)).session is None


def test_nobody_is_let_into_an_account_that_was_made_by_its_session_alone(world: World) -> None:
    shown = session_of(world, wish())
    now(world.registration.register(wish(), shown))

    for other, refusal in (
        (wish(password="guessed"), UserInUse),
        (wish(password=None), UserInUse),
        (RegistrationWish(None, None, DeviceWish()), MissingParameter),
    ):
        with pytest.raises(refusal):
            now(world.registration.register(other, shown))
    for another in (wish("bob"), wish(None, "guessed")):
        assert now(world.registration.register(another, shown)).user_id != ALICE
    change_account(world, ALICE, is_locked=True)
    with pytest.raises(UserInUse):
        now(world.registration.register(wish(), shown))


def test_what_was_said_at_first_need_not_be_said_again(world: World) -> None:
    shown = session_of(world, RegistrationWish("alice", PASSWORD, DeviceWish(PHONE, "Phone")))

    registered = now(world.registration.register(RegistrationWish(None, None, DeviceWish()), shown))

    assert registered.user_id == ALICE
    assert registered.session is not None
    assert registered.session.device_id == PHONE
    assert now(world.login.with_password("alice", PASSWORD, DeviceWish())).user_id == ALICE


def test_who_makes_their_account_themselves_is_on_probation(world: World) -> None:
    policy = RegistrationPolicy(is_open=True, needs_token=False, probation_s=60)
    registration = world.open_registration(policy)
    with pytest.raises(UserInteractionRequired) as required:
        now(registration.register(wish("newcomer"), NOTHING_SHOWN))
    shown = Attempt("POST /register", b"", {"type": "m.login.dummy", "session": required.value.session})

    made = [
        now(registration.register(wish("newcomer"), shown)),
        now(registration.register_by_administrator("known", None, is_admin=False)),
    ]

    accounts = [world.sync_database.read(find_account, one.user_id) for one in made]
    until = [None if account is None else account.probation_until_ms for account in accounts]
    assert until == [world.clock.now_ms() + 60_000, None]
