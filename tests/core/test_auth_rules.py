"""The authorisation rules of every type but m.room.member, version by version."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.auth_rules import authorise, check_auth_events, may_redact
from homeserver.core.auth_selection import auth_types_for
from homeserver.core.errors import AuthRejected, MissingEvents
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, UserID
from homeserver.core.power_levels import read_power_levels
from homeserver.core.room_versions import V1, V2, V5, V6, V9, RoomVersion
from tests.core.rooms import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    JSON_VALUES,
    VERSIONS,
    Room,
    chat,
    elsewhere,
    in_every_version,
    in_versions_where,
    numbered_event_id,
)


def create_event(version: RoomVersion, **content: Any) -> Event:
    return Room(version, content).create


def is_allowed(event: Event, state: Mapping[tuple[str, str], Event] | None = None, create: Event | None = None) -> bool:
    try:
        authorise(event, state or {}, create)
    except AuthRejected:
        return False
    return True


# m.room.create


@in_every_version
def test_a_create_event_is_allowed_by_no_state(version: RoomVersion) -> None:
    assert is_allowed(create_event(version))


@in_every_version
def test_a_create_event_has_no_previous_events(version: RoomVersion) -> None:
    assert not is_allowed(replace(create_event(version), prev_event_ids=(EventID("$before:one.example"),)))


@in_every_version
@pytest.mark.parametrize("state_key", [None, "other", ALICE])
def test_a_create_event_has_the_empty_state_key(version: RoomVersion, state_key: str | None) -> None:
    assert not is_allowed(replace(create_event(version), state_key=state_key))


@in_versions_where("room_id_is_create_hash", holds=False)
def test_the_room_id_is_of_the_creators_server(version: RoomVersion) -> None:
    assert not is_allowed(replace(create_event(version), sender=BOB))
    assert is_allowed(replace(create_event(version), sender=DAVE))


@in_versions_where("room_id_is_create_hash")
def test_from_version_12_a_create_event_carries_no_room_id(version: RoomVersion) -> None:
    event = create_event(version)

    assert is_allowed(replace(event, sender=BOB))
    assert not is_allowed(replace(event, pdu={**event.pdu, "room_id": event.room_id}))


@in_every_version
@pytest.mark.parametrize("garbage", ["0", "13", "org.example", "", None, 1, 10, [], ["1"], {}])
def test_a_room_version_that_is_not_known_is_refused(version: RoomVersion, garbage: Any) -> None:
    assert not is_allowed(create_event(version, room_version=garbage))


@in_every_version
def test_a_create_event_of_another_version_is_refused(version: RoomVersion) -> None:
    event = create_event(version)
    content = {key: value for key, value in event.content.items() if key != "room_version"}

    assert not is_allowed(replace(event, content={**content, "room_version": "1" if version.name != "1" else "2"}))
    assert is_allowed(replace(event, content=content)) is (version is V1)


@in_every_version
def test_the_creator_is_named_before_version_11(version: RoomVersion) -> None:
    event = create_event(version)
    content = {key: value for key, value in event.content.items() if key != "creator"}

    assert is_allowed(replace(event, content=content)) is version.implicit_creator
    assert is_allowed(replace(event, content={**content, "creator": ["anything"]}))


@in_every_version
@pytest.mark.parametrize("garbage", [None, "@a:b", {}, [1], [None], ["bob"], [BOB, "@bob"], ["@bob:"], [[BOB]]])
def test_additional_creators_are_user_ids_from_version_12_on(version: RoomVersion, garbage: Any) -> None:
    assert is_allowed(create_event(version, additional_creators=garbage)) is not version.privileged_creators


@in_every_version
@pytest.mark.parametrize("users", [[], [BOB], [BOB, BOB, "@Historical User:two.example"]])
def test_additional_creators_may_be_any_list_of_user_ids(version: RoomVersion, users: list[str]) -> None:
    assert is_allowed(create_event(version, additional_creators=users))


# The auth events


def with_auth(event: Event, auth_events: list[Event]) -> Event:
    return replace(event, auth_event_ids=tuple(auth_event.event_id for auth_event in auth_events))


def selected(room: Room, event: Event) -> list[Event]:
    types = auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
    return [room.state[entry] for entry in types if entry in room.state]


def refuses_list(
    room: Room, event: Event, auth_events: list[Event], rejected: frozenset[EventID] = frozenset()
) -> bool:
    listing = with_auth(event, auth_events)
    try:
        check_auth_events(listing, auth_events, create=room.create, rejected=rejected)
    except AuthRejected:
        return True
    return False


@in_every_version
@pytest.mark.parametrize("membership", ["join", "invite", "leave", "ban", "knock"])
def test_the_selected_auth_events_pass(version: RoomVersion, membership: str) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)
    member = room.member_event(BOB, membership, sender=ALICE)

    assert not refuses_list(room, message, selected(room, message))
    assert not refuses_list(room, message, selected(room, message)[::-1])
    assert not refuses_list(room, member, selected(room, member))


@in_every_version
def test_a_selected_entry_may_be_left_out(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)
    ground = [] if version.room_id_is_create_hash else [room.create]

    assert not refuses_list(room, message, ground)


@in_versions_where("room_id_is_create_hash", holds=False)
def test_before_version_12_the_create_event_is_among_the_auth_events(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)

    assert refuses_list(room, message, selected(room, message)[1:])
    assert refuses_list(room, message, [])


@in_versions_where("room_id_is_create_hash")
def test_from_version_12_the_create_event_is_not_among_the_auth_events(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)

    assert refuses_list(room, message, [room.create, *selected(room, message)])


@in_versions_where("room_id_is_create_hash")
def test_from_version_12_the_room_id_is_that_of_an_accepted_create_event(version: RoomVersion) -> None:
    room = chat(version)
    message = room.event("m.room.message", {}, sender=BOB)
    name = room.put("m.room.name", {})

    for create, rejected in (
        (replace(room.create, event_id=name.event_id), frozenset[EventID]()),
        (replace(room.create, type="m.room.name"), frozenset[EventID]()),
        (room.create, frozenset([room.create.event_id])),
    ):
        with pytest.raises(AuthRejected):
            check_auth_events(message, [], create=create, rejected=rejected)
    with pytest.raises(MissingEvents) as missing:
        check_auth_events(message, [])

    assert missing.value.event_ids == {room.create.event_id}


@in_every_version
def test_two_auth_events_of_one_type_and_state_key_are_refused(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)
    auth_events = selected(room, message)
    older = room.event("m.room.power_levels", {}, state_key="")

    assert refuses_list(room, message, [*auth_events, older])
    assert refuses_list(room, message, [*auth_events, auth_events[-1]])


@in_every_version
@pytest.mark.parametrize(
    ("event_type", "state_key"),
    [
        ("m.room.name", ""),
        ("m.room.message", None),
        ("m.room.member", None),
        ("m.room.member", CAROL),
        ("m.room.join_rules", ""),
        ("m.room.power_levels", "other"),
        ("m.room.third_party_invite", "token"),
    ],
)
def test_an_auth_event_that_is_not_selected_is_refused(
    version: RoomVersion, event_type: str, state_key: str | None
) -> None:
    room = chat(version)
    message = room.event("m.room.message", {}, sender=BOB)
    stray = room.event(event_type, {}, state_key=state_key)

    assert refuses_list(room, message, [*selected(room, message), stray])


@in_every_version
def test_a_rejected_auth_event_is_refused(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)
    auth_events = selected(room, message)

    for auth_event in auth_events:
        assert refuses_list(room, message, auth_events, frozenset([auth_event.event_id]))
    assert not refuses_list(room, message, auth_events, frozenset([EventID("$another")]))


@in_every_version
def test_an_auth_event_of_another_room_is_refused(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)
    auth_events = selected(room, message)

    for index in range(len(auth_events)):
        foreign = [elsewhere(event) if place == index else event for place, event in enumerate(auth_events)]
        assert refuses_list(room, message, foreign)


@in_every_version
def test_auth_events_that_were_not_given_are_asked_for(version: RoomVersion) -> None:
    room = chat(version, levels={})
    message = room.event("m.room.message", {}, sender=BOB)
    auth_events = selected(room, message)

    with pytest.raises(MissingEvents) as missing:
        check_auth_events(with_auth(message, auth_events), auth_events[1:], create=room.create)

    assert missing.value.event_ids == {auth_events[0].event_id}


@in_every_version
def test_a_create_event_lists_no_auth_events(version: RoomVersion) -> None:
    room = chat(version)

    check_auth_events(room.create, [])
    with pytest.raises(AuthRejected):
        check_auth_events(replace(room.create, auth_event_ids=(EventID("$other"),)), [])


# The room, and federation


@in_every_version
def test_without_the_rooms_create_event_nothing_is_allowed(version: RoomVersion) -> None:
    room = chat(version, join_rule="public")
    state = {entry: event for entry, event in room.state.items() if entry[0] != "m.room.create"}
    events = (room.event("m.room.message", {}, sender=BOB), room.member_event(CAROL, "join"))

    for event in events:
        assert is_allowed(event, room.state)
        assert is_allowed(event, state, room.create)
        assert not is_allowed(event, state)
        assert not is_allowed(elsewhere(event), room.state)
        assert not is_allowed(event, state, replace(room.create, type="m.room.name"))


@in_every_version
def test_a_room_that_does_not_federate_is_for_the_creators_server(version: RoomVersion) -> None:
    room = Room(version, {"m.federate": False})
    for user in (ALICE, BOB, DAVE):
        room.put_member(user, "join")
    room.put_join_rule("public")

    assert room.allows(room.event("m.room.message", {}, sender=DAVE))
    assert not room.allows(room.event("m.room.message", {}, sender=BOB))
    assert room.allows(room.member_event(UserID("@eve:one.example"), "join"))
    assert not room.allows(room.member_event(CAROL, "join"))


@in_every_version
@pytest.mark.parametrize("value", [True, None, 0, "false", [], {}])
def test_only_false_closes_a_room_to_other_servers(version: RoomVersion, value: Any) -> None:
    room = Room(version, {"m.federate": value})
    room.put_member(BOB, "join")

    assert room.allows(room.event("m.room.message", {}, sender=BOB))


# m.room.aliases


@in_versions_where("special_aliases_auth")
def test_until_version_5_aliases_are_set_by_anybody_under_their_own_server(version: RoomVersion) -> None:
    room = chat(version)

    assert room.allows(room.event("m.room.aliases", {}, sender=CAROL, state_key="three.example"))
    assert not room.allows(room.event("m.room.aliases", {}, sender=CAROL, state_key="one.example"))
    assert not room.allows(room.event("m.room.aliases", {}, sender=ALICE, state_key=""))
    assert not room.allows(room.event("m.room.aliases", {}, sender=ALICE))


@in_versions_where("special_aliases_auth", holds=False)
def test_from_version_6_aliases_are_state_like_any_other(version: RoomVersion) -> None:
    room = chat(version, levels={})

    assert not room.allows(room.event("m.room.aliases", {}, sender=CAROL, state_key="three.example"))
    assert not room.allows(room.event("m.room.aliases", {}, sender=BOB, state_key="two.example"))
    if not version.privileged_creators:
        assert room.allows(room.event("m.room.aliases", {}, sender=ALICE, state_key="anything"))


# Any event


@in_every_version
@pytest.mark.parametrize("membership", [None, "leave", "invite", "ban", "knock", ["join"]])
def test_who_is_not_joined_sends_nothing(version: RoomVersion, membership: Any) -> None:
    room = chat(version, levels={"users": {CAROL: 100}})
    if membership is not None:
        room.put_member(CAROL, membership)

    assert not room.allows(room.event("m.room.message", {}, sender=CAROL))
    assert not room.allows(room.event("m.room.topic", {}, sender=CAROL, state_key=""))
    assert not room.allows(room.event("m.room.third_party_invite", {}, sender=CAROL, state_key="token"))


@in_every_version
def test_without_power_levels_members_send_messages_and_the_creator_state(version: RoomVersion) -> None:
    room = chat(version)

    assert room.allows(room.event("m.room.message", {}, sender=BOB))
    assert not room.allows(room.event("m.room.topic", {}, sender=BOB, state_key=""))
    assert room.allows(room.event("m.room.topic", {}, sender=ALICE, state_key=""))


@in_every_version
@pytest.mark.parametrize(
    ("event_type", "state_key", "level"),
    [("m.room.message", None, 10), ("m.room.topic", "", 20), ("m.listed", None, 30), ("m.listed", "", 30)],
)
def test_an_event_takes_the_level_of_its_type(
    version: RoomVersion, event_type: str, state_key: str | None, level: int
) -> None:
    room = chat(version)
    common = {"events_default": 10, "state_default": 20, "events": {"m.listed": 30}}

    for own, expected in ((level - 1, False), (level, True)):
        room.put_power_levels({**common, "users": {BOB: own}})
        assert room.allows(room.event(event_type, {}, sender=BOB, state_key=state_key)) is expected


@in_versions_where("integer_power_levels", holds=False)
def test_until_version_9_levels_may_be_strings(version: RoomVersion) -> None:
    room = chat(version, levels={"events": {"m.room.topic": " +060 "}, "users": {BOB: "59"}})
    below = room.allows(room.event("m.room.topic", {}, sender=BOB, state_key=""))
    room.put_power_levels({"events": {"m.room.topic": " +060 "}, "users": {BOB: "60"}})

    assert not below
    assert room.allows(room.event("m.room.topic", {}, sender=BOB, state_key=""))


@in_every_version
def test_a_state_key_that_looks_like_a_user_is_the_senders(version: RoomVersion) -> None:
    room = chat(version, levels={"state_default": 0})

    for state_key, expected in ((BOB, True), (ALICE, False), ("@", False), (BOB + "_x", False), ("bob", True)):
        event = room.event("org.example.state", {}, sender=BOB, state_key=state_key)
        assert room.allows(event) is expected


@in_every_version
def test_a_third_party_invite_takes_the_invite_level_only(version: RoomVersion) -> None:
    room = chat(version, levels={"invite": 20, "users": {BOB: 20}, "events": {"m.room.third_party_invite": 90}})
    enough = room.allows(room.event("m.room.third_party_invite", {}, sender=BOB, state_key="token"))
    room.put_power_levels({"invite": 21, "users": {BOB: 20}, "events": {"m.room.third_party_invite": 0}})

    assert enough
    assert not room.allows(room.event("m.room.third_party_invite", {}, sender=BOB, state_key="token"))


# m.room.power_levels


def change_is_allowed(version: RoomVersion, old: Mapping[str, Any], new: Mapping[str, Any], level: int = 50) -> bool:
    """Whether Bob, who has that level, may replace one m.room.power_levels by the other."""
    room = chat(version)
    users = {BOB: level}
    room.put_power_levels({**old, "users": users | old.get("users", {})})
    content = {**new, "users": users | new.get("users", {})}
    return room.allows(room.event("m.room.power_levels", content, sender=BOB, state_key=""))


LEVEL_KEYS = ["users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"]
CHANGES = [
    ({}, {}, True),
    ({}, {"x": 50}, True),
    ({}, {"x": 51}, False),
    ({"x": 50}, {}, True),
    ({"x": 51}, {}, False),
    ({"x": 50}, {"x": 0}, True),
    ({"x": 51}, {"x": 0}, False),
    ({"x": 0}, {"x": 51}, False),
    ({"x": 99}, {"x": 99}, True),
    ({"x": 99}, {"x": 98}, False),
    ({"x": 99}, {"x": 100}, False),
    ({}, {"x": -(2**53) + 1}, True),
]


@in_every_version
@pytest.mark.parametrize("key", LEVEL_KEYS)
@pytest.mark.parametrize(("old", "new", "expected"), CHANGES)
def test_nobody_changes_a_level_from_or_to_above_their_own(
    version: RoomVersion, key: str, old: dict[str, int], new: dict[str, int], *, expected: bool
) -> None:
    events = {"m.room.power_levels": 0}  # so that Bob may send it whatever the defaults are
    old_content: dict[str, Any] = {"events": events} | ({key: old["x"]} if old else {})
    new_content: dict[str, Any] = {"events": events} | ({key: new["x"]} if new else {})

    assert change_is_allowed(version, old_content, new_content) is expected


@in_every_version
@pytest.mark.parametrize(("old", "new", "expected"), CHANGES)
def test_nobody_changes_the_level_of_a_type_from_or_to_above_their_own(
    version: RoomVersion, old: dict[str, int], new: dict[str, int], *, expected: bool
) -> None:
    assert change_is_allowed(version, {"events": old}, {"events": new}) is expected


@in_every_version
@pytest.mark.parametrize(("old", "new", "expected"), CHANGES)
def test_notifications_are_guarded_from_version_6_on(
    version: RoomVersion, old: dict[str, int], new: dict[str, int], *, expected: bool
) -> None:
    allowed = change_is_allowed(version, {"notifications": old}, {"notifications": new})

    assert allowed is (expected or not version.limits_notification_levels)


@in_every_version
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {CAROL: 50}, True),
        ({}, {CAROL: 51}, False),
        ({CAROL: 49}, {}, True),
        ({CAROL: 50}, {}, False),
        ({CAROL: 49}, {CAROL: 50}, True),
        ({CAROL: 50}, {CAROL: 49}, False),
        ({CAROL: 50}, {CAROL: 50}, True),
        ({CAROL: 100}, {CAROL: 100}, True),
        ({CAROL: 100}, {CAROL: 99}, False),
        ({CAROL: 0}, {CAROL: 51}, False),
        ({}, {BOB: 51}, False),
        ({}, {BOB: 49}, True),
        ({}, {BOB: 0}, True),
    ],
)
def test_nobody_changes_a_user_who_is_not_below_or_raises_one_above(
    version: RoomVersion, old: dict[str, int], new: dict[str, int], *, expected: bool
) -> None:
    assert change_is_allowed(version, {"users": old}, {"users": new}) is expected


@in_every_version
def test_users_may_take_their_own_entry_away(version: RoomVersion) -> None:
    room = chat(version)
    room.put_power_levels({"users": {BOB: 50}})

    assert room.allows(room.event("m.room.power_levels", {}, sender=BOB, state_key=""))


@in_versions_where("integer_power_levels", holds=False)
def test_until_version_9_a_level_written_otherwise_is_no_change(version: RoomVersion) -> None:
    old = {"ban": 99, "events": {"m.x": 99}, "users": {CAROL: 99}}
    new = {"ban": "99", "events": {"m.x": " +099"}, "users": {CAROL: "0099"}}

    assert change_is_allowed(version, old, new)


@in_every_version
@pytest.mark.parametrize(
    "users",
    [
        None,
        [],
        "text",
        {"bob": 0},
        {"": 0},
        {"@bob": 0},
        {"!bob:one.example": 0},
        {"@bob:": 0},
        {CAROL: None},
        {CAROL: True},
        {CAROL: "fifty"},
        {CAROL: ""},
        {CAROL: [50]},
        {CAROL: {}},
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_users_are_user_ids_with_levels(version: RoomVersion, users: Any, *, is_first: bool) -> None:
    room = chat(version, levels=None if is_first else {})
    sender = BOB if version.privileged_creators else ALICE
    if not is_first:
        room.put_power_levels({"users": {sender: 100}})

    assert not room.allows(room.event("m.room.power_levels", {"users": users}, sender=sender, state_key=""))


@in_every_version
def test_a_user_id_in_power_levels_may_be_historical(version: RoomVersion) -> None:
    room = chat(version)
    content = {"users": {"@Ünicode and spaces:three.example:8448": 5}}

    assert room.allows(room.event("m.room.power_levels", content, state_key=""))


@in_every_version
@pytest.mark.parametrize("level", ["50", " 50 ", 50.0, 50.9])
@pytest.mark.parametrize("place", [*LEVEL_KEYS, "events", "notifications", "users"])
def test_levels_that_are_not_integers_are_for_old_versions(version: RoomVersion, level: Any, place: str) -> None:
    room = chat(version, levels={})
    content = {place: level} if place in LEVEL_KEYS else {place: {CAROL: level}}
    sender = ALICE

    readable = not version.integer_power_levels and (isinstance(level, str) or not version.strict_canonical_json)
    readable = readable or (place == "notifications" and not version.limits_notification_levels)
    base = {} if version.privileged_creators else {"users": {ALICE: 100} | content.get("users", {})}
    event = room.event("m.room.power_levels", {**content, **base}, sender=sender, state_key="")
    assert room.allows(event) is readable


@in_versions_where("integer_power_levels")
@pytest.mark.parametrize("garbage", [None, True, "50", 50.0, [], {}])
@pytest.mark.parametrize("key", LEVEL_KEYS)
def test_from_version_10_levels_are_integers_in_the_first_event_too(
    version: RoomVersion, garbage: Any, key: str
) -> None:
    room = chat(version)

    assert not room.allows(room.event("m.room.power_levels", {key: garbage}, state_key=""))


@in_versions_where("integer_power_levels")
@pytest.mark.parametrize("garbage", [None, True, "50", 1, [], {"x": None}, {"x": "50"}, {"x": False}, {"x": 1.0}])
@pytest.mark.parametrize("group", ["events", "notifications", "users"])
def test_from_version_10_groups_are_objects_of_integers(version: RoomVersion, garbage: Any, group: str) -> None:
    room = chat(version)

    assert not room.allows(room.event("m.room.power_levels", {group: garbage}, state_key=""))


@in_versions_where("integer_power_levels", holds=False)
@pytest.mark.parametrize("garbage", [None, True, "fifty", [], {}])
@pytest.mark.parametrize("key", LEVEL_KEYS)
def test_until_version_9_garbage_is_refused_once_it_must_be_compared(
    version: RoomVersion, garbage: Any, key: str
) -> None:
    room = chat(version)
    event = room.event("m.room.power_levels", {key: garbage, "users": {ALICE: 100}}, state_key="")
    first = room.allows(event)
    room.put_power_levels({"users": {ALICE: 100}})

    assert first
    assert not room.allows(event)


@pytest.mark.parametrize(("version", "expected"), [(V1, True), (V5, True), (V6, False), (V9, False)])
def test_notifications_that_are_garbage_are_refused_where_they_are_guarded(
    version: RoomVersion, *, expected: bool
) -> None:
    room = chat(version, levels={})
    content = {"notifications": ["garbage"], "users": {ALICE: 100}}

    assert room.allows(room.event("m.room.power_levels", content, state_key="")) is expected


@in_every_version
def test_the_first_power_levels_may_give_any_level(version: RoomVersion) -> None:
    room = chat(version)
    content = {"ban": 1000, "events": {"m.room.name": 2000}, "users": {BOB: 3000}}

    assert room.allows(room.event("m.room.power_levels", content, state_key=""))


@in_versions_where("privileged_creators")
def test_creators_are_not_listed_from_version_12_on(version: RoomVersion) -> None:
    for is_first in (True, False):
        room = Room(version, {"additional_creators": [BOB]})
        room.put_member(ALICE, "join")
        if not is_first:
            room.put_power_levels({})
        for user, expected in ((ALICE, False), (BOB, False), (CAROL, True)):
            event = room.event("m.room.power_levels", {"users": {user: 0}}, state_key="")
            assert room.allows(event) is expected


@in_versions_where("privileged_creators")
def test_creators_change_every_level_from_version_12_on(version: RoomVersion) -> None:
    room = Room(version, {"additional_creators": [BOB]})
    room.put_member(BOB, "join")
    room.put_power_levels({"users": {CAROL: 2**53 - 1}, "ban": 2**53 - 1, "events": {"m.room.power_levels": 2**53 - 1}})

    content = {"users": {CAROL: -1, DAVE: 2**53 - 1}, "ban": 5}
    assert room.allows(room.event("m.room.power_levels", content, sender=BOB, state_key=""))


# m.room.redaction


@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    ("level", "redacts", "expected"),
    [
        (50, "$other:three.example", True),
        (49, "$other:three.example", False),
        (0, "$other:two.example", True),
        (0, "$other:two.example:8448", False),
        (0, "other", False),
        (0, None, False),
        (50, None, True),
    ],
)
def test_until_version_2_redacting_takes_the_level_or_an_event_of_the_same_server(
    version: RoomVersion, level: int, redacts: str | None, *, expected: bool
) -> None:
    room = chat(version, levels={"users": {BOB: level}})
    target = None if redacts is None else EventID(redacts)

    assert room.allows(room.event("m.room.redaction", {}, sender=BOB, redacts=target)) is expected


@in_versions_where("event_ids_are_hashes")
def test_from_version_3_a_redaction_is_an_event_like_any_other(version: RoomVersion) -> None:
    room = chat(version)
    redaction = room.event("m.room.redaction", {}, sender=BOB, redacts=room.create.event_id)
    room.put_power_levels({"events": {"m.room.redaction": 1}, "redact": 0})
    below = room.allows(redaction)
    room.put_power_levels({"redact": 100})

    assert not below
    assert room.allows(redaction)


def redaction_applies(version: RoomVersion, sender: str, target_sender: str, level: int) -> bool:
    room = chat(version, levels={"users": {sender: level}})
    target = room.event("m.room.message", {}, sender=target_sender)
    redaction = room.event("m.room.redaction", {}, sender=sender, redacts=target.event_id)
    return may_redact(redaction, target, room.state)


@in_every_version
def test_a_redaction_applies_by_level_or_to_the_same_server(version: RoomVersion) -> None:
    assert redaction_applies(version, BOB, CAROL, level=50)
    assert not redaction_applies(version, BOB, CAROL, level=49)
    assert redaction_applies(version, BOB, BOB, level=0)
    assert redaction_applies(version, BOB, "@else:two.example", level=0)


@in_every_version
def test_a_redaction_applies_to_the_event_that_it_names_in_its_own_room(version: RoomVersion) -> None:
    room = chat(version)
    target = room.event("m.room.message", {}, sender=ALICE)
    other = room.event("m.room.message", {}, sender=ALICE)
    redaction = room.event("m.room.redaction", {}, sender=ALICE, redacts=target.event_id)
    without = {entry: event for entry, event in room.state.items() if entry[0] != "m.room.create"}

    assert may_redact(redaction, target, room.state)
    assert may_redact(redaction, target, without, room.create)
    assert not may_redact(redaction, target, without)
    assert not may_redact(redaction, other, room.state)
    assert not may_redact(redaction, elsewhere(target), room.state)


@in_every_version
def test_a_create_event_is_never_redacted(version: RoomVersion) -> None:
    room = chat(version)
    redaction = room.event("m.room.redaction", {}, sender=ALICE, redacts=room.create.event_id)

    assert not may_redact(redaction, room.create, room.state)


@in_versions_where("event_ids_are_hashes", holds=False)
def test_a_redaction_does_not_redact_itself(version: RoomVersion) -> None:
    room = chat(version)
    own_id = numbered_event_id(version, 500)
    redaction = room.event("m.room.redaction", {}, sender=ALICE, redacts=own_id, event_id=own_id)

    assert not may_redact(redaction, redaction, room.state)


# Properties


LEVELS = st.integers(min_value=-5, max_value=105)
SMALL_LEVELS = st.fixed_dictionaries(
    {},
    optional={
        "users": st.dictionaries(st.sampled_from([BOB, CAROL, DAVE]), LEVELS),
        "events": st.dictionaries(st.sampled_from(["m.room.power_levels", "m.x"]), LEVELS),
        "users_default": LEVELS,
        "state_default": LEVELS,
        "ban": LEVELS,
    },
)


@given(version=st.sampled_from(VERSIONS), old=SMALL_LEVELS, new=SMALL_LEVELS)
def test_nobody_who_passes_raises_anybody_above_their_own_level(
    version: RoomVersion, old: dict[str, Any], new: dict[str, Any]
) -> None:
    room = chat(version)
    before = read_power_levels(room.create, room.put_power_levels(old), version)
    event = room.event("m.room.power_levels", new, sender=BOB, state_key="")

    if room.allows(event):
        own = before.user_level(BOB)
        after = read_power_levels(room.create, event, version)
        for user in (BOB, CAROL, DAVE):
            assert after.user_level(user) <= max(own, before.user_level(user), before.users_default, 0)
            if user != BOB and before.user_level(user) >= own and user in old.get("users", {}):
                assert after.user_level(user) == before.user_level(user)


@given(version=st.sampled_from(VERSIONS), levels=SMALL_LEVELS, lower=LEVELS, higher=LEVELS)
def test_whoever_has_more_power_may_do_no_less(
    version: RoomVersion, levels: dict[str, Any], lower: int, higher: int
) -> None:
    lower, higher = min(lower, higher), max(lower, higher)
    room = chat(version)
    events = [
        room.event("m.room.message", {}, sender=BOB),
        room.event("m.x", {}, sender=BOB, state_key=""),
        room.event("m.room.third_party_invite", {}, sender=BOB, state_key="token"),
        room.member_event(CAROL, "invite", sender=BOB),
        room.member_event(CAROL, "leave", sender=BOB),
        room.member_event(CAROL, "ban", sender=BOB),
        room.event("m.room.redaction", {}, sender=BOB, redacts=numbered_event_id(version, 7, "three.example")),
    ]

    room.put_power_levels({**levels, "users": levels.get("users", {}) | {BOB: lower}})
    allowed = [event for event in events if room.allows(event)]
    room.put_power_levels({**levels, "users": levels.get("users", {}) | {BOB: higher}})

    assert all(room.allows(event) for event in allowed)


TYPES = st.sampled_from(
    [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.third_party_invite",
        "m.room.aliases",
        "m.room.redaction",
        "m.room.message",
    ]
)
KEYS = st.sampled_from(
    [
        *("membership", "third_party_invite", "join_authorised_via_users_server", "join_rule", "public_key"),
        *("public_keys", "creator", "additional_creators", "room_version", "m.federate", "users", "events"),
        *("notifications", "users_default", "ban", "invite", "kick"),
    ]
)
SIGNED = st.fixed_dictionaries(
    {"mxid": st.just(BOB) | JSON_VALUES, "token": st.just("token") | JSON_VALUES},
    optional={"signatures": JSON_VALUES | st.dictionaries(st.just("s"), JSON_VALUES), "more": JSON_VALUES},
)
CONTENTS = st.dictionaries(KEYS, JSON_VALUES, max_size=6) | st.builds(
    lambda signed: {"membership": "invite", "third_party_invite": {"signed": signed}}, SIGNED | JSON_VALUES
)


@given(
    version=st.sampled_from(VERSIONS),
    event_type=TYPES,
    state_key=st.sampled_from([None, "", ALICE, BOB, "token", "@", "two.example"]),
    content=CONTENTS,
    state=st.dictionaries(TYPES, CONTENTS, max_size=4),
    create_content=st.dictionaries(KEYS, JSON_VALUES, max_size=3),
)
def test_garbage_is_judged_and_never_fails(
    version: RoomVersion,
    event_type: str,
    state_key: str | None,
    content: dict[str, Any],
    state: dict[str, dict[str, Any]],
    create_content: dict[str, Any],
) -> None:
    room = Room(version, create_content)
    room.put_member(BOB, "join")
    for state_type, state_content in state.items():
        for key in ("", ALICE, BOB, "token"):
            if (state_type, key) != ("m.room.create", ""):
                room.put(state_type, state_content, state_key=key, sender=BOB)
    room.put_member(ALICE, "join")
    event = room.event(event_type, content, sender=BOB, state_key=state_key)
    auth_events = selected(room, event)

    assert room.refusal(event) is None or isinstance(room.refusal(event), str)
    assert refuses_list(room, event, auth_events) in (True, False)
    assert may_redact(replace(event, redacts=room.create.event_id), room.create, room.state) is False
