"""Tests of the format checks: what each room version accepts, and that garbage is refused in order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.canonical_json import NESTING_LIMIT, encode_for
from homeserver.core.errors import BadEvent, BadJson, EventTooLarge
from homeserver.core.event import view_event
from homeserver.core.event_format import PDU_LIMIT_BYTES, depth_limit, parse_and_encode, parse_event
from homeserver.core.hashing import create_event_id_of, event_id_of
from homeserver.core.room_versions import ROOM_VERSIONS, V1, V2, V3, V5, V6, V10, V11, V12, RoomVersion
from tests.strategies import json_values, lenient_json_values, room_versions, versioned_pdus

HASH = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
ALL_VERSIONS = pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: f"v{version.name}")


def message(version: RoomVersion, **changes: object) -> dict[str, Any]:
    """A message of valid format; `changes` replace its fields."""
    reference: object = f"${HASH[::-1]}"
    if not version.event_ids_are_hashes:
        reference = ["$b:example.org", {"sha256": "x"}]
    elif version is V3:
        reference = "$" + "a" * 43
    pdu: dict[str, Any] = {
        "type": "m.room.message",
        "sender": "@a:example.org",
        "room_id": f"!{HASH}" if version.room_id_is_create_hash else "!a:example.org",
        "content": {"body": "hello"},
        "depth": 7,
        "origin_server_ts": 1700000000000,
        "hashes": {"sha256": "x"},
        "signatures": {"example.org": {"ed25519:a": "x"}},
        "prev_events": [reference],
        "auth_events": [],
    }
    if not version.event_ids_are_hashes:
        pdu["event_id"] = "$a:example.org"
    return {**pdu, **changes}


def create(**changes: object) -> dict[str, Any]:
    """An m.room.create of version 12."""
    pdu = message(V12, type="m.room.create", state_key="", prev_events=[], content={"room_version": "12"}, **changes)
    if "room_id" not in changes:
        del pdu["room_id"]
    return pdu


def padded(version: RoomVersion, size_bytes: int) -> dict[str, Any]:
    """A message whose canonical JSON has exactly that size."""
    empty = len(encode_for(version, message(version, content={"body": ""})))
    return message(version, content={"body": "a" * (size_bytes - empty)})


@ALL_VERSIONS
def test_a_valid_message_is_read_field_by_field(version: RoomVersion) -> None:
    pdu = message(version)

    event = parse_event(pdu, version)

    assert event.event_id == event_id_of(pdu, version)
    assert event.room_id == pdu["room_id"]
    assert (event.type, event.sender, event.state_key) == ("m.room.message", "@a:example.org", None)
    assert (event.depth, event.origin_server_ts) == (7, 1700000000000)
    assert event.content == {"body": "hello"}
    assert event.prev_event_ids[0] == (pdu["prev_events"][0] if version.event_ids_are_hashes else "$b:example.org")
    assert event.auth_event_ids == ()
    assert event.redacts is None
    assert not event.is_state


@given(versioned_pdus())
def test_generated_pdus_are_accepted(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned

    encoded = parse_and_encode(pdu, version)

    event = encoded.event
    assert event.event_id == event_id_of(pdu, version)
    assert event.pdu == {key: value for key, value in pdu.items() if key != "unsigned"}
    assert encoded.pdu_json == encode_for(version, event.pdu)
    assert view_event(event.pdu, version, event_id=event.event_id) == event


@pytest.mark.parametrize("unsigned", [{}, {"age": 1.5}, None, [], "x" * 70000, {"a": float("nan")}])
def test_unsigned_is_dropped_unread(unsigned: object) -> None:
    assert parse_event(message(V12, unsigned=unsigned), V12) == parse_event(message(V12), V12)


@ALL_VERSIONS
@pytest.mark.parametrize(
    "field",
    [
        "type",
        "sender",
        "room_id",
        "content",
        "depth",
        "origin_server_ts",
        "hashes",
        "signatures",
        "prev_events",
        "auth_events",
    ],
)
def test_a_required_field_that_is_missing_or_of_another_type_is_refused(field: str, version: RoomVersion) -> None:
    valid = message(version)
    without = {key: value for key, value in valid.items() if key != field}

    with pytest.raises(BadEvent):
        parse_event(without, version)
    wrongs: list[object] = [None, True, "text", 1, ["text"], [1], [[]], {"a": 1}, {"a": {"b": 1}}]
    for wrong in wrongs:
        if type(wrong) is not type(valid[field]) or field not in ("depth", "origin_server_ts", "type", "content"):
            with pytest.raises(BadEvent):
                parse_event({**valid, field: wrong}, version)


@pytest.mark.parametrize("pdu", [None, 1, "text", [], [{}], True, 1.5])
def test_what_is_no_object_is_no_event(pdu: object) -> None:
    with pytest.raises(BadEvent):
        parse_event(pdu, V12)


@ALL_VERSIONS
def test_the_whole_event_has_65536_bytes_at_most(version: RoomVersion) -> None:
    assert len(parse_and_encode(padded(version, PDU_LIMIT_BYTES), version).pdu_json) == 65536
    with pytest.raises(EventTooLarge):
        parse_event(padded(version, PDU_LIMIT_BYTES + 1), version)


@ALL_VERSIONS
def test_fields_have_255_bytes_at_most(version: RoomVersion) -> None:
    assert parse_event(message(version, type="ä" * 127, state_key="a" * 255), version).state_key == "a" * 255
    for field, value in (
        ("type", "a" * 256),
        ("type", "ä" * 128),
        ("state_key", "a" * 256),
        ("sender", "@" + "a" * 254 + ":b"),
        ("sender", "@" + "ä" * 127 + ":b"),
        ("room_id", "!" + "a" * 254 + ":b"),
    ):
        with pytest.raises(EventTooLarge):
            parse_event(message(version, **{field: value}), version)


def test_an_assigned_event_id_has_255_bytes_at_most() -> None:
    with pytest.raises(EventTooLarge):
        parse_event(message(V1, event_id="$" + "a" * 254 + ":b"), V1)


@pytest.mark.parametrize("state_key", [None, 1, [], {}, True])
def test_a_state_key_is_text(state_key: object) -> None:
    with pytest.raises(BadEvent):
        parse_event(message(V12, state_key=state_key), V12)


@pytest.mark.parametrize("sender", ["", "a:b", "@a", "@a\x00:b", "@a:b c", "!a:b"])
def test_a_sender_is_a_user_id(sender: str) -> None:
    with pytest.raises(BadEvent):
        parse_event(message(V12, sender=sender), V12)


def test_a_historical_sender_is_accepted() -> None:
    assert parse_event(message(V12, sender="@Ä b:example.org"), V12).sender == "@Ä b:example.org"


def test_a_room_id_is_that_of_its_version() -> None:
    for version, room_id in ((V11, f"!{HASH}"), (V12, "!a:example.org"), (V12, "!abc"), (V11, "!abc"), (V1, "a:b")):
        with pytest.raises(BadEvent):
            parse_event(message(version, room_id=room_id), version)


@ALL_VERSIONS
def test_depth_stays_within_its_range(version: RoomVersion) -> None:
    limit = depth_limit(version)

    assert limit == (2**53 - 1 if int(version.name) >= 6 else 2**63 - 1)
    assert parse_event(message(version, depth=limit), version).depth == limit
    assert parse_event(message(version, depth=0), version).depth == 0
    for depth in (-1, limit + 1, 2**63, True, 1.0, "1", None):
        with pytest.raises((BadEvent, BadJson)):
            parse_event(message(version, depth=depth), version)


def test_a_timestamp_has_64_bits() -> None:
    assert parse_event(message(V5, origin_server_ts=-(2**63)), V5).origin_server_ts == -(2**63)
    for wrong in (2**63, 1.5, True):
        with pytest.raises(BadEvent):
            parse_event(message(V5, origin_server_ts=wrong), V5)


@ALL_VERSIONS
def test_lists_of_events_are_bounded(version: RoomVersion) -> None:
    reference = message(version)["prev_events"][0]

    event = parse_event(message(version, prev_events=[reference] * 20, auth_events=[reference] * 10), version)

    assert (len(event.prev_event_ids), len(event.auth_event_ids)) == (20, 10)
    with pytest.raises(BadEvent):
        parse_event(message(version, prev_events=[reference] * 21), version)
    with pytest.raises(BadEvent):
        parse_event(message(version, auth_events=[reference] * 11), version)


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize(
    "reference",
    [
        "$b:example.org",
        [],
        ["$b:example.org"],
        ["$b:example.org", "x"],
        ["$b:example.org", []],
        ["$b:example.org", None],
        ["$b:example.org", {"md5": "x"}],
        ["$b:example.org", {"sha256": 1}],
        ["$b:example.org", {"sha256": "x"}, 1],
        ["b", {"sha256": "x"}],
        [["$b:example.org"], {"sha256": "x"}],
        [f"${HASH}", {"sha256": "x"}],
    ],
)
def test_early_versions_name_events_with_their_hashes(version: RoomVersion, reference: object) -> None:
    for field in ("prev_events", "auth_events"):
        with pytest.raises(BadEvent):
            parse_event(message(version, **{field: [reference]}), version)


@pytest.mark.parametrize("version", [V1, V2])
def test_early_versions_name_events_without_hashes_where_those_were_not_known(version: RoomVersion) -> None:
    reference = ["$b:example.org", {}]

    event = parse_event(message(version, prev_events=[reference], auth_events=[reference]), version)

    assert event.prev_event_ids == event.auth_event_ids == ("$b:example.org",)


@pytest.mark.parametrize(
    ("version", "reference"),
    [
        (V3, f"${HASH}"),
        (V12, "$" + HASH.replace("-", "+")),
        (V12, "$short"),
        (V12, "$b:example.org"),
        (V12, [f"${HASH}", {"sha256": "x"}]),
        (V12, 1),
        (V12, None),
    ],
)
def test_later_versions_name_events_by_ids_of_their_format(version: RoomVersion, reference: object) -> None:
    for field in ("prev_events", "auth_events"):
        with pytest.raises(BadEvent):
            parse_event(message(version, **{field: [reference]}), version)


def test_an_event_id_is_carried_in_early_versions_alone() -> None:
    with pytest.raises(BadEvent):
        parse_event(message(V12, event_id=f"${HASH}"), V12)
    for event_id in (None, 1, "a", "$a", f"${HASH}"):
        with pytest.raises(BadEvent):
            parse_event(message(V1, event_id=event_id), V1)


def test_the_create_event_of_version_12_gives_the_room_its_id() -> None:
    event = parse_event(create(), V12)

    assert event.room_id == "!" + event.event_id[1:]
    assert create_event_id_of(event.room_id) == event.event_id
    with pytest.raises(BadEvent):
        parse_event(create(room_id=f"!{HASH}"), V12)
    with pytest.raises(BadEvent):
        parse_event(create(room_id=None), V12)


def test_only_the_create_event_goes_without_a_room_id() -> None:
    for changes in ({"state_key": "x"}, {"type": "m.room.name"}):
        with pytest.raises(BadEvent):
            parse_event({**create(), **changes}, V12)
    with pytest.raises(BadEvent):
        parse_event(create(), V11)


def test_the_create_event_of_version_12_authorises_nothing_by_name() -> None:
    with pytest.raises(BadEvent):
        parse_event(message(V12, auth_events=[f"${HASH}"]), V12)


@pytest.mark.parametrize(("version", "in_content"), [(V1, False), (V10, False), (V11, True), (V12, True)])
def test_what_is_redacted_is_named_where_the_version_says(version: RoomVersion, in_content: bool) -> None:
    at_top = message(version, type="m.room.redaction", redacts=f"${HASH}")
    inside = message(version, type="m.room.redaction", content={"redacts": f"${HASH}"})

    assert parse_event(at_top, version).redacts == (None if in_content else f"${HASH}")
    assert parse_event(inside, version).redacts == (f"${HASH}" if in_content else None)


def test_a_redaction_of_what_is_no_event_id_redacts_nothing() -> None:
    for redacts in ("", "text", 1, None, ["a"], {"a": 1}):
        event = parse_event(message(V12, type="m.room.redaction", content={"redacts": redacts}), V12)
        assert event.redacts is None
    assert parse_event(message(V12, content={"redacts": f"${HASH}"}), V12).redacts is None
    assert parse_event(message(V10, type="m.room.redaction", redacts="text"), V10).redacts is None
    with pytest.raises(BadEvent):
        parse_event(message(V10, type="m.room.redaction", redacts=1), V10)


def test_floats_and_large_integers_pass_up_to_version_5() -> None:
    content = {"ban": 50.5, "kick": 2**70}

    assert parse_event(message(V5, content=content), V5).content == content
    for value in content.values():
        with pytest.raises(BadJson):
            parse_event(message(V6, content={"a": value}), V6)


@ALL_VERSIONS
def test_deep_nesting_is_refused(version: RoomVersion) -> None:
    content: dict[str, Any] = {}
    for _ in range(NESTING_LIMIT + 1):
        content = {"a": content}

    with pytest.raises(BadJson):
        parse_event(message(version, content=content), version)


@given(room_versions(), lenient_json_values(30))
def test_any_json_is_an_event_or_refused(version: RoomVersion, value: Any) -> None:
    try:
        parse_event(value, version)
    except (BadEvent, BadJson):
        return
    raise AssertionError("accepted at random")


@given(versioned_pdus(), st.data())
def test_a_pdu_with_one_field_changed_is_an_event_or_refused(
    versioned: tuple[RoomVersion, dict[str, Any]], data: st.DataObject
) -> None:
    version, pdu = versioned
    field = data.draw(st.sampled_from([*pdu, "event_id", "room_id", "redacts", "state_key"]))
    value = data.draw(st.one_of(lenient_json_values(6), st.text(st.characters(exclude_categories=())), st.just({1: 2})))
    pdu[field] = value

    try:
        encoded = parse_and_encode(pdu, version)
    except (BadEvent, BadJson):
        return

    assert encoded.pdu_json == encode_for(version, encoded.event.pdu)
    assert len(encoded.event.room_id.encode()) <= 255


@given(room_versions(), st.lists(json_values(3), max_size=4), st.sampled_from(["prev_events", "auth_events"]))
def test_any_list_of_references_is_read_or_refused(version: RoomVersion, references: list[Any], field: str) -> None:
    try:
        event = parse_event(message(version, **{field: references}), version)
    except (BadEvent, BadJson):
        return

    assert len(event.prev_event_ids) + len(event.auth_event_ids) == len(references) + (field == "auth_events")
