"""Random values."""

import pytest

from homeserver.runtime.randomness import ALPHABET, Randomness, SeededRandomness, SystemRandomness


@pytest.mark.parametrize("randomness", [SystemRandomness(), SeededRandomness()])
def test_a_source_gives_what_was_asked_for(randomness: Randomness) -> None:
    token = randomness.token(32)
    opaque_id = randomness.opaque_id("!", 18)

    assert len(token) == 43
    assert opaque_id[0] == "!"
    assert len(opaque_id) == 19
    assert set(opaque_id[1:]) <= set(ALPHABET)
    assert len(randomness.bytes(7)) == 7
    assert 0 <= randomness.fraction() < 1


def test_the_same_seed_gives_the_same_values_and_another_seed_others() -> None:
    first, same, other = SeededRandomness(1), SeededRandomness(1), SeededRandomness(2)

    values = [source.token(16) + source.opaque_id("", 8) for source in (first, same, other)]

    assert values[0] == values[1] != values[2]


def test_tokens_of_the_system_differ() -> None:
    randomness = SystemRandomness()

    assert len({randomness.token(16) for _ in range(1000)}) == 1000
