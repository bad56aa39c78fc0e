"""Tests of redaction: what each room version keeps, and what a redaction does not change."""

from typing import Any

import pytest
from hypothesis import given

from homeserver.core.errors import BadEvent
from homeserver.core.event import Event
from homeserver.core.event_format import parse_event
from homeserver.core.hashing import event_id_of
from homeserver.core.redaction import redact, redacted_event
from homeserver.core.room_versions import ROOM_VERSIONS, V1, V10, V11, V12, RoomVersion
from tests.strategies import CONTENT_KEYS, versioned_pdus

KEPT_BY_ALL = {
    "event_id",
    "type",
    "room_id",
    "sender",
    "state_key",
    "content",
    "hashes",
    "signatures",
    "depth",
    "prev_events",
    "auth_events",
    "origin_server_ts",
}
POWER_LEVELS = {"ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"}


def kept_content_keys(event_type: str, version: int) -> set[str]:
    """What the specification's pages of the room versions list, retold by number."""
    kept: dict[str, set[str]] = {
        "m.room.member": {"membership"} | ({"join_authorised_via_users_server"} if version >= 9 else set()),
        "m.room.create": {"creator"} if version < 11 else set(CONTENT_KEYS),
        "m.room.join_rules": {"join_rule"} | ({"allow"} if version >= 8 else set()),
        "m.room.power_levels": POWER_LEVELS | ({"invite"} if version >= 11 else set()),
        "m.room.aliases": {"aliases"} if version < 6 else set(),
        "m.room.history_visibility": {"history_visibility"},
        "m.room.redaction": {"redacts"} if version >= 11 else set(),
    }
    return kept.get(event_type, set())


@pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: f"v{version.name}")
@pytest.mark.parametrize(
    "event_type",
    [
        "m.room.member",
        "m.room.create",
        "m.room.join_rules",
        "m.room.power_levels",
        "m.room.aliases",
        "m.room.history_visibility",
        "m.room.redaction",
        "m.room.message",
        "m.room.name",
        "org.example.thing",
    ],
)
def test_of_the_content_stays_what_the_version_lists(event_type: str, version: RoomVersion) -> None:
    content = {key: f"value of {key}" for key in CONTENT_KEYS}

    redacted = redact({"type": event_type, "content": content}, version)

    kept = kept_content_keys(event_type, int(version.name))
    assert redacted["content"] == {key: value for key, value in content.items() if key in kept}


@pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: f"v{version.name}")
def test_of_the_top_level_stays_what_the_version_lists(version: RoomVersion) -> None:
    legacy = {"prev_state", "origin", "membership"}
    others = {"unsigned", "redacts", "age_ts", "org.example.extra"}
    pdu = {**dict.fromkeys(KEPT_BY_ALL | legacy | others, "x"), "content": {}}

    redacted = redact(pdu, version)

    assert set(redacted) == (KEPT_BY_ALL if int(version.name) >= 11 else KEPT_BY_ALL | legacy)


@pytest.mark.parametrize(
    ("invite", "kept"),
    [
        ({"display_name": "A", "signed": {"mxid": "@a:b"}}, {"signed": {"mxid": "@a:b"}}),
        ({"display_name": "A"}, {}),
        ("text", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("version", [V10, V11, V12])
def test_of_a_third_party_invite_the_signed_part_stays_from_version_11_on(
    version: RoomVersion, invite: object, kept: object
) -> None:
    content = {"membership": "invite", "third_party_invite": invite}

    redacted = redact({"type": "m.room.member", "content": content}, version)["content"]

    assert redacted.get("third_party_invite") == (kept if version.updated_redaction else None)
    assert ("third_party_invite" in redacted) == (version.updated_redaction and kept is not None)


@pytest.mark.parametrize(
    "pdu", [{}, {"type": "a"}, {"content": {}}, {"type": ["a"], "content": {}}, {"type": "a", "content": []}]
)
def test_without_type_and_content_there_is_nothing_to_redact(pdu: dict[str, Any]) -> None:
    with pytest.raises(BadEvent):
        redact(pdu, V1)


@given(versioned_pdus())
def test_redaction_is_idempotent_and_keeps_the_event_id(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned

    redacted = redact(pdu, version)

    assert redact(redacted, version) == redacted
    assert event_id_of(redacted, version) == event_id_of(pdu, version)


@given(versioned_pdus())
def test_a_redacted_event_is_still_a_valid_event(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned
    event = parse_event(pdu, version)

    redacted: Event = redacted_event(event)

    assert redacted == parse_event(redact(pdu, version), version)
    assert (redacted.event_id, redacted.room_id) == (event.event_id, event.room_id)


@given(versioned_pdus())
def test_redaction_leaves_its_argument_alone(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned
    before = repr(pdu)

    redact(pdu, version)

    assert repr(pdu) == before
