"""The two orders of state resolution v2, on rooms by hand and on rooms that grew."""

import pytest
from hypothesis import given, settings

from homeserver.core.errors import MissingEvents
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.power_levels import CREATOR_LEVEL
from homeserver.core.resolution_orders import (
    mainline,
    mainline_order,
    reverse_topological_power_order,
    sender_level,
)
from homeserver.core.room_versions import V2, V11, V12
from tests.conftest import examples
from tests.core.rooms import ALICE, BOB, CAROL, Room
from tests.forked_rooms import ForkedRoom, forked_rooms
from tests.oracles.naive_resolution import chain_of


class Line:
    """A room whose m.room.power_levels events each build on the one before; and others, on any of them."""

    def __init__(self, count: int) -> None:
        self.room = Room(V11)
        self.events: dict[EventID, Event] = {self.room.create.event_id: self.room.create}
        self.line: list[EventID] = []
        for _ in range(count):
            self.line.append(self.add("m.room.power_levels", *self.line[-1:], content={"users": {ALICE: 100, BOB: 50}}))

    def add(
        self, event_type: str, *auth: EventID, sender: str = ALICE, content: dict[str, object] | None = None
    ) -> EventID:
        event = self.room.event(
            event_type, content or {}, sender=sender, state_key="", auth=(self.room.create.event_id, *auth)
        )
        self.events[event.event_id] = event
        return event.event_id


def test_of_two_events_the_more_powerful_sender_comes_first() -> None:
    room = Line(1)
    by_bob = room.add("m.room.join_rules", room.line[0], sender=BOB)
    by_carol = room.add("m.room.join_rules", room.line[0], sender=CAROL)
    by_alice = room.add("m.room.join_rules", room.line[0])

    order = reverse_topological_power_order([by_carol, by_bob, by_alice], room.events.get)

    assert order == [by_alice, by_bob, by_carol]


def test_of_equally_powerful_senders_the_earlier_event_comes_first() -> None:
    room = Line(1)
    names = [room.add("m.room.join_rules", room.line[0]) for _ in range(3)]

    order = reverse_topological_power_order(reversed(names), room.events.get)

    assert order == names


def test_an_event_comes_after_its_auth_events_whatever_the_power() -> None:
    room = Line(1)
    by_carol = room.add("m.room.member", room.line[0], sender=CAROL)
    by_alice = room.add("m.room.join_rules", room.line[0], by_carol)

    order = reverse_topological_power_order([by_alice, by_carol, room.line[0]], room.events.get)

    assert order == [room.line[0], by_carol, by_alice]


def test_an_event_comes_after_one_that_a_path_leads_to_through_events_that_are_not_ordered() -> None:
    room = Line(1)
    by_carol = room.add("m.room.member", room.line[0], sender=CAROL)
    between = room.add("m.room.member", by_carol)
    by_alice = room.add("m.room.join_rules", room.line[0], between)

    order = reverse_topological_power_order([by_alice, by_carol], room.events.get, between=frozenset({between}))

    assert order == [by_carol, by_alice]


def test_events_on_a_circle_of_auth_events_are_left_out_of_the_power_order() -> None:
    room = Room(V2)
    one, two = EventID("$a:one.example"), EventID("$b:one.example")
    events = {
        one: room.event("m.room.join_rules", {}, state_key="", event_id=one, auth=(two,)),
        two: room.event("m.room.join_rules", {}, state_key="", event_id=two, auth=(one,)),
        room.create.event_id: room.create,
    }

    order = reverse_topological_power_order(events, events.get)

    assert order == [room.create.event_id]


def test_a_sender_has_the_level_that_the_auth_events_of_the_event_give() -> None:
    room = Line(1)
    create, levels = room.room.create, room.events[room.line[0]]
    by_bob = room.room.event("m.room.name", {}, sender=BOB, state_key="")

    assert sender_level(by_bob, [create, levels]) == 50
    assert sender_level(by_bob, [create]) == 0
    assert sender_level(room.room.event("m.room.name", {}), [create]) == 100
    assert sender_level(by_bob, [levels]) == 0


def test_from_version_12_on_the_creator_is_above_all_without_a_create_event_among_the_auth_events() -> None:
    room = Room(V12)
    levels = room.put_power_levels({"users": {BOB: 100}})

    assert sender_level(room.event("m.room.name", {}), [levels], room.create) == CREATOR_LEVEL
    assert sender_level(room.event("m.room.name", {}, sender=BOB), [levels], room.create) == 100


def test_a_mainline_goes_from_power_levels_to_power_levels() -> None:
    room = Line(5)

    assert mainline(room.line[-1], room.events.get) == room.line[::-1]
    assert mainline(None, room.events.get) == []


def test_a_mainline_ends_where_it_comes_round_again() -> None:
    room = Room(V2)
    one, two = EventID("$a:one.example"), EventID("$b:one.example")
    events = {
        one: room.event("m.room.power_levels", {}, state_key="", event_id=one, auth=(two,)),
        two: room.event("m.room.power_levels", {}, state_key="", event_id=two, auth=(one,)),
    }
    member = room.event("m.room.member", {}, state_key=BOB, auth=(two,))
    events[member.event_id] = member

    assert mainline(one, events.get) == [one, two]
    assert mainline_order([member.event_id], [], events.get) == [member.event_id]


def test_mainline_ordering_begins_with_what_builds_on_the_earliest_power_levels() -> None:
    room = Line(3)
    on_third = room.add("m.room.name", room.line[2])
    on_first = room.add("m.room.topic", room.line[0])
    on_none = room.add("m.room.topic")
    on_second = room.add("m.room.name", room.line[1])

    order = mainline_order([on_third, on_first, on_none, on_second], room.line[::-1], room.events.get)

    assert order == [on_none, on_first, on_second, on_third]


def test_an_event_beside_the_mainline_counts_from_where_its_power_levels_meet_it() -> None:
    room = Line(3)
    branch = room.add("m.room.power_levels", room.line[0])
    for _ in range(3):
        branch = room.add("m.room.power_levels", branch)
    on_branch = room.add("m.room.name", branch)
    on_second = room.add("m.room.name", room.line[1])
    on_first = room.add("m.room.name", room.line[0])

    order = mainline_order([on_second, on_first, on_branch], room.line[::-1], room.events.get)

    assert order == [on_branch, on_first, on_second]  # the first two by their time


def test_power_levels_on_the_mainline_count_from_those_that_they_build_on() -> None:
    room = Line(2)
    on_first = room.add("m.room.name", room.line[0])

    order = mainline_order([on_first, room.line[1], room.line[0]], room.line[::-1], room.events.get)

    assert order == [room.line[0], room.line[1], on_first]


def test_long_lines_of_power_levels_are_each_walked_once() -> None:
    room = Line(2_000)
    branch = room.add("m.room.power_levels", room.line[0])
    names = []
    for _ in range(1_000):
        branch = room.add("m.room.power_levels", branch)
        names.append(room.add("m.room.name", branch))
    asked: list[EventID] = []

    def find_event(event_id: EventID) -> Event | None:
        asked.append(event_id)
        return room.events.get(event_id)

    order = mainline_order(names, mainline(room.line[-1], find_event), find_event)

    assert order == names
    assert len(asked) < 10 * len(room.events)


def test_what_the_orders_lack_is_asked_for() -> None:
    room = Line(2)
    name = room.add("m.room.name", room.line[1])
    known = {name: room.events[name]}

    with pytest.raises(MissingEvents) as missing:
        reverse_topological_power_order([name], known.get)
    assert missing.value.event_ids == {room.line[1], room.room.create.event_id}
    with pytest.raises(MissingEvents) as missing:
        mainline_order([name], [], known.get)
    assert missing.value.event_ids == {room.line[1], room.room.create.event_id}


@settings(max_examples=examples(20))
@given(forked_rooms())
def test_the_power_order_of_a_whole_room_puts_every_event_after_its_auth_chain(room: ForkedRoom) -> None:
    events = room.history.events
    state_events = [event.event_id for event in room.events if event.is_state]

    order = reverse_topological_power_order(reversed(state_events), events.get, create=room.history.create)

    assert sorted(order) == sorted(state_events)
    assert all(chain_of(event_id, events).isdisjoint(order[place:]) for place, event_id in enumerate(order))
