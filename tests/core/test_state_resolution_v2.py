"""State resolution v2 and v2.1, situation by situation. Spec: rooms/v2, rooms/v12 #state-resolution"""

import pytest

from homeserver.core.room_versions import V2, V3, V11, V12, RoomVersion
from homeserver.core.state_resolution_v2 import is_power_event
from tests.core.rooms import Room
from tests.forked_rooms import ALICE, BOB, CAROL, DAVE, MALLORY
from tests.scenes import Scene, with_entry, without_entry

LEVELS = ("m.room.power_levels", "")
RULES = ("m.room.join_rules", "")
NAME = ("m.room.name", "")

every_v2 = pytest.mark.parametrize("version", [V2, V3, V11, V12], ids=lambda version: f"v{version.name}")
before_12 = pytest.mark.parametrize("version", [V2, V3, V11], ids=lambda version: f"v{version.name}")


def scene(version: RoomVersion) -> Scene:
    room = Scene(version, users={BOB: 50, CAROL: 50})
    room.join_in_turn(BOB, CAROL)
    return room


@pytest.mark.parametrize(
    ("event_type", "state_key", "content", "expected"),
    [
        ("m.room.power_levels", "", {}, True),
        ("m.room.join_rules", "", {}, True),
        ("m.room.power_levels", "other", {}, True),
        ("m.room.power_levels", None, {}, False),
        ("m.room.create", "", {}, False),
        ("m.room.member", BOB, {"membership": "leave"}, True),
        ("m.room.member", BOB, {"membership": "ban"}, True),
        ("m.room.member", BOB, {"membership": "invite"}, False),
        ("m.room.member", BOB, {"membership": ["ban"]}, False),
        ("m.room.member", ALICE, {"membership": "leave"}, False),
        ("m.room.name", "", {}, False),
    ],
)
def test_a_power_event_may_take_away_somebodys_ability(
    event_type: str, state_key: str | None, content: dict[str, object], expected: bool
) -> None:
    event = Room(V11).event(event_type, content, state_key=state_key)

    assert is_power_event(event) == expected


@every_v2
def test_a_ban_beats_what_the_banned_user_did_at_the_same_time(version: RoomVersion) -> None:
    room = scene(version)
    name = room.send(CAROL, "m.room.name", {"name": "mine"}, after=[room.last], time=1)
    ban = room.member(CAROL, "ban", sender=ALICE, after=[room.last], time=99)

    state = room.after(name, ban)

    assert state["m.room.member", CAROL] == ban.event_id
    assert NAME not in state


@every_v2
def test_what_was_done_before_the_ban_stays(version: RoomVersion) -> None:
    room = scene(version)
    name = room.send(CAROL, "m.room.name", {"name": "mine"}, after=[room.last])
    ban = room.member(CAROL, "ban", sender=ALICE, after=[name])
    topic = room.send(BOB, "m.room.topic", {"topic": "x"}, after=[name])

    assert room.after(ban, topic)[NAME] == name.event_id


@every_v2
def test_a_demotion_undoes_what_the_demoted_user_set_at_the_same_time(version: RoomVersion) -> None:
    room = scene(version)
    demotion = room.power_levels({BOB: 0, CAROL: 50}, after=[room.last])
    promotion = room.power_levels({BOB: 50, CAROL: 50, DAVE: 50}, sender=BOB, after=[room.last])

    assert room.after(demotion, promotion)[LEVELS] == demotion.event_id


@every_v2
def test_of_two_equals_who_turn_on_each_other_the_earlier_wins(version: RoomVersion) -> None:
    room = Scene(version, users={BOB: 50, CAROL: 50})
    room.join_in_turn(BOB, CAROL, DAVE)
    later = room.send(BOB, "m.room.join_rules", {"join_rule": "invite"}, after=[room.last], time=60)
    earlier = room.send(CAROL, "m.room.join_rules", {"join_rule": "public"}, after=[room.last], time=50)

    # Each is allowed after the other, so the one that is considered last stays.
    assert room.after(later, earlier)[RULES] == later.event_id


@every_v2
def test_the_more_powerful_user_is_considered_first_whatever_the_clocks_say(version: RoomVersion) -> None:
    room = scene(version)
    kick = room.member(BOB, "leave", sender=ALICE, after=[room.last], time=10_000)
    ban = room.member(DAVE, "ban", sender=BOB, after=[room.last], time=1)

    state = room.after(kick, ban)

    assert state["m.room.member", BOB] == kick.event_id
    assert ("m.room.member", DAVE) not in state


@every_v2
def test_settings_go_by_the_power_levels_that_they_build_on_and_then_by_time(version: RoomVersion) -> None:
    room = scene(version)
    levels = room.power_levels({BOB: 50, CAROL: 51}, after=[room.last])
    on_old = room.send(BOB, "m.room.name", {"name": "old"}, after=[room.last], time=9_000)
    on_new = room.send(CAROL, "m.room.name", {"name": "new"}, after=[levels], time=1)
    also_on_new = room.send(CAROL, "m.room.name", {"name": "newer"}, after=[levels], time=2)

    assert room.after(on_old, on_new)[NAME] == on_new.event_id
    assert room.after(on_new, also_on_new)[NAME] == also_on_new.event_id


@every_v2
def test_a_join_loses_to_join_rules_that_were_closed_meanwhile(version: RoomVersion) -> None:
    room = scene(version)
    closed = room.send(ALICE, "m.room.join_rules", {"join_rule": "invite"}, after=[room.last])
    join = room.member(DAVE, "join", after=[room.last])

    state = room.after(closed, join)

    assert state[RULES] == closed.event_id
    assert ("m.room.member", DAVE) not in state


@every_v2
def test_three_branches_are_resolved_at_once(version: RoomVersion) -> None:
    room = scene(version)
    ban = room.member(CAROL, "ban", sender=ALICE, after=[room.last])
    by_carol = room.member(DAVE, "ban", sender=CAROL, after=[room.last])
    name = room.send(BOB, "m.room.name", {"name": "b"}, after=[room.last])

    state = room.after(ban, by_carol, name)

    assert state["m.room.member", CAROL] == ban.event_id
    assert ("m.room.member", DAVE) not in state
    assert state[NAME] == name.event_id


def outdated_join_rules(version: RoomVersion) -> tuple[Scene, list[str]]:
    """Both branches know of the newer join rules and that their sender left; one claims that the older ones stand."""
    room = scene(version)
    newer = room.send(ALICE, "m.room.join_rules", {"join_rule": "invite"}, after=[room.last])
    left = room.member(ALICE, "leave", after=[newer])
    name = room.send(BOB, "m.room.name", {"name": "b"}, after=[left])
    claimed = with_entry(room.after(left), room.join_rules)
    state = room.resolve(room.after(name), claimed)
    return room, [state.get(RULES, "none"), newer.event_id]


@before_12
def test_v2_loses_join_rules_whose_sender_left_when_one_state_has_old_ones(version: RoomVersion) -> None:
    _, (found, _) = outdated_join_rules(version)

    assert found == "none"


def test_v2_1_keeps_the_newest_join_rules_whose_sender_left() -> None:
    _, (found, newest) = outdated_join_rules(V12)

    assert found == newest


def outdated_power_levels(version: RoomVersion) -> list[str]:
    """Alice promotes Bob, Bob promotes Carol; both branches build on that, one claims the first power levels."""
    room = Scene(version)
    room.join_in_turn(BOB, CAROL)
    bob = room.power_levels({BOB: 60}, after=[room.last])
    carol = room.power_levels({BOB: 60, CAROL: 50}, sender=BOB, after=[bob])
    member = room.member(DAVE, "join", after=[carol])
    name = room.send(CAROL, "m.room.topic", {"topic": "c"}, after=[member])
    claimed = with_entry(room.after(member), room.levels)
    return [room.resolve(room.after(name), claimed)[LEVELS], room.levels.event_id, carol.event_id]


@before_12
def test_v2_falls_back_to_old_power_levels_that_one_state_has(version: RoomVersion) -> None:
    found, oldest, _ = outdated_power_levels(version)

    assert found == oldest


def test_v2_1_replays_what_lies_between_old_power_levels_and_new_ones() -> None:
    found, _, newest = outdated_power_levels(V12)

    assert found == newest


@every_v2
def test_an_event_that_only_authorised_others_comes_back_though_no_state_has_it(version: RoomVersion) -> None:
    room = scene(version)
    name = room.send(CAROL, "m.room.name", {"name": "c"}, after=[room.last])
    carol = ("m.room.member", CAROL)

    state = room.resolve(*(without_entry(room.after(each), *carol) for each in (room.last, name)))

    assert state == room.after(name)


@before_12
def test_the_chain_of_a_power_event_counts_where_it_leads_through_events_in_no_conflict_too(
    version: RoomVersion,
) -> None:
    room = Scene(version, users={CAROL: 50})
    joined = room.member(CAROL, "join", after=[room.last], time=900)
    between = room.power_levels({CAROL: 50}, sender=CAROL, after=[joined])
    sides = [room.power_levels({CAROL: 50, BOB: level}, after=[between]) for level in (1, 2)]
    joined_again = room.member(CAROL, "join", after=[joined], time=5)

    state = room.resolve(room.after(sides[0]), with_entry(room.after(sides[1]), joined_again))

    # Both power levels lead to the first join, through some that are in both chains: so it comes first, for all its
    # clock says.
    assert state["m.room.member", CAROL] == joined_again.event_id


@every_v2
def test_a_power_event_comes_after_what_it_builds_on_by_way_of_events_in_no_conflict(version: RoomVersion) -> None:
    room = Scene(version, users={CAROL: 50})
    joined = room.member(CAROL, "join", after=[room.last])
    between = room.power_levels({CAROL: 50}, sender=CAROL, after=[joined])
    closed, closed_too = (
        room.send(ALICE, "m.room.join_rules", {"join_rule": "invite", "side": side}, after=[between]) for side in (1, 2)
    )

    state = room.resolve(room.after(closed), without_entry(room.after(closed_too), "m.room.member", CAROL))

    # Were the closing considered first, as its sender has more power, there would be no room for the join.
    assert state["m.room.member", CAROL] == joined.event_id


@every_v2
def test_what_was_set_before_a_demotion_stays_wherever_the_branches_meet(version: RoomVersion) -> None:
    room = scene(version)
    name = room.send(BOB, "m.room.name", {"name": "b"}, after=[room.last])
    demotion = room.power_levels({BOB: 0, CAROL: 50}, after=[name])
    topic = room.send(CAROL, "m.room.topic", {"topic": "c"}, after=[name])
    mallory = room.member(MALLORY, "join", after=[topic])

    state = room.after(demotion, mallory)

    assert state[NAME] == name.event_id
    assert state[LEVELS] == demotion.event_id
