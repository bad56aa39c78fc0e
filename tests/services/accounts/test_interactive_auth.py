"""User-interactive authentication: what counts as shown, for which request, for how long."""

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.services.accounts import interactive_auth
from homeserver.services.accounts.interactive_auth import Attempt, InteractiveAuth
from homeserver.services.errors import Forbidden, LimitExceeded, MissingParameter, UserInteractionRequired
from tests.services.accounts.people import PASSWORD, register
from tests.services.world import ALICE, BOB, World, now

OPERATION = "POST /delete_devices"
ASKS = b'{"devices":["PHONE"]}'


def attempt(shown: Mapping[str, Any] | None = None, operation: str = OPERATION, asks: bytes = ASKS) -> Attempt:
    return Attempt(operation, asks, shown)


def password(session: str | None = None, said: str = "alice", secret: str = PASSWORD) -> dict[str, Any]:
    identifier = {"type": "m.id.user", "user": said}
    shown: dict[str, Any] = {"type": "m.login.password", "identifier": identifier, "password": secret}
    return shown if session is None else {**shown, "session": session}


def required(auth: InteractiveAuth, tried: Attempt) -> UserInteractionRequired:
    with pytest.raises(UserInteractionRequired) as raised:
        now(auth.confirm_user(ALICE, tried))
    return raised.value


@pytest.fixture
def auth(world: World) -> InteractiveAuth:
    """Interactive authentication, with two people who know their passwords."""
    register(world, "alice")
    register(world, "bob", "builder")
    return world.interactive_auth


def test_without_auth_the_stages_are_told_and_a_session_begins(auth: InteractiveAuth) -> None:
    told = required(auth, attempt())

    assert told.flows == [["m.login.password"]]
    assert told.completed == ()
    assert told.failure is None
    assert told.session


@pytest.mark.parametrize("said", ["alice", ALICE])
def test_the_right_password_passes_and_ends_the_session(auth: InteractiveAuth, said: str) -> None:
    session = required(auth, attempt()).session

    now(auth.confirm_user(ALICE, attempt(password(session, said))))

    assert len(auth) == 0
    assert required(auth, attempt({"session": session})).session != session


def test_a_password_shown_at_once_needs_no_session(auth: InteractiveAuth) -> None:
    now(auth.confirm_user(ALICE, attempt(password())))


def test_the_older_way_to_name_the_user_still_counts(auth: InteractiveAuth) -> None:
    now(auth.confirm_user(ALICE, attempt({"type": "m.login.password", "user": ALICE, "password": PASSWORD})))


def test_a_wrong_password_is_told_and_the_session_goes_on(auth: InteractiveAuth) -> None:
    session = required(auth, attempt()).session

    told = required(auth, attempt(password(session, secret="wrong")))

    assert told.session == session
    assert isinstance(told.failure, Forbidden)
    now(auth.confirm_user(ALICE, attempt(password(session))))


def test_somebody_elses_password_does_not_count(auth: InteractiveAuth) -> None:
    session = required(auth, attempt()).session

    with pytest.raises(Forbidden):
        now(auth.confirm_user(ALICE, attempt(password(session, BOB, "builder"))))


@pytest.mark.parametrize(
    "tried",
    [
        {"operation": "POST /account/deactivate"},
        {"asks": b'{"devices":["TABLET"]}'},
    ],
)
def test_a_session_is_for_one_request_alone(auth: InteractiveAuth, tried: dict[str, Any]) -> None:
    session = required(auth, attempt()).session

    with pytest.raises(Forbidden):
        now(auth.confirm_user(ALICE, attempt(password(session), **tried)))


def test_a_session_is_for_one_user_alone(auth: InteractiveAuth) -> None:
    session = required(auth, attempt()).session

    with pytest.raises(Forbidden):
        now(auth.confirm_user(BOB, attempt(password(session, "bob", "builder"))))


def test_a_session_does_not_last(world: World, auth: InteractiveAuth) -> None:
    session = required(auth, attempt()).session

    world.clock.advance(interactive_auth.LIFETIME_MS / 1000)

    assert required(auth, attempt({"session": session})).session != session
    assert len(auth) == 1


def test_sessions_are_bounded(auth: InteractiveAuth) -> None:
    for _ in range(interactive_auth.MOST_SESSIONS + 10):
        required(auth, attempt())

    assert len(auth) == interactive_auth.MOST_SESSIONS


@pytest.mark.parametrize(
    "shown", [{"type": "m.login.dummy"}, {"type": "m.login.sso"}, {"type": 7}, {"session": ["x"]}, {}]
)
def test_what_is_not_offered_does_not_pass(auth: InteractiveAuth, shown: dict[str, Any]) -> None:
    assert required(auth, attempt(shown)).completed == ()


@pytest.mark.parametrize("changed", [{"password": None}, {"password": 7}, {"identifier": {"type": "m.id.phone"}}])
def test_a_stage_of_a_wrong_shape_does_not_pass(auth: InteractiveAuth, changed: dict[str, Any]) -> None:
    told = required(auth, attempt({**password(), **changed}))

    assert isinstance(told.failure, Forbidden | MissingParameter)


def test_wrong_passwords_are_limited_as_at_a_login(auth: InteractiveAuth) -> None:
    for _ in range(10):
        required(auth, attempt(password(secret="wrong")))

    with pytest.raises(LimitExceeded):
        now(auth.confirm_user(ALICE, attempt(password())))


def test_a_new_password_in_a_request_is_not_kept_in_memory(auth: InteractiveAuth) -> None:
    required(auth, attempt(asks=b'{"new_password":"looking-glass"}'))

    assert "looking-glass" not in repr(auth._sessions)
