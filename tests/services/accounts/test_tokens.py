"""Whose an access token is: from memory, within bounds, and for application services."""

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.errors import Forbidden, UnknownDevice
from tests.services.accounts.people import change_account, register, whose
from tests.services.accounts.test_login import Bridge
from tests.services.world import ALICE, PHONE, World, now

BOT = UserID("@bridge_bot:example.org")
ONE = UserID("@bridge_one:example.org")


@pytest.fixture
def bridge(world: World) -> AccessTokens:
    """Tokens of a server with an application service that has registered a user."""
    world.appservices = Bridge()
    world.tokens = AccessTokens(world.database, world.appservices, world.clock)
    registration = world.open_registration(world.registration._policy)
    wish = RegistrationWish("bridge_one", None, DeviceWish(PHONE))
    now(registration.register_for_appservice(Requester(BOT, None, 0, appservice_id="bridge"), wish))
    return world.tokens


def test_flags_of_an_account_count_from_the_moment_they_are_set(world: World) -> None:
    token = register(world, "alice").tokens.access_token
    before = whose(world, token)

    change_account(world, ALICE, is_locked=True, is_suspended=True, is_shadow_banned=True, is_admin=True)

    after = whose(world, token)
    assert before is not None
    assert after is not None
    flags = [(who.is_locked, who.is_suspended, who.is_shadow_banned, who.is_admin) for who in (before, after)]
    assert flags == [(False,) * 4, (True,) * 4]


def test_memory_is_bounded_and_what_was_unused_longest_goes(world: World) -> None:
    world.tokens = AccessTokens(world.database, world.appservices, world.clock, most_known=2)
    alice, bob, carol = (register(world, name).tokens.access_token for name in ("alice", "bob", "carol"))
    for token in (alice, bob, alice, carol):
        whose(world, token)

    reads = world.database.counts.reads
    whose(world, alice)
    whose(world, carol)
    assert world.database.counts.reads == reads
    whose(world, bob)
    assert world.database.counts.reads == reads + 1
    assert len(world.tokens) == 2


def test_forgetting_what_is_not_known_is_no_error(world: World) -> None:
    world.tokens.forget_user(ALICE)
    world.tokens.forget_devices(ALICE, [PHONE])
    world.tokens.forget_tokens([b"hash"])


def test_an_application_service_is_known_by_its_token(bridge: AccessTokens) -> None:
    found = bridge.find("as-token")

    assert isinstance(found, Requester)
    assert (found.user_id, found.appservice_id) == (BOT, "bridge")


def test_an_application_service_speaks_for_users_it_registered(bridge: AccessTokens) -> None:
    itself = Requester(BOT, None, 0, appservice_id="bridge")

    assert now(bridge.speak_for(itself, None, None)) == itself
    spoken_for = now(bridge.speak_for(itself, ONE, PHONE))
    assert (spoken_for.user_id, spoken_for.device_id, spoken_for.appservice_id) == (ONE, PHONE, "bridge")


def test_an_application_service_speaks_for_nobody_else(world: World, bridge: AccessTokens) -> None:
    itself = Requester(BOT, None, 0, appservice_id="bridge")
    register(world, "alice")

    for other in (ALICE, UserID("@bridge_unknown:example.org"), UserID("@bridge_one:elsewhere.org")):
        with pytest.raises(Forbidden):
            now(bridge.speak_for(itself, other, None))
    with pytest.raises(UnknownDevice):
        now(bridge.speak_for(itself, ONE, DeviceID("OTHER")))
    change_account(world, ONE, is_deactivated=True)
    with pytest.raises(Forbidden):
        now(bridge.speak_for(itself, ONE, None))
