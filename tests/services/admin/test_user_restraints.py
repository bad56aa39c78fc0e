"""Users whom administrators hold back, or let go further than others."""

import math

import pytest

from homeserver.core.identifiers import UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.services.admin.user_restraints import OwnLimit, UserRestraints, own_limit
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.storage.accounts import Account, AccountKind, insert_account, shadow_banned_users
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

SLOW = OwnLimit(RateLimit(per_second=0.5, burst=2))


@pytest.fixture
def restraints(world: World) -> UserRestraints:
    register(world, "alice")
    return UserRestraints(world.database, world.tokens, world.shadow_bans, SERVER)


def test_a_rate_limit_of_ones_own_is_set_seen_and_taken_away(restraints: UserRestraints) -> None:
    assert now(restraints.own_limit(ALICE)) is None

    for own in (SLOW, OwnLimit(None), SLOW, None):
        now(restraints.set_own_limit(ALICE, own))
        assert now(restraints.own_limit(ALICE)) == own


def test_who_is_not_here_has_none(world: World, restraints: UserRestraints) -> None:
    now(world.deactivation.deactivate(ALICE, erase=False))

    for user_id in (ALICE, BOB):
        with pytest.raises(NotFound):
            now(restraints.own_limit(user_id))
        with pytest.raises(NotFound):
            now(restraints.set_own_limit(user_id, SLOW))
    with pytest.raises(InvalidParameter):
        now(restraints.set_own_limit(UserID("@alice:elsewhere.example"), SLOW))


def test_a_limit_is_what_an_administrator_says_it_is() -> None:
    assert own_limit(0, 0) == own_limit(0, 7) == OwnLimit(None)
    assert own_limit(0.5, 2) == SLOW
    assert own_limit(0.5, 0) == OwnLimit(RateLimit(0.5, 1))
    assert own_limit(2.5, 0) == OwnLimit(RateLimit(2.5, 3))
    for per_second, burst in ((-1, 1), (1e-9, 1), (1e9, 1), (math.inf, 1), (math.nan, 1), (1, -1), (1, 2**31)):
        with pytest.raises(InvalidParameter):
            own_limit(per_second, burst)


def test_shadow_bans_are_stored_and_hold_at_once(world: World, restraints: UserRestraints) -> None:
    now(restraints.set_shadow_banned(ALICE, is_banned=True))
    assert ALICE in world.shadow_bans
    assert world.sync_database.read(shadow_banned_users) == [ALICE]

    now(restraints.set_shadow_banned(ALICE, is_banned=False))
    assert ALICE not in world.shadow_bans
    assert world.sync_database.read(shadow_banned_users) == []


def test_an_administrator_is_not_shadow_banned(world: World, restraints: UserRestraints) -> None:
    world.sync_database.write(insert_account, Account(BOB, AccountKind.USER, 0, is_admin=True))

    with pytest.raises(Forbidden):
        now(restraints.set_shadow_banned(BOB, is_banned=True))
    with pytest.raises(NotFound):
        now(restraints.set_shadow_banned(CAROL, is_banned=True))

    assert BOB not in world.shadow_bans
