"""Guests, and what becomes of them."""

from dataclasses import replace

import pytest

from homeserver.core.identifiers import localpart_of
from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.registration import RegistrationPolicy
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.errors import (
    Forbidden,
    GuestAccessForbidden,
    UserInteractionRequired,
    UserInUse,
    UserLocked,
)
from homeserver.storage.accounts import AccountKind, find_account
from tests.services.accounts.people import DUMMY_SHOWN, PASSWORD, change_account, register, whose
from tests.services.world import World, now


def upgrade_wish(guest: OpenedSession, *, username: str | None = None) -> RegistrationWish:
    token = guest.tokens.access_token
    return RegistrationWish(username or localpart_of(guest.user_id), PASSWORD, DeviceWish(), token)


def test_a_guest_is_logged_in_and_known_as_one(world: World) -> None:
    guest, other = now(world.guests.register("kiosk")), now(world.guests.register(None))

    found = whose(world, guest.tokens.access_token)
    assert found is not None
    assert found.is_guest
    assert (found.user_id, found.device_id) == (guest.user_id, guest.device_id)
    assert guest.user_id != other.user_id
    assert (guest.tokens.refresh_token, guest.tokens.expires_in_ms) == (None, None)
    assert now(world.devices.of_user(guest.user_id))[0].display_name == "kiosk"
    with pytest.raises(Forbidden):
        now(world.login.with_password(guest.user_id, "", DeviceWish()))


def test_where_guests_are_not_allowed_there_are_none_and_those_who_were_are_nobody(world: World) -> None:
    guest = now(world.guests.register(None))
    user = register(world, "alice")
    world.tokens = AccessTokens(world.database, world.appservices, world.clock, admits_guests=False)

    with pytest.raises(GuestAccessForbidden):
        now(world.open_guests(are_allowed=False).register(None))

    assert whose(world, guest.tokens.access_token) is None
    assert whose(world, user.tokens.access_token) is not None


def test_a_guest_who_registers_stays_who_they_are_and_is_a_guest_no_more(world: World) -> None:
    guest = now(world.guests.register(None))
    assert whose(world, guest.tokens.access_token) is not None
    with pytest.raises(UserInteractionRequired) as required:
        now(world.registration.register(upgrade_wish(guest), Attempt("POST /register", b"", None)))
    shown = {"type": "m.login.dummy", "session": required.value.session}

    made = now(world.registration.register(RegistrationWish(None, None, None), Attempt("POST /register", b"", shown)))

    assert made.user_id == guest.user_id
    assert made.session is not None
    for token in (guest.tokens.access_token, made.session.tokens.access_token):
        found = whose(world, token)
        assert found is not None
        assert not found.is_guest
    assert now(world.login.with_password(guest.user_id, PASSWORD, DeviceWish())).user_id == guest.user_id


def test_nobody_gets_the_account_of_another_by_a_guests_token(world: World) -> None:
    guest, other, user = now(world.guests.register(None)), now(world.guests.register(None)), register(world, "alice")
    attempts = [
        upgrade_wish(guest, username=localpart_of(other.user_id)),
        upgrade_wish(guest, username="alice"),
        upgrade_wish(guest, username="new"),
        replace(upgrade_wish(guest), username=None),
        replace(upgrade_wish(user), username="alice"),
        replace(upgrade_wish(guest), guest_access_token="clba_" + "A" * 43),
        replace(upgrade_wish(guest), guest_access_token=""),
    ]

    for wish in attempts:
        with pytest.raises(Forbidden):
            now(world.registration.register(wish, DUMMY_SHOWN))

    account = world.sync_database.read(find_account, other.user_id)
    assert account is not None
    assert account.kind is AccountKind.GUEST
    with pytest.raises(UserInUse):
        now(world.registration.register(replace(upgrade_wish(guest), guest_access_token=None), DUMMY_SHOWN))


def test_a_guest_registers_once_and_only_where_others_can(world: World) -> None:
    guest = now(world.guests.register(None))
    closed = world.open_registration(RegistrationPolicy(is_open=False, needs_token=False))
    with pytest.raises(Forbidden):
        now(closed.register(upgrade_wish(guest), DUMMY_SHOWN))

    now(world.registration.register(upgrade_wish(guest), DUMMY_SHOWN))

    with pytest.raises(Forbidden):
        now(world.registration.register(upgrade_wish(guest), DUMMY_SHOWN))


def test_what_was_done_to_a_guest_stays_done_when_they_register(world: World) -> None:
    locked, suspended = now(world.guests.register(None)), now(world.guests.register(None))
    change_account(world, locked.user_id, is_locked=True)
    change_account(world, suspended.user_id, is_suspended=True)

    with pytest.raises(UserLocked):
        now(world.registration.register(upgrade_wish(locked), DUMMY_SHOWN))
    now(world.registration.register(upgrade_wish(suspended), DUMMY_SHOWN))

    account = world.sync_database.read(find_account, suspended.user_id)
    assert account is not None
    assert account.is_suspended


def test_guests_change_their_display_name_and_nothing_else_of_their_profile(world: World) -> None:
    guest = now(world.guests.register(None))
    requester = whose(world, guest.tokens.access_token)
    assert requester is not None

    now(world.profiles.set_field(requester, guest.user_id, "displayname", "Visitor"))
    for key, value in (("avatar_url", "mxc://example.org/a"), ("m.tz", "Europe/London")):
        with pytest.raises(GuestAccessForbidden):
            now(world.profiles.set_field(requester, guest.user_id, key, value))
        with pytest.raises(GuestAccessForbidden):
            now(world.profiles.delete_field(requester, guest.user_id, key))

    assert now(world.profiles.profile(guest.user_id)) == {"displayname": "Visitor"}
    now(world.profiles.delete_field(requester, guest.user_id, "displayname"))
    assert now(world.profiles.profile(guest.user_id)) == {}
