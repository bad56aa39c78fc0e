"""JSON that is wrong in every way JSON can be: values, the bytes they are written as, and ways to spoil a good value.

What is right for an endpoint is derived from its declaration, in declared.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

# Any: values are JSON, with Raw, Known and Pairs among it.
Value: TypeAlias = Any
Path: TypeAlias = tuple[Any, ...]  # keys (str or Known) and indices


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON, or nearly JSON, that is written as it stands."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """A string that the cast knows: "own room". May stand where a string may, as a key too."""

    name: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object whose keys may come twice, and may be Raw."""

    pairs: tuple[tuple[str | Raw | Known, Value], ...]


def write(value: Value, names: Mapping[str, str]) -> bytes:
    """The bytes of a value. A name that the cast does not know stands for itself."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Known):
        return json.dumps(names.get(value.name, value.name)).encode()
    if isinstance(value, Pairs):
        return b"{" + b", ".join(write(key, names) + b": " + write(each, names) for key, each in value.pairs) + b"}"
    if isinstance(value, dict):
        return b"{" + b", ".join(write(key, names) + b": " + write(each, names) for key, each in value.items()) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b", ".join(write(each, names) for each in value) + b"]"
    return json.dumps(value, ensure_ascii=False).encode()


def _nested(opening: bytes, closing: bytes, depth: int) -> Raw:
    return Raw(opening * depth + b"1" + closing * depth)


WRONG_KINDS: Final[tuple[Value, ...]] = (None, True, False, 0, 1, -1, 1.5, "", "x", "1", "true", [], {}, [[]], [None])
WRONG_NUMBERS: Final[tuple[Value, ...]] = tuple(
    Raw(text)
    for text in (
        b"-0",
        b"-0.0",
        b"1e0",
        b"1.0",
        b"9007199254740991",
        b"9007199254740992",
        b"-9007199254740992",
        b"9223372036854775807",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"18446744073709551616",
        b"1" + b"0" * 30,
        b"1" * 5000,
        b"1e308",
        b"1e400",
        b"-1e999",
        b"1e-400",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"0x10",
        b"01",
        b"+1",
        b".5",
        b"5.",
        b"1_000",
    )
)
WRONG_TEXTS: Final[tuple[Value, ...]] = (
    Raw(rb'"\u0000"'),
    Raw(rb'"a\u0000b"'),
    Raw(rb'"\ud800"'),
    Raw(rb'"a\udfff\ud800b"'),
    Raw(b'"\xff\xfe"'),
    Raw(b'"\xed\xa0\x80"'),
    Raw(b'"\xc0\x80"'),
    Raw(b'"\xf4\x90\x80\x80"'),
    Raw(b'"a\x00b"'),
    Raw(b'"a\nb"'),
    Raw(rb'"\x41"'),
    Raw(b"'x'"),
    "\u202e\u200b\ufeff\uffff",
    "\U0001f54a" * 70,
    "e\u0301\u0327" * 100,
    "%",
    "%00",
    "_%\\",
    "'; DROP TABLE users; --",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "\r\nX-Injected: 1",
    "@",
    "@:",
    "@a:",
    "@:127.0.0.2:1",
    "@a:b:c:d",
    "@A B:localhost",
    "!",
    "!:",
    "#",
    "#:",
    "$",
    "$:",
    ":",
    ".",
    "..",
    "*",
    "**a**b*?*" * 30,
    "(a+)+$",
    "m.",
    "m.room.",
    "a.b.c" * 100,
    "\\.\\\\.",
    "-1",
    "1e9",
    "9" * 30,
    "null",
    "mxc://",
    "mxc://../..",
    "http://127.0.0.1:1/",
    "javascript:alert(1)",
    "a" * 256,
    "\u00e9" * 128,
)
NESTED: Final[tuple[Value, ...]] = tuple(
    _nested(opening, closing, depth)
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"))
    for depth in (60, 199, 201, 260, 1100)
)
LARGE: Final[tuple[Value, ...]] = (
    "a" * 70_000,
    Raw(b'"' + b"\xf0\x9f\x95\x8a" * 17_000 + b'"'),
    Raw(b"[" + b"0," * 20_000 + b"0]"),
    Raw(b"[" + b'"@a:127.0.0.2:1",' * 5_000 + b'"@a:127.0.0.2:1"]'),
    Raw(b"{" + b",".join(b'"k%d":{}' % number for number in range(10_000)) + b"}"),
)
HUGE: Final[tuple[Value, ...]] = (
    Raw(b'"' + b"a" * 1_000_000 + b'"'),
    Raw(b'"' + rb"\u0041" * 160_000 + b'"'),
    _nested(b"[", b"]", 100_000),
    _nested(b'{"a":', b"}", 100_000),
    Raw(b"[" + b"{}," * 300_000 + b"{}]"),
)
# Whole bodies that are not even a value in the wrong place.
NO_JSON: Final[tuple[Raw, ...]] = tuple(
    Raw(text)
    for text in (
        b"",
        b" ",
        b"{",
        b"}",
        b"{]",
        b'{"a"}',
        b'{"a":}',
        b"{,}",
        b'{"a":1,}',
        b"{}{}",
        b"{} x",
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"\xff",
        b"\x00",
        b"\x1f\x8b\x08\x00",
        b"a=1&b=2",
        b"<xml/>",
        b"nul",
        b"NaN",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"' + b"a" * 1000,
        b"{" + b" " * 100_000 + b"}",
        b'{"a": 1, "a": 2}',
        b'{"": {"": {"": {}}}}',
        b'{"__proto__": {}, "constructor": 1}',
        b'{"\\u0000": 1}',
        b'{"\\ud800": 1}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 100000000000000000000000000000000000000}',
    )
)
TOO_LARGE: Final = Raw(b'"' + b"a" * (1024 * 1024) + b'"')

# Keys that mean something in some event, request or rule.
_WORDS: Final = """
    type content state_key sender room_id event_id user_id membership displayname avatar_url is_direct reason
    third_party_invite signed mxid token signatures unsigned redacts join_rule allow history_visibility guest_access
    room_version creator predecessor m.federate additional_creators users users_default events events_default
    state_default ban kick invite redact notifications room alias alt_aliases algorithm rotation_period_ms body
    msgtype format formatted_body m.relates_to rel_type m.in_reply_to is_falling_back key m.mentions user_ids
    m.new_content url info file thumbnail_url name topic pinned replacement_room allow_ip_literals deny via order
    suggested limit types not_types senders not_senders rooms not_rooms contains_url lazy_load_members
    include_redundant_members unread_thread_notifications timeline state ephemeral account_data presence
    include_leave event_fields event_format related_by_rel_types related_by_senders conditions actions kind pattern
    is value set_tweak sound highlight default enabled device_id keys device_keys one_time_keys fallback_keys fallback
    usage master_key self_signing_key user_signing_key auth session password identifier user ed25519:X curve25519:X
    signed_curve25519:AAAA auth_data sessions first_message_index forwarded_count is_verified session_data tags
    m.favourite ignored_users messages m.read ts thread_id * a.b _ $
    """
WORDS: Final = tuple(_WORDS.split())
STRINGS: Final[tuple[Value, ...]] = (
    *(Known(name) for name in ("self", "friend", "stranger", "own room", "other room", "own event", "own server")),
    "m.room.message",
    "m.room.member",
    "m.text",
    "join",
    "ban",
    "invite",
    "knock",
    "restricted",
    "public",
    "world_readable",
    "m.thread",
    "m.replace",
    "m.annotation",
    "m.reference",
    "m.megolm.v1.aes-sha2",
    "m.login.password",
    "*",
    "",
)


@cache
def wrong_values() -> st.SearchStrategy[Value]:
    """Something that hardly fits anywhere."""
    usual = (*WRONG_KINDS, *WRONG_KINDS, *WRONG_NUMBERS, *WRONG_TEXTS, *NESTED)
    # The large ones cost time, and come now and then.
    return st.sampled_from([*usual, *usual, *LARGE, *LARGE, *HUGE])


@cache
def strings() -> st.SearchStrategy[Value]:
    """Strings that mean something somewhere, and a few that do not."""
    return st.one_of(st.sampled_from(STRINGS), st.sampled_from(WORDS), st.text(max_size=8))


@cache
def things() -> st.SearchStrategy[Value]:
    """JSON that could be the content of something."""
    leaves = st.one_of(
        st.sampled_from((None, True, False, 0, 1, -1, 50, 100, 2**53 - 1, 1.5)), strings(), strings(), wrong_values()
    )
    return st.recursive(leaves, _containers, max_leaves=6)


@cache
def objects() -> st.SearchStrategy[Value]:
    """JSON objects that could be the content of something."""
    return st.dictionaries(keys(), things(), max_size=4)


@cache
def keys() -> st.SearchStrategy[Value]:
    """Keys of objects."""
    return st.one_of(st.sampled_from(WORDS), st.sampled_from(STRINGS), st.text(max_size=5))


def _containers(children: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    return st.one_of(st.lists(children, max_size=3), st.dictionaries(keys(), children, max_size=3))


@st.composite
def spoiled(draw: st.DrawFn, value: Value) -> Value:
    """The value with one place made wrong: another value there, or nothing, or two."""
    place = draw(st.sampled_from(list(_places(value))))
    if not place:
        return draw(st.one_of(wrong_values(), st.sampled_from(NO_JSON)))
    how = draw(st.sampled_from(("replace", "replace", "replace", "remove", "duplicate")))
    other = None if how == "remove" else draw(wrong_values())
    return _changed(value, place, how, other)


def _places(value: Value, above: Path = ()) -> list[Path]:
    found = [above]
    if isinstance(value, dict):
        for key, each in value.items():
            found += _places(each, (*above, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += _places(each, (*above, index))
    return found


def _changed(value: Value, place: Path, how: str, other: Value) -> Value:
    first, *rest = place
    if rest:
        below = _changed(value[first], tuple(rest), how, other)
        return _with(value, first, below)
    if how == "replace":
        return _with(value, first, other)
    if isinstance(value, list):
        assert isinstance(first, int)
        return value[:first] + value[first + 1 :] if how == "remove" else [*value, value[first], other]
    pairs = [(key, each) for key, each in value.items() if how != "remove" or key != first]
    return Pairs((*pairs, (first, other))) if how == "duplicate" else dict(pairs)


def _with(value: Value, key: Any, below: Value) -> Value:
    if isinstance(value, list):
        assert isinstance(key, int)
        return [*value[:key], below, *value[key + 1 :]]
    return {**value, key: below}
