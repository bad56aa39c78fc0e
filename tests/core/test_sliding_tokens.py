"""Positions of sliding sync survive being text, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadToken
from homeserver.core.sliding_tokens import (
    SlidingToken,
    parse_sliding_token,
    parse_thread_subscriptions_token,
    parse_to_device_token,
    thread_subscriptions_token,
    to_device_token,
)

numbers = st.integers(0, 10**18 - 1)
tokens = st.builds(
    SlidingToken, numbers, numbers, numbers, st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True), numbers, numbers
)


@given(tokens)
def test_a_token_is_read_back(token: SlidingToken) -> None:
    assert parse_sliding_token(str(token)) == token


@given(numbers)
def test_a_token_of_to_device_messages_is_read_back(position: int) -> None:
    assert parse_to_device_token(to_device_token(position)) == position


@given(numbers, tokens)
def test_a_token_of_thread_subscriptions_is_read_back_and_so_is_a_whole_one(position: int, token: SlidingToken) -> None:
    assert parse_thread_subscriptions_token(thread_subscriptions_token(position)) == position
    assert parse_thread_subscriptions_token(str(token)) == token.position


@given(st.text())
def test_other_text_is_no_token(text: str) -> None:
    with pytest.raises(BadToken):
        parse_sliding_token(f"{text}.")
    with pytest.raises(BadToken):
        parse_to_device_token(f"{text}.")
    with pytest.raises(BadToken):
        parse_thread_subscriptions_token(f"{text}.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "w1.2.3.e.4",
        "w01.2.3.e.4.5",
        "w1.2.3.e.4.5 ",
        "s1.2.e.3",
        "w1.2.3..4.5",
        f"w{10**18}.2.3.e.4.5",
        "w١.2.3.e.4.5",
    ],
)
def test_what_looks_like_a_token_is_none(text: str) -> None:
    with pytest.raises(BadToken):
        parse_sliding_token(text)
