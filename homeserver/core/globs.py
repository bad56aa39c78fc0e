"""Glob patterns: `*` matches any run of characters, `?` exactly one.

Matching never backtracks over a star: time is bounded by the text's length times the longest piece between two stars.
Spec: appendices/#glob-style-matching
"""

import re
from typing import Final

_WORD: Final = "[A-Za-z0-9_]"
_WORD_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_BOUNDARY: Final = f"(?:(?<!{_WORD})|(?!{_WORD}))"


class Glob:
    """A compiled pattern. Its regular expression is made when a text long enough for it first comes by."""

    __slots__ = (
        "_folds",
        "_is_plain",
        "_needle",
        "_pieces",
        "_question_mark",
        "_regex",
        "_word_regex",
        "least_length",
        "literal",
    )

    def __init__(self, pattern: str, *, ignore_case: bool = False, question_mark: bool = True) -> None:
        """`question_mark=False` leaves `?` an ordinary character, as in the `types` of filters."""
        if ignore_case:
            pattern = pattern.lower()
        self._folds = ignore_case
        self._question_mark = question_mark
        self._pieces = pattern.split("*")
        self.least_length = sum(map(len, self._pieces))
        self._is_plain = not (question_mark and "?" in pattern)
        is_literal = self._is_plain and len(self._pieces) == 1
        self.literal: str | None = pattern if is_literal else None  # the one text that matches, if there is but one
        chunks = [chunk for piece in self._pieces for chunk in (piece.split("?") if question_mark else (piece,))]
        self._needle = max(chunks, key=len)  # what every matching text contains
        self._regex: re.Pattern[str] | None = None
        self._word_regex: re.Pattern[str] | None = None

    def matches(self, text: str) -> bool:
        """Does the whole of `text` match?"""
        if self._folds:
            text = text.lower()
        if self.literal is not None:
            return text == self.literal
        if len(text) < self.least_length or self._needle not in text:
            return False
        if self._is_plain:
            return self._has_pieces(text)
        if self._regex is None:
            self._regex = re.compile(self._whole_expression(), re.DOTALL)
        return self._regex.fullmatch(text) is not None

    def occurs_in(self, text: str) -> bool:
        """Does some part of `text` match that starts and ends at a word boundary?

        A boundary is any place that is not between two characters of A-Z, a-z, 0-9 and _.
        Spec: client-server-api/#push-rules
        """
        if self._folds:
            text = text.lower()
        if len(text) < self.least_length or self._needle not in text:
            return False
        if self._word_regex is None:
            self._word_regex = re.compile(self._word_expression(), re.DOTALL)
        return self._word_regex.match(text) is not None

    def longest_search(self) -> int:
        """How many characters may be compared at one place of the text, at most."""
        return max(map(len, self._pieces))

    def _has_pieces(self, text: str) -> bool:
        """Does the whole of `text` consist of the pieces, in order, and whatever is between them?"""
        first, *middle, last = self._pieces
        if not text.startswith(first) or not text.endswith(last):
            return False
        position, end = len(first), len(text) - len(last)
        for piece in middle:
            found = text.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return position <= end

    # Each piece but the last is found as early as possible, and stays there: the atomic group (?>…) forbids another
    # try, which could not help, because an earlier end leaves more text to the pieces after it.

    def _whole_expression(self) -> str:
        first, *rest = map(self._expression, self._pieces)
        if not rest:
            return first
        return first + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1]

    def _word_expression(self) -> str:
        first, *rest = map(self._expression, self._pieces)
        start = self._boundary(self._pieces[0][:1], f"(?<!{_WORD})")
        end = self._boundary(self._pieces[-1][-1:], f"(?!{_WORD})")
        if not rest:
            return f".*?{start}{first}{end}"
        middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
        return f"(?>.*?{start}{first}){middle}.*?{rest[-1]}{end}"

    def _boundary(self, character: str, beside_a_word: str) -> str:
        """The boundary beside `character`, the pattern's outermost, as cheaply as can be told."""
        if character in _WORD_CHARACTERS:
            return beside_a_word
        if character == "" or (character == "?" and self._question_mark):
            return _BOUNDARY
        return ""

    def _expression(self, piece: str) -> str:
        if not self._question_mark:
            return re.escape(piece)
        return ".".join(map(re.escape, piece.split("?")))


def contains_word(text: str, word: str) -> bool:
    """Does `word`, taken literally, stand in `text` between word boundaries? Both are compared as they are."""
    if word not in text:
        return False
    return re.search(_BOUNDARY + re.escape(word) + _BOUNDARY, text) is not None
