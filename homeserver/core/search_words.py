"""Words that are searched for: how a text is cut into them, and how closely it answers a search.

Texts and searches are cut alike, so that they meet. Scripts that put spaces between words are cut there; of scripts
that put none, every character is a token and every pair of neighbours, since a dictionary would be needed for more.
Where tokens are kept is in storage/message_words.py and the like; what is searched, in services/.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.event import Event

LONGEST_TEXT: Final = 10_000  # characters; what comes after them is not found
LONGEST_WORD: Final = 64  # of longer ones only this much counts
MOST_TOKENS: Final = 1_000  # of one text
MOST_WORDS_ASKED: Final = 16  # of one search; the others do not narrow it down
ASCII_WORD: Final = re.compile(r"[a-z0-9]+")

# Scripts without spaces: Thai, Lao, Tibetan, Burmese, Hangul, Khmer, kana, Bopomofo and Han. Korean has spaces, but its
# words take their endings without one.
UNSPACED: Final = (
    (0x0E00, 0x0EFF),
    (0x0F00, 0x109F),
    (0x1100, 0x11FF),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x303C),
    (0x3040, 0x318F),
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_STARTS: Final = tuple(start for start, _ in UNSPACED)

# Which part of an event's content is searched, and by which name clients know it.
SEARCHED: Final[Mapping[str, str]] = {"m.room.message": "body", "m.room.name": "name", "m.room.topic": "topic"}


def words_of(text: str) -> list[str]:
    """The words of a text in their order, each in the form in which words are compared.

    A run of characters of a script without spaces is one word here. Words hold letters, digits and marks alone.
    """
    text = text[:LONGEST_TEXT]
    if text.isascii():
        return [word[:LONGEST_WORD] for word in ASCII_WORD.findall(text.lower())]
    return list(_words(folded(text)))


def folded(text: str) -> str:
    """A text without the differences that searches overlook: of case, width and composition."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def is_unspaced(word: str) -> bool:
    """Whether a word of `words_of` is a run of a script without spaces."""
    return _is_unspaced(word[0])


def tokens_of(words: Sequence[str]) -> list[str]:
    """What words are found by, each token once: the words, and of runs the characters and pairs of neighbours."""
    tokens: dict[str, None] = {}
    for word in words:
        if not is_unspaced(word):
            tokens[word] = None
        else:
            tokens.update(dict.fromkeys(word))
            tokens.update((word[index : index + 2], None) for index in range(len(word) - 1))
        if len(tokens) >= MOST_TOKENS:
            break
    return list(tokens)[:MOST_TOKENS]


@dataclass(frozen=True, slots=True)
class WordSearch:
    """What somebody looks for: words, all of which are wanted."""

    words: tuple[str, ...]

    @property
    def tokens(self) -> list[str]:
        """The fewest tokens that each text has in which the words are."""
        tokens: dict[str, None] = {}
        for word in self.words:
            if is_unspaced(word) and len(word) > 1:
                tokens.update((word[index : index + 2], None) for index in range(len(word) - 1))
            else:
                tokens[word] = None
        return list(tokens)[: 2 * MOST_WORDS_ASKED]

    def rank(self, words: Sequence[str]) -> float | None:
        """How closely the words of a text answer: more than 0, and 2 at most. None if one is missing.

        What is found often in a short text is closest; what is there as it was asked for, word after word, before all.
        """
        runs = [word for word in words if is_unspaced(word)]
        rank = 0.0
        for wanted in self.words:
            found = sum(run.count(wanted) for run in runs) if is_unspaced(wanted) else words.count(wanted)
            if not found:
                return None
            rank += found / (found + 1 + len(words) / 50)
        in_order = f" {' '.join(self.words)} " in f" {' '.join(words)} "
        return rank / len(self.words) + (1.0 if in_order else 0.0)


def search_for(term: str) -> WordSearch | None:
    """What somebody looks for who types this; None if there is no word in it."""
    words = tuple(dict.fromkeys(words_of(term)))[:MOST_WORDS_ASKED]
    return WordSearch(words) if words else None


def searched_text(event: Event) -> str | None:
    """What an event says that can be found: the body of a message, the new one of an edit, a room's name or topic."""
    field = SEARCHED.get(event.type)
    if field is None or (event.state_key is None) != (field == "body") or event.state_key:
        return None
    content: Mapping[str, Any] = event.content
    new_content = content.get("m.new_content")
    if field == "body" and isinstance(new_content, dict) and _is_edit(content):
        content = new_content
    text = content.get(field)
    return text if isinstance(text, str) and text else None


def _is_edit(content: Mapping[str, Any]) -> bool:  # Any: JSON
    relation = content.get("m.relates_to")
    return isinstance(relation, dict) and relation.get("rel_type") == "m.replace"


def _words(text: str) -> Iterator[str]:
    begin, kind = 0, ""
    for index, character in enumerate(text):
        following = _kind(character, kind)
        if following != kind:
            if kind:
                yield _bounded(text[begin:index], kind)
            begin, kind = index, following
    if kind:
        yield _bounded(text[begin:], kind)


def _bounded(word: str, kind: str) -> str:
    return word[:LONGEST_WORD] if kind == "word" else word


def _kind(character: str, before: str) -> str:
    if character.isalnum():
        return "run" if _is_unspaced(character) else "word"
    # A mark belongs to the letter before it, and begins nothing.
    return before if before and unicodedata.category(character)[0] == "M" else ""


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    if code < UNSPACED[0][0]:
        return False
    index = bisect_right(_STARTS, code) - 1
    return code <= UNSPACED[index][1]
