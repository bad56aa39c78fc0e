"""Words: how texts are cut into them, and what answers a search."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import V12
from homeserver.core.search_words import (
    LONGEST_WORD,
    MOST_TOKENS,
    WordSearch,
    folded,
    is_unspaced,
    search_for,
    searched_text,
    tokens_of,
    words_of,
)

# Letters of many scripts, marks, and what parts words: more often than chance would have them.
TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from("aB cé.-_§\"'é東京都ねこ고양이ไทยक्षिﾊﾝ１Ⅸß"), st.characters()), max_size=60
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, WORLD!", ["hello", "world"]),
        ("snake_case and-dashes don't", ["snake", "case", "and", "dashes", "don", "t"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("cafe\N{COMBINING ACUTE ACCENT} CAFÉ", ["café", "café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("Pythonで書く", ["python", "で書く"]),
        ("ﾊﾝｶｸ Ｗｉｄｅ", ["ハンカク", "wide"]),
        ("東京、京都", ["東京", "京都"]),
        ("고양이가 좋아", ["고양이가", "좋아"]),
        ("!!! ... \N{GRINNING FACE}", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_of_scripts_without_spaces_each_character_and_pair_is_a_token() -> None:
    assert sorted(tokens_of(words_of("東京都 cat"))) == sorted(["東", "京", "都", "東京", "京都", "cat"])
    assert tokens_of(words_of("猫")) == ["猫"]


@given(TEXTS)
def test_words_are_cut_again_into_themselves(text: str) -> None:
    words = words_of(text)

    assert words_of(" ".join(words)) == words


@given(TEXTS)
def test_tokens_are_of_letters_digits_and_marks_alone(text: str) -> None:
    for token in tokens_of(words_of(text)):
        assert not any(character.isspace() or character in "\"'§\0" for character in token)
        assert 0 < len(token) <= LONGEST_WORD


@given(TEXTS, TEXTS)
def test_whatever_is_in_a_text_is_found_in_it(before: str, wanted: str) -> None:
    words = words_of(f"{before} {wanted}")
    search = search_for(wanted)

    if search is None:
        assert words_of(wanted) == []
    else:
        assert set(search.tokens) <= set(tokens_of(words))
        assert search.rank(words) is not None


@given(TEXTS, TEXTS)
def test_what_lacks_a_token_has_no_rank(text: str, wanted: str) -> None:
    words, search = words_of(text), search_for(wanted)

    if search is not None and not set(search.tokens) <= set(tokens_of(words)):
        assert search.rank(words) is None


@given(st.lists(st.sampled_from(["a", "bb", "猫", "東京", "京都"]), min_size=1, max_size=8))
def test_a_rank_lies_within_its_bounds(words: list[str]) -> None:
    rank = WordSearch(("a", "東京")).rank(words)

    assert rank is None or 0 < rank <= 2


@pytest.mark.parametrize(
    ("closer", "farther"),
    [
        ("red apple", "apple, and later red"),
        ("red apple", "a red apple and many more words that have nothing to do with it whatever one may think"),
        ("red apple red apple", "red apple"),
    ],
)
def test_what_answers_more_closely_has_the_greater_rank(closer: str, farther: str) -> None:
    search = search_for("red apple")

    assert search is not None
    assert (search.rank(words_of(closer)) or 0) > (search.rank(words_of(farther)) or 0) > 0


def test_the_pairs_of_a_run_that_stand_apart_are_not_the_run() -> None:
    search = search_for("東京都")

    assert search is not None
    assert set(search.tokens) <= set(tokens_of(words_of("京都と東京")))
    assert search.rank(words_of("京都と東京")) is None
    assert search.rank(words_of("新東京都庁")) is not None


def test_long_texts_and_words_are_bounded() -> None:
    assert len(tokens_of(words_of(" ".join(f"word{number}" for number in range(5_000))))) == MOST_TOKENS
    assert [len(word) for word in words_of("x" * 500)] == [LONGEST_WORD]
    search = search_for(" ".join(f"w{number}" for number in range(500)))
    assert search is not None
    assert len(search.words) == 16


def test_a_search_without_words_is_none() -> None:
    assert search_for(" ?! ") is None


def test_folding_is_done_once() -> None:
    assert folded(folded("ǅ ﬁ Ｗ")) == folded("ǅ ﬁ Ｗ") == "dž fi w"
    assert is_unspaced("ねこ")
    assert not is_unspaced("cat")


def event(event_type: str, content: dict[str, Any], state_key: str | None = None) -> Event:
    return Event(
        version=V12,
        event_id=EventID("$event"),
        room_id=RoomID("!room:x"),
        type=event_type,
        sender=UserID("@alice:x"),
        state_key=state_key,
        content=content,
        origin_server_ts=5,
        depth=1,
        prev_event_ids=(),
        auth_event_ids=(),
        redacts=None,
        pdu={},
    )


EDIT = {"rel_type": "m.replace", "event_id": "$a"}


@pytest.mark.parametrize(
    ("event_type", "content", "state_key", "text"),
    [
        ("m.room.message", {"body": "hello"}, None, "hello"),
        ("m.room.message", {"body": "* new", "m.new_content": {"body": "new"}, "m.relates_to": EDIT}, None, "new"),
        ("m.room.message", {"body": "text", "m.new_content": {"body": "new"}}, None, "text"),
        ("m.room.message", {"body": 5}, None, None),
        ("m.room.message", {"body": "x"}, "", None),
        ("m.room.name", {"name": "Room"}, "", "Room"),
        ("m.room.name", {"name": "Room"}, "other", None),
        ("m.room.name", {"name": "Room"}, None, None),
        ("m.room.topic", {"topic": "What for"}, "", "What for"),
        ("m.room.topic", {}, "", None),
        ("m.room.encrypted", {"body": "x", "ciphertext": "y"}, None, None),
        ("org.example", {"body": "x"}, None, None),
    ],
)
def test_the_texts_of_messages_names_and_topics_are_searched(
    event_type: str, content: dict[str, Any], state_key: str | None, text: str | None
) -> None:
    assert searched_text(event(event_type, content, state_key)) == text
