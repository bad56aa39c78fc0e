"""What of a room goes into the one that replaces it, in every pair of versions."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from homeserver.core.canonical_json import encode_for
from homeserver.core.errors import BadJson
from homeserver.core.identifiers import EventID, UserID
from homeserver.core.power_levels import creators, read_power_levels
from homeserver.core.room_upgrades import (
    TOMBSTONE,
    create_content,
    is_space,
    restricted_power_levels,
    split_aliases,
    transferred_content,
    transferred_power_levels,
)
from homeserver.core.room_versions import V1, V6, V10, V11, V12, RoomVersion
from tests.core.rooms import ALICE, BOB, CAROL, DAVE, JSON_VALUES, VERSIONS, Room, chat

ANY_VERSION = st.sampled_from(VERSIONS)
LEVELS = st.integers(-5, 200) | st.sampled_from(["50", " 7 ", 1.5, 10**400, str(10**30)]) | JSON_VALUES
LEVEL_MAPS = st.dictionaries(st.sampled_from([ALICE, BOB, CAROL, DAVE, "x", TOMBSTONE, "m.room.name"]), LEVELS)
POWER_LEVELS = st.dictionaries(
    st.sampled_from(["users_default", "events_default", "state_default", "ban", "kick", "redact", "invite", "own"]),
    LEVELS,
) | st.fixed_dictionaries({"users": LEVEL_MAPS, "events": LEVEL_MAPS, "notifications": LEVEL_MAPS, "ban": LEVELS})


def is_carried(version: RoomVersion, content: Any) -> bool:
    try:
        encode_for(version, content)
    except BadJson:
        return False
    return True


@given(ANY_VERSION, ANY_VERSION, POWER_LEVELS, st.sets(st.sampled_from([BOB, CAROL])))
def test_power_levels_of_any_room_are_allowed_in_the_new_one(
    old: RoomVersion, new: RoomVersion, content: dict[str, Any], added: set[UserID]
) -> None:
    assume(is_carried(old, content))
    room = Room(old)
    new_creators = {DAVE, *added}
    replacement = Room(new, {"additional_creators": sorted(new_creators)} if new.privileged_creators else {})
    replacement.put_member(ALICE, "join")

    levels = transferred_power_levels(room.create, room.put_power_levels(content), new, {ALICE, *new_creators})

    assert is_carried(new, levels)
    event = replacement.event("m.room.power_levels", levels, state_key="")
    assert replacement.refusal(event) is None


@given(ANY_VERSION, ANY_VERSION, POWER_LEVELS)
def test_nobody_but_a_new_creator_can_replace_or_rule_the_room_who_could_not_before(
    old: RoomVersion, new: RoomVersion, content: dict[str, Any]
) -> None:
    assume(is_carried(old, content))
    room = Room(old, {"additional_creators": [BOB]} if old.privileged_creators else {})
    event = room.put_power_levels(content)
    before = read_power_levels(room.create, event, old)
    replacement = Room(new)

    levels = transferred_power_levels(room.create, event, new, {ALICE})

    after = read_power_levels(replacement.create, replacement.put_power_levels(levels), new)
    for user in (BOB, CAROL, DAVE):
        for event_type in (TOMBSTONE, "m.room.power_levels", "m.room.name"):
            if after.may_send(user, event_type, is_state=True):
                assert before.may_send(user, event_type, is_state=True) or user in creators(room.create)


@given(ANY_VERSION, POWER_LEVELS)
def test_restricting_a_room_changes_what_ordinary_users_may_and_nothing_else(
    version: RoomVersion, content: dict[str, Any]
) -> None:
    assume(is_carried(version, content))
    room = Room(version)
    event = room.put_power_levels(content)
    before = read_power_levels(room.create, event, version)

    levels = restricted_power_levels(room.create, event)

    after = read_power_levels(room.create, event if levels is None else room.put_power_levels(levels), version)
    assert levels is None or is_carried(version, levels)
    highest = 2**53 - 1
    assert after.events_default >= min(max(50, before.users_default + 1), highest)
    assert after.invite >= min(max(50, before.users_default + 1), highest)
    assert same(after.user_level(BOB), before.user_level(BOB))
    for key in ("ban", "kick", "redact", "state_default", "users_default"):
        assert same(getattr(after, key), getattr(before, key))


def same(after: float, before: float) -> bool:
    """True for equal levels, as far as canonical JSON can write them."""
    return after == before or abs(after) == 2**53 - 1 <= abs(before)


def test_a_room_without_power_levels_keeps_its_creator_s() -> None:
    assert transferred_power_levels(chat(V10).create, None, V11, {BOB}) == {"users": {ALICE: 100}}
    assert transferred_power_levels(chat(V12).create, None, V12, {ALICE}) == {"users": {}}
    assert transferred_power_levels(chat(V12).create, None, V11, {ALICE}) == {"users": {ALICE: 100}}
    restricted = restricted_power_levels(chat(V10).create, None)
    assert restricted == {"users": {ALICE: 100}, "events_default": 50, "invite": 50}


def test_creators_get_the_highest_level_that_anything_asks_for() -> None:
    room = chat(V12, levels={"events": {"m.room.tombstone": 150}, "users": {BOB: 120}})
    levels = transferred_power_levels(room.create, room.state["m.room.power_levels", ""], V11, {BOB})

    assert levels["users"] == {ALICE: 150, BOB: 120}


def test_a_former_creator_has_as_much_as_the_highest_of_the_others() -> None:
    room = chat(V12, levels={"users": {BOB: 120}, "events": {"m.room.tombstone": 150}})
    levels = transferred_power_levels(room.create, room.state["m.room.power_levels", ""], V12, {CAROL})

    assert levels["users"] == {ALICE: 120, BOB: 120}


def test_where_creators_stand_above_all_they_alone_may_replace_the_room_again() -> None:
    room = chat(V11, levels={"users": {BOB: 100}, "events": {"m.room.tombstone": 100}})
    levels = transferred_power_levels(room.create, room.state["m.room.power_levels", ""], V12, {ALICE})

    assert levels["users"] == {BOB: 100}
    assert levels["events"] == {"m.room.tombstone": 150}


def test_a_create_event_names_type_federation_and_predecessor_and_nothing_else_of_the_old_one() -> None:
    old = Room(V1, {"type": "m.space", "m.federate": False, "predecessor": {"room_id": "!older:x"}, "own": 1}).create

    assert is_space(old)
    assert create_content(old, V12, BOB, [CAROL], None) == {
        "room_version": "12",
        "type": "m.space",
        "m.federate": False,
        "predecessor": {"room_id": old.room_id},
        "additional_creators": [CAROL],
    }
    assert create_content(old, V10, BOB, [CAROL], EventID("$last")) == {
        "room_version": "10",
        "type": "m.space",
        "m.federate": False,
        "creator": BOB,
        "predecessor": {"room_id": old.room_id, "event_id": "$last"},
    }
    plain = Room(V11, {"type": 7, "m.federate": "no"}).create
    assert create_content(plain, V11, BOB, [], None).keys() == {"room_version", "predecessor"}


@pytest.mark.parametrize(
    ("rule", "version", "expected"),
    [
        ("public", V1, "public"),
        ("invite", V1, "invite"),
        ("org.example.own", V1, "org.example.own"),
        ("restricted", V6, "invite"),
        ("restricted", V10, "restricted"),
        ("knock", V6, "invite"),
        ("knock", V11, "knock"),
        ("knock_restricted", V6, "invite"),
        ("knock_restricted", V11, "knock_restricted"),
    ],
)
def test_join_rules_are_as_the_new_version_knows_them(rule: str, version: RoomVersion, expected: str) -> None:
    event = chat(V12).put("m.room.join_rules", {"join_rule": rule, "allow": []})

    assert transferred_content(event, version) == {"join_rule": expected, "allow": []}


def test_what_was_redacted_or_cannot_be_written_is_not_transferred() -> None:
    room = chat(V1)

    assert transferred_content(room.put("m.room.name", {}), V12) is None
    assert transferred_content(room.put("m.room.name", {"name": "a", "n": 1.5}), V12) is None
    assert transferred_content(room.put("m.room.name", {"name": "a", "n": 1.5}), V1) == {"name": "a", "n": 1.5}


@pytest.mark.parametrize(
    ("content", "there", "here"),
    [
        ({"alias": "#a:here"}, {"alias": "#a:here"}, {}),
        ({"alias": "#a:there"}, None, None),
        ({}, None, None),
        ({"alias": 7, "alt_aliases": "no list"}, None, None),
        (
            {"alias": "#a:there", "alt_aliases": ["#b:here", "#c:there", 7], "own": 1},
            {"alt_aliases": ["#b:here"]},
            {"alias": "#a:there", "alt_aliases": ["#c:there"], "own": 1},
        ),
        ({"alias": "#a:here", "alt_aliases": ["#c:there"]}, {"alias": "#a:here"}, {"alt_aliases": ["#c:there"]}),
    ],
)
def test_aliases_that_moved_are_shown_where_they_lead(content: Any, there: Any, here: Any) -> None:
    assert split_aliases(content, {"#a:here", "#b:here"}) == (there, here)
