"""Sync and pagination tokens."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadToken
from homeserver.core.sync_tokens import (
    NotificationToken,
    PaginationToken,
    SearchToken,
    SyncToken,
    parse_notification_token,
    parse_pagination_token,
    parse_search_token,
    parse_sync_token,
    parse_token,
)

NUMBERS = st.integers(0, 2**63 - 1)
SYNC_TOKENS = st.builds(SyncToken, NUMBERS, NUMBERS, st.from_regex(r"\A[A-Za-z0-9_-]{1,32}\Z"), NUMBERS)
PAGINATION_TOKENS = st.builds(PaginationToken, st.integers(1 - 2**63, 2**63 - 1))


@given(SYNC_TOKENS | PAGINATION_TOKENS)
def test_a_printed_token_is_read_back_as_itself(token: SyncToken | PaginationToken) -> None:
    text = str(token)

    assert parse_token(text) == token
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", text)


@given(SYNC_TOKENS, PAGINATION_TOKENS)
def test_one_type_of_token_is_refused_for_the_other(sync: SyncToken, pagination: PaginationToken) -> None:
    with pytest.raises(BadToken):
        parse_pagination_token(str(sync))
    with pytest.raises(BadToken):
        parse_sync_token(str(pagination))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "s1.2.3",
        "s1.2.a.3.4",
        "s01.2.a.3",
        "s-1.2.a.3",
        "s1.2..3",
        "s1.2.a.3\n",
        "s9223372036854775808.2.a.3",
        "s99999999999999999999.2.a.3",
        "s１.2.a.3",
        "p",
        "p-0",
        "p01",
        "p--1",
        "p9223372036854775808",
        "p-9223372036854775808",
        "s72594_4483_1934",
        "t1-2_3",
        "\ud800",
    ],
)
def test_what_this_server_did_not_issue_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        parse_token(text)


@given(st.text(alphabet="sp0123456789.-ax", max_size=30) | st.text())
def test_garbage_is_refused_or_is_what_would_be_printed(text: str) -> None:
    try:
        token = parse_token(text)
    except BadToken:
        return
    assert str(token) == text


@given(st.integers(-(2**62), 2**62), st.integers(0, 10_000), st.none() | st.sampled_from(["!room:x", "@älice:x"]))
def test_a_search_token_is_read_as_it_was_written(before: int, seen: int, group: str | None) -> None:
    token = SearchToken(before, seen, group)

    assert parse_search_token(str(token)) == token


@pytest.mark.parametrize(
    "text", ["", "f", "f1", "f1.2.", "f01.2", "f1.-2", "f1.2.=", "f1.2.A", "f1.2._w", f"f{2**64}.0"]
)
def test_what_is_no_search_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        parse_search_token(text)


@given(NUMBERS)
def test_a_notification_token_is_read_as_it_was_written(before: int) -> None:
    assert parse_notification_token(str(NotificationToken(before))) == NotificationToken(before)


@pytest.mark.parametrize("text", ["", "n", "n-1", "n01", "n1 ", f"n{2**64}", "p1"])
def test_what_is_no_notification_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        parse_notification_token(text)
