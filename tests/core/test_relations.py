"""What events relate to, and what may be bundled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.relations import (
    Relation,
    is_valid_replacement,
    may_be_annotated,
    may_be_thread_root,
    newest_replacement,
    relation_of,
    replied_event,
    thread_id_of,
)
from homeserver.core.room_versions import V12
from tests.strategies import lenient_json_values


def event(content: dict[str, Any], **fields: Any) -> Event:
    given_fields = {
        "event_id": EventID("$event"),
        "room_id": RoomID("!room:x"),
        "type": "m.room.message",
        "sender": UserID("@alice:x"),
        "state_key": None,
        "origin_server_ts": 5,
        **fields,
    }
    return Event(
        version=V12,
        content=content,
        depth=1,
        prev_event_ids=(),
        auth_event_ids=(),
        redacts=None,
        pdu={},
        **given_fields,
    )


def relating(rel_type: object, event_id: object = "$parent", **more: object) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": rel_type, "event_id": event_id, **more}}


ORIGINAL = event({"body": "I like cake"}, event_id=EventID("$parent"))
EDIT = {**relating("m.replace"), "m.new_content": {"body": "I like chocolate cake"}}


def test_the_relations_of_the_specification_are_read() -> None:
    thread = relating("m.thread", is_falling_back=True, **{"m.in_reply_to": {"event_id": "$target"}})

    assert relation_of(relating("m.annotation", key="👍")) == Relation("m.annotation", EventID("$parent"), key="👍")
    assert relation_of(relating("m.reference", key="👍")) == Relation("m.reference", EventID("$parent"))
    assert relation_of(thread) == Relation("m.thread", EventID("$parent"), is_falling_back=True)
    assert replied_event(thread) == "$target"


def test_a_mere_reply_has_no_relation() -> None:
    content = {"m.relates_to": {"m.in_reply_to": {"event_id": "$another"}}}

    assert relation_of(content) is None
    assert replied_event(content) == "$another"
    assert may_be_thread_root(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"m.relates_to": None},
        {"m.relates_to": []},
        relating(None),
        relating(""),
        relating(1),
        relating({}),
        relating("x" * 256),
        relating("m.\x00"),
        relating("m.\ud800"),
        relating("m.thread", None),
        relating("m.thread", "parent"),
        relating("m.thread", "$" + "x" * 255),
        relating("m.thread", "$\x00"),
        relating("m.thread", ["$parent"]),
    ],
)
def test_what_does_not_fit_the_schema_is_no_relation(content: dict[str, Any]) -> None:
    assert relation_of(content) is None
    assert replied_event({"m.relates_to": {"m.in_reply_to": content}}) is None


@pytest.mark.parametrize("key", [None, 1, "x" * 1025, "\x00", "é" * 600])
def test_an_annotation_without_a_usable_key_is_an_annotation_all_the_same(key: object) -> None:
    assert relation_of(relating("m.annotation", key=key)) == Relation("m.annotation", EventID("$parent"))


def test_only_a_thread_relation_puts_an_event_into_a_thread() -> None:
    assert thread_id_of(event(relating("m.thread"))) == "$parent"
    assert thread_id_of(event(relating("m.replace"))) is None
    assert thread_id_of(event({})) is None


def test_children_neither_begin_threads_nor_are_all_of_them_annotated() -> None:
    assert not may_be_thread_root(relating("m.thread"))
    assert not may_be_thread_root(relating("org.example"))
    assert may_be_annotated(relating("m.thread"))
    assert not may_be_annotated(relating("m.annotation"))
    assert not may_be_annotated(relating("m.replace"))


def test_an_edit_of_ones_own_message_is_valid() -> None:
    assert is_valid_replacement(ORIGINAL, event(EDIT))


@pytest.mark.parametrize(
    ("original", "replacement"),
    [
        ({}, {"sender": "@bob:x"}),
        ({}, {"room_id": "!other:x"}),
        ({}, {"type": "m.sticker"}),
        ({"state_key": ""}, {}),
        ({}, {"state_key": ""}),
        ({"content": relating("m.replace", "$older")}, {}),
        ({"event_id": "$other"}, {}),
        ({}, {"content": relating("m.replace")}),
        ({}, {"content": {**EDIT, "m.new_content": "text"}}),
        ({}, {"content": {**EDIT, **relating("m.thread")}}),
    ],
)
def test_an_edit_that_breaks_a_requirement_is_ignored(original: dict[str, Any], replacement: dict[str, Any]) -> None:
    first = event(**{"content": {}, "event_id": "$parent", **original})
    second = event(**{"content": EDIT, **replacement})

    assert not is_valid_replacement(first, second)


def test_an_encrypted_edit_keeps_its_new_content_to_itself() -> None:
    original = event({}, event_id=EventID("$parent"), type="m.room.encrypted")

    assert is_valid_replacement(original, event(relating("m.replace"), type="m.room.encrypted"))


def test_an_edit_of_a_threaded_message_is_valid() -> None:
    original = event(relating("m.thread", "$root"), event_id=EventID("$parent"))

    assert is_valid_replacement(original, event(EDIT))


def test_the_newest_valid_edit_is_bundled_and_of_two_at_once_the_one_of_the_larger_id() -> None:
    edits = [
        event(EDIT, event_id="$b", origin_server_ts=7),
        event(EDIT, event_id="$a", origin_server_ts=7),
        event(EDIT, event_id="$z", origin_server_ts=6),
        event(EDIT, event_id="$zz", origin_server_ts=9, sender="@bob:x"),
    ]

    assert newest_replacement(ORIGINAL, edits) == edits[0]
    assert newest_replacement(ORIGINAL, []) is None


@given(
    st.fixed_dictionaries(
        {},
        optional={"rel_type": lenient_json_values(2), "event_id": lenient_json_values(2), "key": st.text()},
    )
    | lenient_json_values()
)
def test_garbage_is_read_without_complaint(relates_to: object) -> None:
    content = {"m.relates_to": relates_to}

    relation_of(content)
    replied_event(content)
    is_valid_replacement(ORIGINAL, event(content))
