"""Server access control lists."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.server_acls import compile_globs, is_server_allowed, read_server_acl

LETTERS = st.text(alphabet="ab.", min_size=1, max_size=10)
PATTERNS = st.lists(st.text(alphabet="aAb.*?", max_size=10), max_size=6)


def allows(server: str, **content: Any) -> bool:
    return is_server_allowed(server, content)


def test_without_a_list_every_server_is_allowed() -> None:
    assert is_server_allowed("evil.example", None)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("good.example", True),
        ("evil.example", False),
        ("EVIL.example", False),
        ("evil.example:8448", False),
        ("evil.example:1234", False),
        ("a.bad.example", False),
        ("a.b.bad.example:1", False),
        ("bad.example", True),
        ("x1.worse.example", False),
        ("x12.worse.example", True),
    ],
)
def test_denied_servers_are_denied_whatever_their_case_and_port(server: str, *, expected: bool) -> None:
    deny = ["Evil.Example", "*.bad.example", "x?.worse.example"]

    assert allows(server, allow=["*"], deny=deny) is expected


def test_deny_comes_before_allow() -> None:
    assert not allows("one.example", allow=["one.example"], deny=["one.example"])


def test_who_is_not_in_the_allow_list_is_denied() -> None:
    assert allows("one.example", allow=["one.example"])
    assert not allows("two.example", allow=["one.example"])
    assert not allows("xone.example", allow=["one.example"])
    assert not allows("one.examples", allow=["one.example"])


def test_a_dot_in_a_pattern_is_a_dot() -> None:
    assert not allows("oneXexample", allow=["one.example"])
    assert not allows("aXone.example", allow=["*.one.example"])


@pytest.mark.parametrize("content", [{}, {"deny": []}, {"allow": None}, {"allow": "*"}, {"allow": {"*": 1}}])
def test_without_an_allow_list_nobody_is_allowed(content: dict[str, Any]) -> None:
    assert not is_server_allowed("one.example", content)


@pytest.mark.parametrize("server", ["1.2.3.4", "1.2.3.4:8448", "[::1]", "[::1]:8448", "[1234:ABCD::1]:1"])
def test_ip_literals_are_denied_only_when_the_list_says_false(server: str) -> None:
    assert not allows(server, allow=["*"], allow_ip_literals=False)
    assert allows(server, allow=["*"], allow_ip_literals=True)
    assert allows(server, allow=["*"])


@pytest.mark.parametrize("garbage", [0, None, "false", []])
def test_ip_literals_are_allowed_when_the_list_says_garbage(garbage: Any) -> None:
    assert allows("1.2.3.4", allow=["*"], allow_ip_literals=garbage)


@pytest.mark.parametrize("server", ["1.2.3.example", "1.2.3.4.5", "example.1"])
def test_names_that_only_look_like_ip_literals_are_names(server: str) -> None:
    assert allows(server, allow=["*"], allow_ip_literals=False)


def test_an_ip_literal_can_be_named() -> None:
    assert not allows("[1234:ABCD::1]:8448", allow=["*"], deny=["[1234:abcd::1]"])
    assert not allows("1.2.3.4:80", allow=["*"], deny=["1.2.3.*"])


@pytest.mark.parametrize("server", ["", ":", "::1", "a:b", "[::1", "[::1]x", "évil.example", "x" * 256])
def test_what_cannot_be_a_server_name_is_denied(server: str) -> None:
    assert not allows(server, allow=["*"])


def test_entries_that_are_not_strings_are_passed_over() -> None:
    assert allows("one.example", allow=[None, 1, ["*"], "*"], deny=[{}, True, "two.example"])


@given(
    content=st.dictionaries(
        st.sampled_from(["allow", "deny", "allow_ip_literals"]), st.from_type(type(None)) | PATTERNS
    )
)
def test_garbage_lists_never_fail(content: dict[str, Any]) -> None:
    assert is_server_allowed("a.b", content) in (True, False)


@given(patterns=PATTERNS, name=LETTERS)
def test_globs_match_as_the_regular_expressions_of_the_same_patterns(patterns: list[str], name: str) -> None:
    expressions = [
        "".join({"*": ".*", "?": "."}.get(token, re.escape(token)) for token in pattern.lower()) for pattern in patterns
    ]

    expected = any(re.fullmatch(expression, name) for expression in expressions)

    assert compile_globs(patterns).matches(name) is expected


def test_patterns_made_to_be_slow_are_answered_by_one_pass() -> None:
    slow = ["*a" * 127 + "b", "*a?" * 80 + "*b", "*" * 30_000 + "b", "?*" * 250 + "c"]
    acl = read_server_acl({"allow": ["*"], "deny": slow * 8 + [f"*{number}*x" for number in range(3_000)]})

    assert acl.allows("a" * 255)
    assert not acl.allows("a" * 254 + "b")
