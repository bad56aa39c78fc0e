"""Power levels as each room version reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.power_levels import (
    CREATOR_LEVEL,
    creator,
    creators,
    is_creator,
    read_level,
    read_power_levels,
)
from homeserver.core.room_versions import V1, V5, V6, V9, V10, V11, V12, RoomVersion
from tests.core.rooms import ALICE, BOB, CAROL, JSON_VALUES, VERSIONS, Room, chat, in_every_version, in_versions_where


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("100", 100),
        ("000100", 100),
        ("+100", 100),
        ("-100", -100),
        ("-000", 0),
        (" 100 ", 100),
        ("\t\n +00100 \r", 100),
        ("0" * 5000 + "7", 7),
        ("", None),
        (" ", None),
        ("+", None),
        ("+ 100", None),
        ("--1", None),
        ("1 0", None),
        ("1_000", None),
        ("0x10", None),
        ("10.0", None),
        ("1e3", None),
        ("٣", None),
        ("Infinity", None),
        ("9" * 1000, int("9" * 1000)),
        ("9" * 1001, None),
    ],
)
def test_before_version_10_a_string_counts_when_it_is_a_decimal_integer(written: str, level: int | None) -> None:
    assert read_level(written, V1) == level
    assert read_level(written, V9) == level
    assert read_level(written, V10) is None


@pytest.mark.parametrize(
    ("written", "level"),
    [
        (50.57, 50),
        (-50.57, -50),
        (5.114698e4, 51146),
        (float("inf"), None),
        (float("-inf"), None),
        (float("nan"), None),
    ],
)
def test_before_version_6_a_finite_float_counts_and_is_cut_off(written: float, level: int | None) -> None:
    assert read_level(written, V1) == level
    assert read_level(written, V5) == level
    assert read_level(written, V6) is None
    assert read_level(written, V10) is None


@in_every_version
@pytest.mark.parametrize("garbage", [None, True, False, [], [1], {}, {"50": 50}])
def test_what_is_no_number_is_no_level(version: RoomVersion, garbage: object) -> None:
    assert read_level(garbage, version) is None


@in_every_version
def test_an_integer_is_a_level_in_every_version(version: RoomVersion) -> None:
    assert read_level(-7, version) == -7


@in_versions_where("privileged_creators", holds=False)
def test_without_power_levels_the_creator_has_100_and_everybody_else_0(version: RoomVersion) -> None:
    levels = read_power_levels(Room(version).create, None, version)

    assert levels.user_level(ALICE) == 100
    assert levels.user_level(BOB) == 0


@in_every_version
def test_without_power_levels_the_defaults_are_in_force(version: RoomVersion) -> None:
    levels = read_power_levels(Room(version).create, None, version)

    assert (levels.ban, levels.kick, levels.redact, levels.invite) == (50, 50, 50, 0)
    assert (levels.state_default, levels.events_default, levels.users_default) == (50, 0, 0)
    assert levels.event_level("m.room.message", is_state=False) == 0
    assert levels.event_level("m.room.name", is_state=True) == 50
    assert levels.notification_level("room") == 50


@in_versions_where("privileged_creators", holds=False)
def test_with_power_levels_a_creator_who_is_not_listed_has_the_default(version: RoomVersion) -> None:
    room = Room(version)

    levels = read_power_levels(room.create, room.put_power_levels({"users_default": 5}), version)

    assert levels.user_level(ALICE) == 5


@in_every_version
def test_each_level_is_the_one_that_the_event_gives(version: RoomVersion) -> None:
    room = Room(version)
    event = room.put_power_levels(
        {
            "ban": 1,
            "kick": 2,
            "redact": 3,
            "invite": 4,
            "state_default": 5,
            "events_default": 6,
            "users_default": 7,
            "users": {BOB: 8},
            "events": {"m.room.name": 9},
            "notifications": {"room": 10},
        }
    )

    levels = read_power_levels(room.create, event, version)

    assert (levels.ban, levels.kick, levels.redact, levels.invite) == (1, 2, 3, 4)
    assert levels.event_level("m.room.topic", is_state=True) == 5
    assert levels.event_level("m.room.message", is_state=False) == 6
    assert levels.user_level(CAROL) == 7
    assert levels.user_level(BOB) == 8
    assert levels.event_level("m.room.name", is_state=True) == 9
    assert levels.event_level("m.room.name", is_state=False) == 9
    assert levels.notification_level("room") == 10
    assert levels.least_to_send == 5
    assert levels.may_send(BOB, "m.room.message", is_state=False)
    assert not levels.may_send(BOB, "m.room.name", is_state=True)


@in_every_version
def test_the_least_at_which_something_can_be_sent_may_be_that_of_one_type(version: RoomVersion) -> None:
    room = Room(version)
    event = room.put_power_levels({"events_default": 4, "events": {"m.reaction": -3, "m.room.name": []}})

    assert read_power_levels(room.create, event, version).least_to_send == -3
    assert read_power_levels(room.create, None, version).least_to_send == 0


@in_every_version
def test_a_level_that_is_just_enough_suffices(version: RoomVersion) -> None:
    room = Room(version)
    event = room.put_power_levels({"users": {BOB: 10}, "events": {"m.room.name": 10, "m.room.topic": 11}})

    levels = read_power_levels(room.create, event, version)

    assert levels.may_send(BOB, "m.room.name", is_state=True)
    assert not levels.may_send(BOB, "m.room.topic", is_state=True)


def test_the_creator_is_the_one_named_before_version_11_and_the_sender_after() -> None:
    content = {"creator": BOB}

    assert creator(Room(V10, content).create) == BOB
    assert creator(Room(V11, content).create) == ALICE
    assert creator(Room(V10, {"creator": ["garbage"]}).create) is None


def test_additional_creators_count_from_version_12_on() -> None:
    content = {"additional_creators": [BOB, CAROL, BOB]}

    assert creators(Room(V12, content).create) == {ALICE, BOB, CAROL}
    assert creators(Room(V11, content).create) == {ALICE}
    assert is_creator(Room(V12, content).create, CAROL)
    assert not is_creator(Room(V11, content).create, CAROL)


def test_creators_that_are_garbage_are_passed_over() -> None:
    assert creators(Room(V12, {"additional_creators": [None, [BOB], {}, CAROL]}).create) == {ALICE, CAROL}
    assert creators(Room(V12, {"additional_creators": {BOB: 1}}).create) == {ALICE}
    assert creators(Room(V10, {"creator": [BOB]}).create) == frozenset()


def test_in_version_12_creators_stand_above_every_level_whatever_the_power_levels_say() -> None:
    room = Room(V12, {"additional_creators": [BOB]})
    event = room.put_power_levels({"users": {ALICE: 0, BOB: -5, CAROL: 2**53 - 1}, "users_default": 2**53 - 1})

    levels = read_power_levels(room.create, event, V12)

    assert levels.user_level(ALICE) == levels.user_level(BOB) == CREATOR_LEVEL
    assert levels.user_level(CAROL) == 2**53 - 1 < CREATOR_LEVEL


def test_in_version_12_creators_need_no_power_levels_event() -> None:
    levels = read_power_levels(Room(V12, {"additional_creators": [BOB]}).create, None, V12)

    assert levels.user_level(BOB) == CREATOR_LEVEL
    assert levels.user_level(CAROL) == 0


@given(
    version=st.sampled_from(VERSIONS),
    create=st.dictionaries(st.sampled_from(["creator", "additional_creators", "m.federate"]), JSON_VALUES),
    content=st.dictionaries(
        st.sampled_from(["users", "events", "notifications", "ban", "invite", "users_default", "state_default"]),
        JSON_VALUES | st.dictionaries(st.sampled_from([ALICE, BOB, "m.room.name", "room"]), JSON_VALUES),
    ),
)
def test_garbage_power_levels_read_as_levels_all_the_same(
    version: RoomVersion, create: dict[str, object], content: dict[str, object]
) -> None:
    room = Room(version, create)

    levels = read_power_levels(room.create, room.put_power_levels(content), version)

    assert levels.user_level(BOB) <= CREATOR_LEVEL
    assert type(levels.event_level("m.room.name", is_state=True)) is int
    assert type(levels.ban) is type(levels.invite) is type(levels.notification_level("room")) is int
    assert ALICE in creators(room.create) or not version.implicit_creator


@in_versions_where("integer_power_levels", holds=False)
def test_garbage_counts_as_absent(version: RoomVersion) -> None:
    room = chat(version)
    event = room.put_power_levels({"ban": "fifty", "events": {"m.room.name": None}, "state_default": "60", "users": 1})

    levels = read_power_levels(room.create, event, version)

    assert levels.ban == 50
    assert levels.event_level("m.room.name", is_state=True) == 60
    assert levels.user_level(BOB) == 0
