"""What tokens look like."""

import pytest

from homeserver.runtime.randomness import SystemRandomness
from homeserver.services.accounts.token_values import (
    ACCESS,
    LOGIN,
    REFRESH,
    SECRET_BYTES,
    hash_of,
    is_possible,
    new_token,
)


@pytest.mark.parametrize("kind", [ACCESS, REFRESH, LOGIN])
def test_a_token_is_recognised_as_its_kind_alone(kind: str) -> None:
    token = new_token(kind, SystemRandomness())

    assert [is_possible(token, other) for other in (ACCESS, REFRESH, LOGIN)] == [
        kind == other for other in (ACCESS, REFRESH, LOGIN)
    ]


def test_tokens_are_long_enough_that_nobody_guesses_one_and_never_the_same() -> None:
    tokens = {new_token(ACCESS, SystemRandomness()) for _ in range(1000)}

    assert SECRET_BYTES * 8 >= 128
    assert len(tokens) == 1000
    assert len({hash_of(token) for token in tokens}) == 1000


@pytest.mark.parametrize("text", ["", "clba", "clba_\u00e9", "CLBA_x", "clba_" + "x" * 60, " clba_x"])
def test_what_cannot_be_a_token_is_not_looked_up(text: str) -> None:
    assert not is_possible(text, ACCESS)
