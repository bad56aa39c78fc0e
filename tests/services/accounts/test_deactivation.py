"""The end of accounts."""

import pytest

from homeserver.core.cross_signing import CrossSigningKey, KeyUsage
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession
from homeserver.services.errors import Forbidden, NotFound, UnknownToken, UserInteractionRequired, UserInUse
from homeserver.storage.accounts import Account, find_account
from homeserver.storage.cross_signing import cross_signing_keys_of, store_cross_signing_keys
from homeserver.storage.devices import devices_of_user
from homeserver.storage.memberships import find_membership
from tests.services.accounts.people import PASSWORD, change_account, register, whose
from tests.services.accounts.test_interactive_auth import password
from tests.services.accounts.test_registration import wish
from tests.services.world import ALICE, BOB, PHONE, World, now

OPERATION = "POST /account/deactivate"
CONFIRMED = Attempt(OPERATION, b"{}", password())


@pytest.fixture
def session(world: World) -> OpenedSession:
    """Alice is logged in."""
    return register(world, "alice", device=DeviceWish(PHONE, None, wants_refresh_token=True))


def alice(world: World) -> Account:
    account = world.sync_database.read(find_account, ALICE)
    assert account is not None
    return account


def membership(world: World, room_id: RoomID, user_id: UserID = ALICE) -> str:
    found = world.sync_database.read(find_membership, room_id, user_id)
    assert found is not None
    return found.membership


def test_closing_an_account_takes_the_password(world: World, session: OpenedSession) -> None:
    requester = Requester(ALICE, PHONE, 1)

    with pytest.raises(UserInteractionRequired):
        now(world.deactivation.deactivate_own(requester, Attempt(OPERATION, b"{}", None), erase=False))

    assert not alice(world).is_deactivated
    now(world.deactivation.deactivate_own(requester, CONFIRMED, erase=False))
    assert alice(world).is_deactivated
    assert not alice(world).is_erased


def test_after_that_nothing_lets_in(world: World, session: OpenedSession) -> None:
    whose(world, session.tokens.access_token)
    login_token, _ = now(world.login.issue_token(ALICE))

    now(world.deactivation.deactivate(ALICE, erase=False))

    assert whose(world, session.tokens.access_token) is None
    with pytest.raises(UnknownToken):
        now(world.sessions.refresh(session.tokens.refresh_token or ""))
    with pytest.raises(Forbidden):
        now(world.login.with_password("alice", PASSWORD, DeviceWish()))
    with pytest.raises(Forbidden):
        now(world.login.with_token(login_token, DeviceWish()))
    with pytest.raises(UserInUse):
        now(world.registration.check_available("alice"))
    with pytest.raises(UserInUse):
        now(world.registration.register_by_administrator("alice", PASSWORD, is_admin=False))
    assert wish().username == "alice"


def test_devices_keys_and_the_password_are_gone(world: World, session: OpenedSession) -> None:
    world.sync_database.write(store_cross_signing_keys, [CrossSigningKey(ALICE, KeyUsage.MASTER, "key", {})])

    now(world.deactivation.deactivate(ALICE, erase=False))

    assert alice(world).password_hash is None
    assert world.sync_database.read(devices_of_user, ALICE) == []
    assert world.sync_database.read(cross_signing_keys_of, ALICE) == {}


def test_the_user_leaves_rooms_and_invites(world: World, session: OpenedSession) -> None:
    own, public = world.create_room(ALICE), world.create_room(BOB, preset="public_chat")
    world.join(ALICE, public)
    invited = world.create_room(BOB, invite=[ALICE])

    now(world.deactivation.deactivate(ALICE, erase=False))

    assert [membership(world, room_id) for room_id in (own, public, invited)] == ["leave"] * 3


def test_a_departure_that_was_interrupted_is_resumed(world: World, session: OpenedSession) -> None:
    room_id = world.create_room(ALICE)
    change_account(world, ALICE, is_deactivated=True)
    other_room_id = world.create_room(BOB)

    now(world.deactivation.resume())

    assert membership(world, room_id) == "leave"
    assert membership(world, other_room_id, BOB) == "join"


def test_erasing_marks_the_account_and_takes_the_profile_away(world: World, session: OpenedSession) -> None:
    requester = Requester(ALICE, PHONE, 1)
    now(world.profiles.set_field(requester, ALICE, "displayname", "Alice"))
    now(world.profiles.set_field(requester, ALICE, "m.tz", "Europe/Berlin"))

    now(world.deactivation.deactivate(ALICE, erase=True))

    assert alice(world).is_erased
    assert now(world.profiles.profile(ALICE)) == {}


def test_closing_twice_is_closed_and_an_erasure_is_not_taken_back(world: World, session: OpenedSession) -> None:
    now(world.deactivation.deactivate(ALICE, erase=True))
    now(world.deactivation.deactivate(ALICE, erase=False))

    assert alice(world).is_erased
    with pytest.raises(NotFound):
        now(world.deactivation.deactivate(BOB, erase=False))
