"""Tests of event building: what is built is valid to the checks that a received event undergoes."""

from dataclasses import replace

import pytest
from hypothesis import given

from homeserver.core.canonical_json import decode_for
from homeserver.core.errors import BadEvent, BadJson, EventTooLarge
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.hashing import has_valid_content_hash
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import ROOM_VERSIONS, V1, V5, V10, V11, V12, RoomVersion
from homeserver.core.signing import verify_event_signature
from tests.strategies import SERVER_NAME, SIGNING_KEY, versioned_templates

ASSIGNED = EventID("$assigned:here.example")
MESSAGE = EventTemplate(
    room_id=RoomID("!" + "a" * 43),
    type="m.room.message",
    sender=UserID("@a:here.example"),
    content={"body": "hello", "msgtype": "m.text"},
    prev_events=((EventID("$" + "b" * 43), b""),),
    auth_events=(),
    depth=2,
    origin_server_ts=1700000000000,
)
MESSAGE_V10 = replace(MESSAGE, room_id=RoomID("!a:here.example"))


@given(versioned_templates())
def test_what_is_built_passes_the_checks_of_a_received_event(versioned: tuple[RoomVersion, EventTemplate]) -> None:
    version, template = versioned
    event_id = None if version.event_ids_are_hashes else ASSIGNED

    built = build_event(template, version, SERVER_NAME, SIGNING_KEY, event_id)

    received = parse_and_encode(decode_for(version, built.pdu_json), version)
    assert received == built
    assert has_valid_content_hash(built.event.pdu, version)
    verify_event_signature(built.event.pdu, version, SERVER_NAME, SIGNING_KEY.verify_key)
    assert built.event.redacts == template.redacts or template.redacts is None
    assert built.event.prev_event_ids == tuple(event_id for event_id, _ in template.prev_events)
    assert built.event.auth_event_ids == tuple(event_id for event_id, _ in template.auth_events)


def test_early_versions_name_events_with_their_hashes() -> None:
    template = replace(
        MESSAGE_V10, prev_events=((EventID("$p:b"), b"\x00" * 32),), auth_events=((EventID("$q:b"), b"\xff" * 32),)
    )

    pdu = build_event(template, V1, SERVER_NAME, SIGNING_KEY, ASSIGNED).event.pdu

    assert pdu["event_id"] == ASSIGNED
    assert pdu["prev_events"] == [["$p:b", {"sha256": "A" * 43}]]
    assert pdu["auth_events"] == [["$q:b", {"sha256": "/" * 42 + "8"}]]


def test_early_versions_name_events_without_a_hash_where_none_is_known() -> None:
    template = replace(MESSAGE_V10, prev_events=((EventID("$p:b"), b""),), auth_events=())

    pdu = build_event(template, V1, SERVER_NAME, SIGNING_KEY, ASSIGNED).event.pdu

    assert pdu["prev_events"] == [["$p:b", {}]]


def test_what_is_redacted_is_put_where_the_version_keeps_it() -> None:
    redacts = EventID("$" + "r" * 43)
    template = replace(MESSAGE_V10, type="m.room.redaction", content={"reason": "spam"}, redacts=redacts)

    before = build_event(template, V10, SERVER_NAME, SIGNING_KEY).event
    after = build_event(template, V11, SERVER_NAME, SIGNING_KEY).event

    assert (before.pdu["redacts"], before.content) == (redacts, {"reason": "spam"})
    assert ("redacts" in after.pdu, after.content) == (False, {"reason": "spam", "redacts": redacts})
    assert template.content == {"reason": "spam"}


def test_a_create_event_of_version_12_has_no_room_id_and_gives_it() -> None:
    template = replace(MESSAGE, room_id=None, type="m.room.create", state_key="", content={"room_version": "12"})

    event = build_event(template, V12, SERVER_NAME, SIGNING_KEY).event

    assert "room_id" not in event.pdu
    assert event.room_id == "!" + event.event_id[1:]


@pytest.mark.parametrize(
    ("version", "template"),
    [
        (V12, replace(MESSAGE, room_id=None)),
        (V12, replace(MESSAGE, type="m.room.create", state_key="")),
        (V11, replace(MESSAGE, room_id=None, type="m.room.create", state_key="")),
        (V12, replace(MESSAGE, depth=-1)),
        (V12, replace(MESSAGE, depth=2**53)),
        (V12, replace(MESSAGE, prev_events=MESSAGE.prev_events * 21)),
        (V12, replace(MESSAGE, auth_events=MESSAGE.prev_events * 11)),
        (V12, replace(MESSAGE, auth_events=((EventID("$" + "a" * 43), b""),))),
        (V12, replace(MESSAGE, content=["no object"])),  # type: ignore[arg-type]
    ],
)
def test_a_template_of_no_valid_event_is_refused(version: RoomVersion, template: EventTemplate) -> None:
    with pytest.raises(BadEvent):
        build_event(template, version, SERVER_NAME, SIGNING_KEY)


@pytest.mark.parametrize(("version", "event_id"), [(V1, None), (V12, ASSIGNED)])
def test_an_event_id_is_assigned_in_early_versions_alone(version: RoomVersion, event_id: EventID | None) -> None:
    template = MESSAGE if version is V12 else MESSAGE_V10

    with pytest.raises(BadEvent):
        build_event(template, version, SERVER_NAME, SIGNING_KEY, event_id)


@pytest.mark.parametrize(
    "template",
    [
        replace(MESSAGE, type="a" * 256),
        replace(MESSAGE, state_key="ä" * 128),
        replace(MESSAGE, content={"body": "a" * 65536}),
    ],
)
def test_what_is_too_large_is_refused(template: EventTemplate) -> None:
    with pytest.raises(EventTooLarge):
        build_event(template, V12, SERVER_NAME, SIGNING_KEY)


def test_a_built_event_leaves_room_for_an_empty_unsigned() -> None:
    bare = build_event(replace(MESSAGE, content={"body": ""}), V12, SERVER_NAME, SIGNING_KEY)
    room = 65536 - len(b',"unsigned":{}') - len(bare.pdu_json)

    largest = build_event(replace(MESSAGE, content={"body": "a" * room}), V12, SERVER_NAME, SIGNING_KEY)

    assert len(largest.pdu_json) == 65522
    with pytest.raises(EventTooLarge):
        build_event(replace(MESSAGE, content={"body": "a" * (room + 1)}), V12, SERVER_NAME, SIGNING_KEY)


@pytest.mark.parametrize("value", [1.5, 2**53, "\ud800", float("nan"), (1,), {1: 2}])
def test_a_content_that_canonical_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(BadJson):
        build_event(replace(MESSAGE, content={"a": value}), V12, SERVER_NAME, SIGNING_KEY)


@pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: f"v{version.name}")
def test_no_built_event_names_its_origin(version: RoomVersion) -> None:
    template = MESSAGE if version is V12 else MESSAGE_V10
    event_id = None if version.event_ids_are_hashes else ASSIGNED
    if version.event_ids_are_hashes is False:
        template = replace(template, prev_events=())

    assert "origin" not in build_event(template, version, SERVER_NAME, SIGNING_KEY, event_id).event.pdu


def test_a_float_is_sent_in_early_versions() -> None:
    built = build_event(replace(MESSAGE_V10, content={"a": 1.5}), V5, SERVER_NAME, SIGNING_KEY)

    assert b'"content":{"a":1.5}' in built.pdu_json
