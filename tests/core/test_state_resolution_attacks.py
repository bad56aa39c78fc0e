"""How rooms were taken over, reset or brought down through resolution elsewhere: each way as a fixed test."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from homeserver.core.event import Event
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import ROOM_VERSIONS, V1, V2, V6, V11, V12, RoomVersion
from homeserver.core.state_map import StateMap
from homeserver.core.state_resolution import resolve_states
from tests.core.rooms import Room, in_every_version
from tests.forked_rooms import ALICE, BOB, CAROL, KEYS, LIAR, MALLORY, ONE, START_MS
from tests.replicas import Replica, Verdict
from tests.scenes import Scene, with_entry, without_entry

LEVELS = ("m.room.power_levels", "")
NAME = ("m.room.name", "")
MALLORYS_MEMBERSHIP = ("m.room.member", MALLORY)

since_2 = pytest.mark.parametrize(
    "version", [each for each in ROOM_VERSIONS.values() if each is not V1], ids=lambda version: f"v{version.name}"
)


def scene(version: RoomVersion) -> Scene:
    room = Scene(version, users={BOB: 50})
    room.join_in_turn(BOB, MALLORY)
    return room


# --- States that a malicious server claims ---


@in_every_version
def test_a_server_that_claims_a_part_of_the_state_takes_nothing_away(version: RoomVersion) -> None:
    room = scene(version)
    room.last = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    whole = room.after(room.last)
    create = {("m.room.create", ""): room.create.event_id}
    parts: list[StateMap] = [create, {**create, ("m.room.member", ALICE): room.joined.event_id}]
    parts += [without_entry(whole, *key) for key in whole]

    for part in parts:
        assert room.resolve(whole, part) == whole


@in_every_version
def test_a_state_without_power_levels_leaves_the_powers_as_they_were(version: RoomVersion) -> None:
    room = scene(version)
    claimed = without_entry(room.after(room.last), *LEVELS)
    name = room.send(MALLORY, "m.room.name", {"name": "m"}, after=[room.last])

    state = room.resolve(room.after(room.last), with_entry(claimed, name))

    assert room.is_rejected(name)
    assert state == room.after(room.last)


@in_every_version
def test_a_branch_from_the_beginning_of_the_room_resets_nothing(version: RoomVersion) -> None:
    room = scene(version)
    room.last = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    branch = room.send(ALICE, "m.room.message", {}, None, after=[room.create, room.joined])
    on_root = room.send(ALICE, "m.room.message", {}, None, after=[room.joined])

    assert room.after(room.last, branch) == room.after(room.last)
    assert room.after(room.last, on_root) == room.after(room.last)


@in_every_version
def test_a_rejected_event_in_a_claimed_state_is_not_taken(version: RoomVersion) -> None:
    room = scene(version)
    takeover = room.power_levels({BOB: 0, MALLORY: 100}, sender=MALLORY, after=[room.last], time=1)
    honest = room.after(room.last)

    state = room.resolve(honest, with_entry(honest, takeover))

    assert room.is_rejected(takeover)
    assert state == honest


@in_every_version
def test_a_rejected_event_is_not_taken_even_where_the_rules_would_have_it(version: RoomVersion) -> None:
    room = scene(version)
    name = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    levels = room.power_levels({BOB: 50, CAROL: 1}, after=[room.last])
    room.history.rejected |= {name.event_id, levels.event_id}
    honest = room.after(room.last)

    assert room.resolve(honest, with_entry(with_entry(honest, name), levels)) == honest


@since_2
def test_a_rejected_event_authorises_nothing_that_lists_it(version: RoomVersion) -> None:
    room = scene(version)
    levels = room.power_levels({BOB: 50, MALLORY: 100}, after=[room.last])
    name = name_by_power_of(room, levels)
    room.history.rejected.add(levels.event_id)
    without = without_entry(room.after(room.last), *LEVELS)

    assert room.resolve(without, with_entry(without, name)) == without


@in_every_version
def test_a_rejected_event_authorises_nothing_even_if_all_states_have_it(version: RoomVersion) -> None:
    room = scene(version)
    levels = room.power_levels({BOB: 50, MALLORY: 100}, after=[room.last])
    honest = room.send(BOB, "m.room.name", {"name": "b"}, after=[room.last], depth=10)
    forged = room.send(MALLORY, "m.room.name", {"name": "m"}, after=[levels], depth=99, time=10**6)
    room.history.rejected |= {levels.event_id}
    agreed = with_entry(room.after(room.last), levels)

    state = room.resolve(with_entry(agreed, honest), with_entry(agreed, forged))

    assert state[NAME] == honest.event_id


@in_every_version
def test_an_event_of_another_room_is_not_taken(version: RoomVersion) -> None:
    room = scene(version)
    name = room.send(ALICE, "m.room.name", {"name": "a"}, after=[room.last])
    other = "!" + "9" * 43 if version.room_id_is_create_hash else "!other:one.example"
    room.history.events[name.event_id] = replace(name, room_id=RoomID(other))

    state = room.resolve(room.after(room.last), with_entry(room.after(room.last), name))

    assert state == room.after(room.last)


@since_2
def test_power_that_was_given_in_another_room_does_not_count(version: RoomVersion) -> None:
    room = scene(version)
    levels = room.power_levels({BOB: 50, MALLORY: 100}, after=[room.last])
    name = name_by_power_of(room, levels)
    other = "!" + "9" * 43 if version.room_id_is_create_hash else "!other:one.example"
    without = without_entry(room.after(room.last), *LEVELS)

    before = room.resolve(without, with_entry(without, name))
    room.history.events[levels.event_id] = replace(levels, room_id=RoomID(other))
    after = room.resolve(without, with_entry(without, name))

    assert before[NAME] == name.event_id
    assert after == without


def name_by_power_of(room: Scene, levels: Event) -> Event:
    """A name that Mallory sets, with these power levels among its auth events."""
    state = with_entry(room.after(room.last), levels)
    name = room.send(MALLORY, "m.room.name", {"name": "m"}, after=[room.last], auth_state=state)
    room.history.rejected.discard(name.event_id)  # as though nobody had looked
    return name


def test_a_second_create_event_founds_nothing_in_this_room() -> None:
    room = scene(V12)
    template = EventTemplate(
        room_id=None,
        type="m.room.create",
        sender=MALLORY,
        content={"room_version": "12"},
        state_key="",
        prev_events=(),
        auth_events=(),
        depth=1,
        origin_server_ts=START_MS - 1,
    )
    second = build_event(template, V12, LIAR, KEYS[LIAR]).event
    room.history.events[second.event_id] = second

    whole = room.after(room.last)
    claims: list[StateMap] = [with_entry(whole, second), {("m.room.create", ""): second.event_id}]

    for claim in claims:
        assert room.resolve(whole, claim) == whole


# --- Soft failures ---


@in_every_version
def test_a_soft_failed_event_is_in_no_current_state_and_nothing_is_built_on_it(version: RoomVersion) -> None:
    room = scene(version)
    ban = room.member(MALLORY, "ban", sender=ALICE, after=[room.last])
    evasion = room.send(MALLORY, "org.example.mine", {}, MALLORY, after=[room.last])
    replica = Replica(room.history)
    *others, last = room.history.events.values()
    for event in others:
        replica.receive(event)
    state = replica.current_state()

    verdict = replica.receive(last)

    assert last is evasion
    assert verdict is (Verdict.REJECTED if room.is_rejected(evasion) else Verdict.SOFT_FAILED)
    assert replica.current_state() == state
    assert replica.heads == {ban.event_id}


@since_2
def test_a_soft_failed_event_that_others_build_on_still_loses_to_the_ban(version: RoomVersion) -> None:
    room = Scene(version, users={BOB: 50, MALLORY: 50})
    room.join_in_turn(BOB, MALLORY)
    ban = room.member(MALLORY, "ban", sender=ALICE, after=[room.last])
    evasion = room.send(MALLORY, "m.room.topic", {"topic": "m"}, after=[room.last], time=0)
    unaware = room.send(BOB, "m.room.message", {}, None, after=[evasion])

    state = room.after(ban, unaware)

    assert state[MALLORYS_MEMBERSHIP] == ban.event_id
    assert ("m.room.topic", "") not in state


@since_2
def test_a_banned_user_does_not_come_back_by_a_join_from_before_the_ban(version: RoomVersion) -> None:
    room = scene(version)
    ban = room.member(MALLORY, "ban", sender=ALICE, after=[room.last])
    for time in (0, 10**6):
        join = room.member(MALLORY, "join", after=[room.last], time=time)

        assert room.after(ban, join)[MALLORYS_MEMBERSHIP] == ban.event_id


# --- Powers that are not there ---


@since_2
def test_a_demoted_moderator_cannot_undo_the_demotion_from_an_old_branch(version: RoomVersion) -> None:
    room = scene(version)
    demotion = room.power_levels({BOB: 0}, after=[room.last], time=500)
    for time in (0, 499, 10**6):
        revolt = room.power_levels({BOB: 50, MALLORY: 50}, sender=BOB, after=[room.last], time=time)

        assert room.after(demotion, revolt)[LEVELS] == demotion.event_id


@since_2
def test_nobody_gains_power_by_a_fork_of_power_levels_against_themselves(version: RoomVersion) -> None:
    room = scene(version)
    forks = [
        room.power_levels({BOB: 50, user: 50}, sender=BOB, after=[room.last], time=time)
        for time, user in enumerate((MALLORY, CAROL))
    ]

    state = room.after(*forks)
    merged = room.power_levels({BOB: 50, MALLORY: 75}, sender=BOB, after=forks)

    assert state[LEVELS] in {event.event_id for event in forks}
    assert room.is_rejected(merged)


@pytest.mark.parametrize("version", [V2, V6], ids=lambda version: f"v{version.name}")
def test_levels_written_as_strings_order_events_as_their_numbers_do(version: RoomVersion) -> None:
    room = scene(version)
    content = {"users": {ALICE: "100", BOB: "50", MALLORY: " 9 "}, "events": {"m.room.join_rules": "9"}}
    levels = room.send(ALICE, "m.room.power_levels", content, after=[room.last])
    strong = room.send(BOB, "m.room.join_rules", {"join_rule": "invite"}, after=[levels], time=200)
    weak = room.send(MALLORY, "m.room.join_rules", {"join_rule": "public"}, after=[levels], time=100)

    state = room.after(strong, weak)

    # Both are allowed after the other; the less powerful sender's is considered last.
    assert state["m.room.join_rules", ""] == weak.event_id


# --- Rooms that are made to be expensive ---


def linked(room: Room, count: int, sender: str, link: Callable[[int], list[EventID]]) -> dict[EventID, Event]:
    """Power levels by the thousand, each with the auth events that `link` chooses for it."""
    create = room.create.event_id
    events = {create: room.create}
    member = room.put_member(ALICE, "join")
    events[member.event_id] = replace(member, auth_event_ids=(create,))
    for number in range(count):
        event = room.event(
            "m.room.power_levels",
            {"users": {ALICE: 100}, "number": number},
            sender=sender,
            state_key="",
            auth=(create, member.event_id, *link(number)),
            event_id=EventID(f"$levels{number}:one.example"),
        )
        events[event.event_id] = event
    return events


def levels_id(number: int) -> EventID:
    return EventID(f"$levels{number}:one.example")


def state_with(room: Room, events: dict[EventID, Event], number: int) -> StateMap:
    member = next(event_id for event_id, event in events.items() if event.type == "m.room.member")
    return {
        ("m.room.create", ""): room.create.event_id,
        ("m.room.member", ALICE): member,
        LEVELS: levels_id(number),
    }


@pytest.mark.parametrize("version", [V1, V2], ids=lambda version: f"v{version.name}")
def test_a_very_long_line_of_power_levels_is_resolved_without_recursion(version: RoomVersion) -> None:
    count = 5_000
    room = Room(version)
    events = linked(room, count, ALICE, lambda number: [levels_id(number - 1)] if number else [])

    state = resolve_states(
        [state_with(room, events, 0), state_with(room, events, count - 1)],
        events.get,
        room_id=room.room_id,
        version=version,
    )

    assert state[LEVELS] == levels_id(count - 1)


@pytest.mark.parametrize("version", [V1, V2], ids=lambda version: f"v{version.name}")
def test_auth_events_that_go_round_in_a_circle_are_resolved_all_the_same(version: RoomVersion) -> None:
    count = 50
    room = Room(version)
    events = linked(room, count, ALICE, lambda number: [levels_id((number + 1) % count)])

    state = resolve_states(
        [state_with(room, events, 0), state_with(room, events, 7)],
        events.get,
        room_id=room.room_id,
        version=version,
    )

    assert state.get(LEVELS) in (None, levels_id(0), levels_id(7))
    assert state["m.room.create", ""] == room.create.event_id


@pytest.mark.parametrize("version", [V1, V2, V11], ids=lambda version: f"v{version.name}")
def test_thousands_of_conflicting_members_are_each_looked_at_a_bounded_number_of_times(version: RoomVersion) -> None:
    count = 1_500
    scene = Scene(version)
    base = scene.after(scene.last)
    room = Room(version, number=10_000)
    asked = 0
    events: dict[EventID, Event] = dict(scene.history.events)
    states: list[dict[tuple[str, str], EventID]] = [dict(base), dict(base)]
    auth = tuple(base[key] for key in (("m.room.create", ""), LEVELS, ("m.room.join_rules", "")))
    for number in range(count):
        user = f"@u{number}:{ONE}"
        for state in states:
            event = room.event("m.room.member", {"membership": "join"}, sender=user, state_key=user, auth=auth)
            events[event.event_id] = replace(event, room_id=scene.history.room_id)
            state["m.room.member", user] = event.event_id

    def find_event(event_id: EventID) -> Event | None:
        nonlocal asked
        asked += 1
        return events.get(event_id)

    state = resolve_states(states, find_event, room_id=scene.history.room_id, version=version)

    assert len(state) == len(base) + count
    assert asked < 40 * count
