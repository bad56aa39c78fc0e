"""Which state entries are the auth events of an event."""

from typing import Any

import pytest

from homeserver.core.auth_selection import CREATE, JOIN_RULES, POWER_LEVELS, auth_types_for
from homeserver.core.room_versions import RoomVersion
from tests.core.rooms import ALICE, BOB, CAROL, in_every_version, in_versions_where

MEMBER_ALICE = ("m.room.member", ALICE)
MEMBER_BOB = ("m.room.member", BOB)
MEMBER_CAROL = ("m.room.member", CAROL)


def ground(version: RoomVersion) -> list[tuple[str, str]]:
    return [POWER_LEVELS, MEMBER_ALICE] if version.name == "12" else [CREATE, POWER_LEVELS, MEMBER_ALICE]


@in_every_version
def test_a_create_event_has_no_auth_events(version: RoomVersion) -> None:
    assert auth_types_for("m.room.create", ALICE, "", {}, version) == ()


@in_every_version
@pytest.mark.parametrize("event_type", ["m.room.message", "m.room.name", "m.room.join_rules", "m.room.redaction"])
def test_an_ordinary_event_needs_create_power_levels_and_sender(version: RoomVersion, event_type: str) -> None:
    assert sorted(auth_types_for(event_type, ALICE, None, {}, version)) == sorted(ground(version))


@in_every_version
@pytest.mark.parametrize("membership", ["join", "invite", "knock"])
def test_who_comes_in_needs_target_and_join_rules(version: RoomVersion, membership: str) -> None:
    selected = auth_types_for("m.room.member", ALICE, BOB, {"membership": membership}, version)

    assert sorted(selected) == sorted([*ground(version), MEMBER_BOB, JOIN_RULES])


@in_every_version
@pytest.mark.parametrize("membership", ["leave", "ban", "unknown", None, ["join"], {"join": 1}])
def test_who_goes_out_needs_the_target_only(version: RoomVersion, membership: Any) -> None:
    selected = auth_types_for("m.room.member", ALICE, BOB, {"membership": membership}, version)

    assert sorted(selected) == sorted([*ground(version), MEMBER_BOB])


@in_every_version
def test_who_speaks_of_themselves_is_listed_once(version: RoomVersion) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": ALICE}

    selected = auth_types_for("m.room.member", ALICE, ALICE, content, version)

    assert sorted(selected) == sorted([*ground(version), JOIN_RULES])


@in_every_version
def test_a_third_party_invite_needs_the_event_of_its_token(version: RoomVersion) -> None:
    content = {"membership": "invite", "third_party_invite": {"signed": {"token": "abc"}}}

    invite = auth_types_for("m.room.member", ALICE, BOB, content, version)
    join = auth_types_for("m.room.member", ALICE, BOB, content | {"membership": "join"}, version)

    assert ("m.room.third_party_invite", "abc") in invite
    assert ("m.room.third_party_invite", "abc") not in join


@in_versions_where("restricted_joins")
def test_a_restricted_join_needs_the_user_who_vouches(version: RoomVersion) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": CAROL}

    join = auth_types_for("m.room.member", BOB, BOB, content, version)
    invite = auth_types_for("m.room.member", BOB, BOB, content | {"membership": "invite"}, version)

    assert MEMBER_CAROL in join
    assert MEMBER_CAROL not in invite


@in_versions_where("restricted_joins", holds=False)
def test_before_version_8_nobody_vouches(version: RoomVersion) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": CAROL}

    assert MEMBER_CAROL not in auth_types_for("m.room.member", BOB, BOB, content, version)


@in_every_version
@pytest.mark.parametrize("garbage", [None, 1, "text", [], ["signed"], {}, {"signed": []}, {"signed": {"token": [1]}}])
def test_garbage_selects_nothing_more(version: RoomVersion, garbage: Any) -> None:
    invite = {"membership": "invite", "third_party_invite": garbage}
    join = {"membership": "join", "join_authorised_via_users_server": None if isinstance(garbage, str) else garbage}

    expected = sorted([*ground(version), MEMBER_BOB, JOIN_RULES])
    assert sorted(auth_types_for("m.room.member", ALICE, BOB, invite, version)) == expected
    assert sorted(auth_types_for("m.room.member", ALICE, BOB, join, version)) == expected


@in_every_version
def test_a_member_event_without_state_key_has_no_target(version: RoomVersion) -> None:
    selected = auth_types_for("m.room.member", ALICE, None, {"membership": "leave"}, version)

    assert sorted(selected) == sorted(ground(version))
