"""Filters: read strictly, matched quickly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadJson, ProtocolError
from homeserver.core.filters import (
    DEFAULT_FILTER,
    EventFormat,
    RoomEventFilter,
    parse_filter,
    parse_room_event_filter,
    projected,
)
from homeserver.core.property_paths import split_path
from tests.strategies import lenient_json_values

ROOM_ID = "!726s6s6q:example.com"
EXAMPLE: dict[str, Any] = {
    "room": {
        "state": {"types": ["m.room.*"], "not_rooms": [ROOM_ID]},
        "timeline": {
            "limit": 10,
            "types": ["m.room.message"],
            "not_rooms": [ROOM_ID],
            "not_senders": ["@spam:example.com"],
        },
        "ephemeral": {
            "types": ["m.receipt", "m.typing"],
            "not_rooms": [ROOM_ID],
            "not_senders": ["@spam:example.com"],
        },
    },
    "presence": {"types": ["m.presence"], "not_senders": ["@alice:example.com"]},
    "event_format": "client",
    "event_fields": ["type", "content", "sender"],
}


def passes(one: RoomEventFilter, **fields: Any) -> bool:
    return one.matches(**{"event_type": "m.room.message", "sender": "@bob:x", "room_id": "!room:x", **fields})


def test_the_specifications_example_is_understood() -> None:
    one = parse_filter(EXAMPLE)

    assert one.event_format is EventFormat.CLIENT
    assert one.event_fields == (("type",), ("content",), ("sender",))
    assert one.room.timeline.limit == 10
    assert passes(one.room.timeline)
    assert not passes(one.room.timeline, sender="@spam:example.com")
    assert not passes(one.room.timeline, room_id=ROOM_ID)
    assert not passes(one.room.timeline, event_type="m.room.member")
    assert passes(one.room.state, event_type="m.room.member")
    assert not passes(one.room.state, event_type="m.sticker")
    assert passes(one.room.account_data, event_type="m.tag")
    assert one.presence.matches(event_type="m.presence", sender="@bob:x")
    assert not one.presence.matches(event_type="m.presence", sender="@alice:example.com")
    assert not one.is_default


@pytest.mark.parametrize("definition", [{}, {"room": {}}, {"room": {"timeline": {}}, "presence": {}, "unknown": [1]}])
def test_an_empty_filter_is_the_default_one(definition: dict[str, Any]) -> None:
    one = parse_filter(definition)

    assert one == DEFAULT_FILTER
    assert one.is_default
    assert one.room.timeline.is_default


def test_a_limit_alone_lets_everything_pass() -> None:
    one = parse_room_event_filter({"limit": 3, "lazy_load_members": True})

    assert one.is_default
    assert one.limit == 3
    assert one.lazy_load_members


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (1, 1), (100, 100), (101, 100), (2**70, 100)])
def test_a_limit_is_cut_to_the_maximum(limit: int, expected: int) -> None:
    assert parse_room_event_filter({"limit": limit}, max_limit=100).limit == expected


@pytest.mark.parametrize(
    "definition",
    [
        [],
        None,
        "x",
        {"presence": "not_an_object"},
        {"account_data": []},
        {"room": None},
        {"room": {"timeline": "not_an_object"}},
        {"room": {"state": "not_an_object"}},
        {"room": {"ephemeral": "not_an_object"}},
        {"room": {"account_data": "not_an_object"}},
        {"room": {"rooms": "not_a_list"}},
        {"room": {"include_leave": 1}},
        {"room": {"timeline": {"rooms": "not_a_list"}}},
        {"room": {"timeline": {"not_rooms": "not_a_list"}}},
        {"room": {"timeline": {"senders": "not_a_list"}}},
        {"room": {"timeline": {"not_senders": "not_a_list"}}},
        {"room": {"timeline": {"types": "not_a_list"}}},
        {"room": {"timeline": {"not_types": "not_a_list"}}},
        {"room": {"timeline": {"types": [0]}}},
        {"room": {"timeline": {"types": ["x" * 256]}}},
        {"room": {"timeline": {"types": ["x"] * 1001}}},
        {"room": {"timeline": {"rooms": ["not_a_room_id"]}}},
        {"room": {"timeline": {"senders": ["not_a_sender_id"]}}},
        {"room": {"timeline": {"limit": -1}}},
        {"room": {"timeline": {"limit": 1.5}}},
        {"room": {"timeline": {"limit": True}}},
        {"room": {"timeline": {"limit": "10"}}},
        {"room": {"state": {"lazy_load_members": "true"}}},
        {"room": {"state": {"include_redundant_members": 1}}},
        {"room": {"timeline": {"unread_thread_notifications": "yes"}}},
        {"room": {"timeline": {"contains_url": "yes"}}},
        {"room": {"timeline": {"related_by_rel_types": "m.thread"}}},
        {"event_format": "xml"},
        {"event_format": ["client"]},
        {"event_format": None},
        {"event_fields": "content"},
        {"event_fields": [1]},
        {"event_fields": ["x" * 1025]},
        {"event_fields": [f"content.{number}" for number in range(101)]},
        {"event_fields": ["content" + ".a" * 32]},
        {"room": {"timeline": {"types": [f"org.example.{number}.*" for number in range(101)]}}},
        {"room": {"timeline": {"not_types": ["*a" * 101]}}},
    ],
)
def test_a_filter_of_another_shape_is_refused(definition: object) -> None:
    with pytest.raises(BadJson):
        parse_filter(definition)


def test_an_empty_list_lets_nothing_pass_and_an_empty_list_of_exceptions_everything() -> None:
    assert not passes(parse_room_event_filter({"types": []}))
    assert not passes(parse_room_event_filter({"senders": []}))
    assert not passes(parse_room_event_filter({"rooms": []}))
    assert passes(parse_room_event_filter({"not_types": [], "not_senders": [], "not_rooms": []}))


def test_exceptions_win() -> None:
    assert not passes(parse_room_event_filter({"types": ["m.*"], "not_types": ["m.room.message"]}))
    assert not passes(parse_room_event_filter({"senders": ["@bob:x"], "not_senders": ["@bob:x"]}))
    assert not passes(parse_room_event_filter({"rooms": ["!room:x"], "not_rooms": ["!room:x"]}))


def test_a_star_is_the_only_wildcard_of_types() -> None:
    assert passes(parse_room_event_filter({"types": ["*"]}))
    assert passes(parse_room_event_filter({"types": ["*.room.*ge"]}))
    assert not passes(parse_room_event_filter({"types": ["m?room.message"]}))
    assert not passes(parse_room_event_filter({"types": ["M.ROOM.*"]}))
    assert passes(parse_room_event_filter({"types": ["a?*"]}), event_type="a?b")


@pytest.mark.parametrize(("contains_url", "has_url", "expected"), [(True, True, True), (True, False, False)])
def test_contains_url_asks_for_a_url(contains_url: bool, has_url: bool, expected: bool) -> None:
    assert passes(parse_room_event_filter({"contains_url": contains_url}), has_url=has_url) is expected
    assert passes(parse_room_event_filter({"contains_url": not contains_url}), has_url=has_url) is not expected


def test_children_must_be_of_a_wanted_type_and_sender_at_once() -> None:
    one = parse_room_event_filter({"related_by_rel_types": ["m.thread"], "related_by_senders": ["@bob:x"]})

    assert one.needs_relations
    assert passes(one, children=[("m.annotation", "@eve:x"), ("m.thread", "@bob:x")])
    assert not passes(one, children=[("m.annotation", "@bob:x"), ("m.thread", "@eve:x")])
    assert not passes(one)


def test_rooms_are_filtered_as_a_whole_too() -> None:
    one = parse_filter({"room": {"rooms": ["!a", "!b"], "not_rooms": ["!b"], "include_leave": True}}).room

    assert one.include_leave
    assert [one.allows_room(room_id) for room_id in ("!a", "!b", "!c")] == [True, False, False]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["type"], {"type": "m.x"}),
        (["content.body"], {"content": {"body": "b"}}),
        (["content.m\\.x.y", "content.body"], {"content": {"m.x": {"y": 1}, "body": "b"}}),
        (["content", "content.body"], {"content": {"body": "b", "m.x": {"y": 1, "z": 2}}}),
        (["content.body", "content"], {"content": {"body": "b", "m.x": {"y": 1, "z": 2}}}),
        (["content.m\\.x", "content.m\\.x.y"], {"content": {"m.x": {"y": 1, "z": 2}}}),
        (["type.x", "missing", "type"], {"type": "m.x"}),
    ],
)
def test_an_event_is_cut_down_to_the_wanted_fields(fields: list[str], expected: dict[str, Any]) -> None:
    event = {"type": "m.x", "sender": "@a:x", "content": {"body": "b", "m.x": {"y": 1, "z": 2}}}

    assert projected(event, [split_path(path) for path in fields]) == expected
    assert event["content"] == {"body": "b", "m.x": {"y": 1, "z": 2}}


_NAMES = [
    "room", "timeline", "state", "presence", "types", "not_types", "senders", "rooms", "limit", "event_fields",
    "event_format", "contains_url", "lazy_load_members", "include_leave", "related_by_senders",
]  # fmt: skip


@given(
    st.recursive(
        lenient_json_values(2) | st.lists(st.sampled_from(["m.*", "@a:x", "!r", "*", "\x00"]), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
        max_leaves=12,
    )
)
def test_garbage_is_refused_or_matched_without_complaint(definition: object) -> None:
    try:
        one = parse_filter(definition)
    except ProtocolError:
        return
    passes(one.room.timeline)
    one.presence.matches(event_type="m.presence", sender="@a:x")
