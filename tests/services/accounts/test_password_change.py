"""Changing passwords."""

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, UserInteractionRequired, WeakPassword
from homeserver.storage.accounts import find_account
from tests.services.accounts.people import PASSWORD, register, whose
from tests.services.accounts.test_interactive_auth import password
from tests.services.world import ALICE, PHONE, World, now

OPERATION = "POST /account/password"
CONFIRMED = Attempt(OPERATION, b"{}", password())
NEW = "looking-glass"


@pytest.fixture
def phone(world: World) -> OpenedSession:
    """Alice's session on her phone."""
    return register(world, "alice", device=DeviceWish(PHONE, None, wants_refresh_token=True))


@pytest.fixture
def tablet(world: World, phone: OpenedSession) -> OpenedSession:
    """Her session on her tablet."""
    return now(world.login.with_password("alice", PASSWORD, DeviceWish(DeviceID("TABLET"))))


def alice_on(world: World, session: OpenedSession) -> Requester:
    requester = whose(world, session.tokens.access_token)
    assert requester is not None
    return requester


def test_a_changed_password_counts_and_the_old_one_does_not(world: World, phone: OpenedSession) -> None:
    now(world.password_change.change(alice_on(world, phone), NEW, CONFIRMED))

    assert now(world.login.with_password("alice", NEW, DeviceWish())).user_id == ALICE
    with pytest.raises(Forbidden):
        now(world.login.with_password("alice", PASSWORD, DeviceWish()))


def test_the_session_that_changes_the_password_goes_on_and_the_others_end(
    world: World, phone: OpenedSession, tablet: OpenedSession
) -> None:
    now(world.password_change.change(alice_on(world, phone), NEW, CONFIRMED))

    assert whose(world, phone.tokens.access_token) is not None
    assert whose(world, tablet.tokens.access_token) is None
    now(world.sessions.refresh(phone.tokens.refresh_token or ""))


def test_other_sessions_go_on_where_the_user_wants_it(
    world: World, phone: OpenedSession, tablet: OpenedSession
) -> None:
    now(world.password_change.change(alice_on(world, phone), NEW, CONFIRMED, logout_devices=False))

    assert whose(world, tablet.tokens.access_token) is not None


def test_login_tokens_from_before_no_longer_let_in(world: World, phone: OpenedSession) -> None:
    token, _ = now(world.login.issue_token(ALICE))

    now(world.password_change.change(alice_on(world, phone), NEW, CONFIRMED))

    with pytest.raises(Forbidden):
        now(world.login.with_token(token, DeviceWish()))


def test_without_the_old_password_nothing_changes(world: World, phone: OpenedSession) -> None:
    for shown in (None, password(secret=NEW), {"type": "m.login.dummy"}):
        with pytest.raises(UserInteractionRequired):
            now(world.password_change.change(alice_on(world, phone), NEW, Attempt(OPERATION, b"{}", shown)))

    assert now(world.login.with_password("alice", PASSWORD, DeviceWish())).user_id == ALICE


def test_a_bad_new_password_is_refused_before_any_stage(world: World, phone: OpenedSession) -> None:
    requester = alice_on(world, phone)

    with pytest.raises(WeakPassword):
        now(world.password_change.change(requester, "", Attempt(OPERATION, b"{}", None)))
    with pytest.raises(InvalidParameter):
        now(world.password_change.change(requester, "x" * 513, Attempt(OPERATION, b"{}", None)))


def test_the_plain_password_is_nowhere_in_the_database(world: World, phone: OpenedSession) -> None:
    requester = alice_on(world, phone)
    with pytest.raises(UserInteractionRequired):
        now(world.password_change.change(requester, NEW, Attempt(OPERATION, b'{"new_password":"looking-glass"}', None)))
    now(world.password_change.change(requester, NEW, CONFIRMED))

    account = world.sync_database.read(find_account, ALICE)

    assert account is not None
    assert NEW not in repr(account)


def test_an_administrator_sets_a_password_and_ends_all_sessions(world: World, phone: OpenedSession) -> None:
    now(world.password_change.set_by_administrator(ALICE, NEW))

    assert whose(world, phone.tokens.access_token) is None
    assert now(world.login.with_password("alice", NEW, DeviceWish())).user_id == ALICE
    with pytest.raises(NotFound):
        now(world.password_change.set_by_administrator(UserID("@nobody:example.org"), NEW))
