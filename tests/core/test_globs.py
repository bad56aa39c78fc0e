"""Glob patterns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.globs import Glob, contains_word

PATTERNS = st.text(alphabet="ab_ é-.*?", max_size=8)
TEXTS = st.text(alphabet="ab_ é-.\n", max_size=14)


def matches_by_definition(pattern: str, text: str) -> bool:
    """The obvious, slow way."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches_by_definition(pattern[1:], text[cut:]) for cut in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches_by_definition(pattern[1:], text[1:])


def is_boundary(text: str, place: int) -> bool:
    beside = text[max(0, place - 1) : place + 1]
    return place in (0, len(text)) or not all(re.fullmatch("[A-Za-z0-9_]", character) for character in beside)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("lunc?*", "lunch plans", True),
        ("lunc?*", "lunch", True),
        ("lunc?*", " lunch", False),
        ("lunc?*", "lunc", False),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("a*b*c", "axbxbc", True),
        ("a*b*c", "acb", False),
        ("*.example.org", "matrix.example.org", True),
        ("[a]", "a", False),
        ("a\\*", "a\\b", True),
    ],
)
def test_a_pattern_matches_whole_texts(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).matches(text) is expected


@given(PATTERNS, TEXTS)
def test_matching_agrees_with_the_definition(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) is matches_by_definition(pattern, text)


@given(PATTERNS, TEXTS)
def test_occurrence_agrees_with_the_definition(pattern: str, text: str) -> None:
    places = [place for place in range(len(text) + 1) if is_boundary(text, place)]

    expected = any(
        matches_by_definition(pattern, text[start:end]) for start in places for end in places if start <= end
    )

    assert Glob(pattern).occurs_in(text) is expected


@given(st.text(alphabet="ab_ é-", min_size=1, max_size=4), TEXTS)
def test_a_word_occurs_where_a_glob_of_it_does(word: str, text: str) -> None:
    assert contains_word(text, word) is Glob(word).occurs_in(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("an example event.", True),
        ("exple", True),
        ("an exciting triple-whammy", True),
        ("an inexample", False),
        ("examples", False),
        ("exampleé", True),
    ],
)
def test_the_examples_of_word_boundaries_hold(text: str, expected: bool) -> None:
    assert Glob("ex*ple").occurs_in(text) is expected


def test_case_is_ignored_on_demand() -> None:
    assert Glob("Foo*", ignore_case=True).matches("fOObar")
    assert not Glob("Foo*").matches("foobar")


def test_a_question_mark_is_ordinary_where_the_filter_says_so() -> None:
    glob = Glob("m.?*", question_mark=False)

    assert glob.matches("m.?x")
    assert not glob.matches("m.xx")


def test_patterns_made_to_backtrack_come_to_an_end() -> None:
    text = "a" * 50_000

    assert not Glob("*a" * 100 + "*b").matches(text)
    assert not Glob("a*" * 100 + "b").occurs_in(text)
    assert not Glob("a?" * 100 + "b").occurs_in(text + " b")
