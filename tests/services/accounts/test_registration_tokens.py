"""Registration tokens, as administrators see them."""

import pytest

from homeserver.services.accounts.registration_tokens import TokenLimits
from homeserver.services.errors import InvalidParameter, NotFound
from tests.services.world import World, now

UNLIMITED = TokenLimits(None, None)


def test_a_token_is_made_shown_changed_and_taken_back(world: World) -> None:
    tokens = world.registration_tokens
    made = now(tokens.create("welcome", None, TokenLimits(3, None)))

    assert now(tokens.token("welcome")) == made
    changed = now(tokens.change("welcome", lambda limits: TokenLimits(1, limits.expires_ms)))
    assert (changed.uses_allowed, changed.expires_ms) == (1, None)
    assert now(tokens.all()) == [changed]
    now(tokens.delete("welcome"))
    assert now(tokens.all()) == []


def test_a_token_without_a_text_gets_one(world: World) -> None:
    tokens = world.registration_tokens

    assert len(now(tokens.create(None, None, UNLIMITED)).token) == 16
    assert len(now(tokens.create(None, 64, UNLIMITED)).token) == 64


def test_only_those_that_still_count_are_valid(world: World) -> None:
    tokens = world.registration_tokens
    now(tokens.create("spent", None, TokenLimits(0, None)))
    now(tokens.create("fresh", None, UNLIMITED))

    assert [token.token for token in now(tokens.all(valid=True))] == ["fresh"]
    assert [token.token for token in now(tokens.all(valid=False))] == ["spent"]


@pytest.mark.parametrize("text", ["", "a b", "x" * 65, "é", "a\0"])
def test_a_token_keeps_to_its_grammar(world: World, text: str) -> None:
    with pytest.raises(InvalidParameter):
        now(world.registration_tokens.create(text, None, UNLIMITED))


@pytest.mark.parametrize("length", [0, -1, 65])
def test_a_made_up_token_is_neither_empty_nor_endless(world: World, length: int) -> None:
    with pytest.raises(InvalidParameter):
        now(world.registration_tokens.create(None, length, UNLIMITED))


@pytest.mark.parametrize("limits", [TokenLimits(-1, None), TokenLimits(None, 0)])
def test_impossible_limits_are_refused(world: World, limits: TokenLimits) -> None:
    tokens = world.registration_tokens
    now(tokens.create("welcome", None, UNLIMITED))

    with pytest.raises(InvalidParameter):
        now(tokens.create("other", None, limits))
    with pytest.raises(InvalidParameter):
        now(tokens.change("welcome", lambda _: limits))


def test_a_token_cannot_be_made_twice_nor_changed_where_there_is_none(world: World) -> None:
    tokens = world.registration_tokens
    now(tokens.create("welcome", None, UNLIMITED))

    with pytest.raises(InvalidParameter):
        now(tokens.create("welcome", None, UNLIMITED))
    for missing in (tokens.token("x"), tokens.change("x", lambda limits: limits), tokens.delete("x")):
        with pytest.raises(NotFound):
            now(missing)


def test_a_token_that_has_expired_may_still_be_changed(world: World) -> None:
    tokens = world.registration_tokens
    now(tokens.create("welcome", None, TokenLimits(1, world.clock.now_ms() + 1000)))
    world.clock.advance(2)

    changed = now(tokens.change("welcome", lambda limits: TokenLimits(5, limits.expires_ms)))

    assert changed.uses_allowed == 5
