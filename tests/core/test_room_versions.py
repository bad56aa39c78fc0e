"""Tests of the table of room versions."""

import pytest

from homeserver.core.errors import UnsupportedRoomVersion
from homeserver.core.room_versions import (
    DEFAULT_ROOM_VERSION,
    ROOM_VERSIONS,
    EventIDFormat,
    StateResolution,
    room_version,
    room_version_of_create,
)

# Which versions have each rule, as the specification's page of each version says.
RULES = {
    "enforces_key_validity": range(5, 13),
    "strict_canonical_json": range(6, 13),
    "special_aliases_auth": range(1, 6),
    "limits_notification_levels": range(6, 13),
    "knocking": range(7, 13),
    "restricted_joins": range(8, 13),
    "redaction_keeps_authorising_user": range(9, 13),
    "knock_restricted_joins": range(10, 13),
    "integer_power_levels": range(10, 13),
    "updated_redaction": range(11, 13),
    "implicit_creator": range(11, 13),
    "room_id_is_create_hash": range(12, 13),
    "privileged_creators": range(12, 13),
    "checks_auth_event_rooms": range(1, 13),
    "event_ids_are_hashes": range(3, 13),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_holds_in_the_versions_that_the_specification_names(rule: str) -> None:
    assert [int(name) for name, version in ROOM_VERSIONS.items() if getattr(version, rule)] == list(RULES[rule])


def test_event_ids_and_state_resolution_changed_twice() -> None:
    formats = [version.event_id_format for version in ROOM_VERSIONS.values()]
    resolutions = [version.state_resolution for version in ROOM_VERSIONS.values()]

    assert formats == [EventIDFormat.ASSIGNED] * 2 + [EventIDFormat.HASH_STANDARD] + [EventIDFormat.HASH_URLSAFE] * 9
    assert resolutions == [StateResolution.V1] + [StateResolution.V2] * 10 + [StateResolution.V2_1]


def test_new_rooms_are_of_version_12() -> None:
    assert DEFAULT_ROOM_VERSION is room_version("12")


@pytest.mark.parametrize("name", ["", "0", "13", "org.example", "1 ", None, 1, 1.0, True, ["1"], {"1": 1}])
def test_an_unknown_version_is_refused_whatever_its_type(name: object) -> None:
    with pytest.raises(UnsupportedRoomVersion):
        room_version(name)
    with pytest.raises(UnsupportedRoomVersion):
        room_version_of_create({"room_version": name})


def test_a_create_event_without_a_version_makes_a_room_of_version_1() -> None:
    assert room_version_of_create({}) is room_version("1")
    assert room_version_of_create({"room_version": "12"}) is room_version("12")
