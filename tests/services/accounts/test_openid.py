"""Tokens by which users show who they are."""

import pytest

from homeserver.services.accounts.openid import LIFETIME_S, OpenIDTokens
from homeserver.services.errors import Forbidden, UnknownToken
from tests.services.accounts.people import change_account, register
from tests.services.world import ALICE, BOB, World, now


@pytest.fixture
def tokens(world: World) -> OpenIDTokens:
    register(world, "alice")
    return OpenIDTokens(world.database, world.clock, world.randomness)


def test_a_token_shows_who_gave_it_away_for_an_hour(world: World, tokens: OpenIDTokens) -> None:
    token = now(tokens.issue(ALICE, ALICE))

    assert now(tokens.user(token)) == ALICE
    world.clock.advance(LIFETIME_S)
    with pytest.raises(UnknownToken):
        now(tokens.user(token))


@pytest.mark.parametrize("token", ["", "nonsense", "clbo_nobodys", "clbo_" + "x" * 1000, "clbo_\N{SNOWMAN}"])
def test_what_is_no_token_shows_nobody(tokens: OpenIDTokens, token: str) -> None:
    with pytest.raises(UnknownToken):
        now(tokens.user(token))


def test_nobody_gets_a_token_of_somebody_else(tokens: OpenIDTokens) -> None:
    with pytest.raises(Forbidden):
        now(tokens.issue(BOB, ALICE))


def test_an_access_token_is_no_such_token_and_the_other_way_round(world: World, tokens: OpenIDTokens) -> None:
    token = now(tokens.issue(ALICE, ALICE))

    assert world.tokens.find(token) is None


def test_of_a_closed_account_a_token_shows_nothing(world: World, tokens: OpenIDTokens) -> None:
    token = now(tokens.issue(ALICE, ALICE))

    now(world.deactivation.deactivate(ALICE, erase=False))

    with pytest.raises(UnknownToken):
        now(tokens.user(token))


def test_of_a_locked_account_a_token_shows_nothing_until_it_is_unlocked(world: World, tokens: OpenIDTokens) -> None:
    token = now(tokens.issue(ALICE, ALICE))

    change_account(world, ALICE, is_locked=True)
    with pytest.raises(UnknownToken):
        now(tokens.user(token))

    change_account(world, ALICE, is_locked=False)
    assert now(tokens.user(token)) == ALICE
