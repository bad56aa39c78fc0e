"""Servers that hold the same events hold the same states, in whatever order the events came to them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.events.intake import Outcome
from homeserver.storage.event_edges import EdgeKind
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.memberships import changes_of_rooms, member_counts, members_of_room
from homeserver.storage.rooms import roots_at
from tests.conftest import examples
from tests.forked_rooms import ForkedRoom, forked_rooms, grow_room
from tests.poured_rooms import PouredRoom, check_against_history, check_current_state, fresh_server
from tests.services.world import World


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_room_poured_in_order_is_what_its_history_says(version: str, world: World) -> None:
    room = grow_room(Random(7), ROOM_VERSIONS[version])
    poured = PouredRoom(world, room)

    poured.pour_in_parts(room.events, Random(1))

    check_against_history(poured)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_any_order_of_arrival_leads_to_the_same_states(room: ForkedRoom, random: Random) -> None:
    create, *others = room.events
    with TemporaryDirectory() as folder:
        roots: list[dict[str, bytes | None]] = []
        for name in ("in order", "shuffled", "backwards"):
            world = fresh_server(Path(folder), name)
            try:
                poured = PouredRoom(world, room)
                order = list(others)
                if name == "shuffled":
                    random.shuffle(order)
                elif name == "backwards":
                    order.reverse()
                poured.pour_in_parts([create, *order], random)
                assert Outcome.WAITING not in poured.outcomes.values()
                check_against_history(poured)
                stored = poured.stored(room.history.events)
                roots.append({event_id: stored[event_id].root_before for event_id in sorted(stored)})
            finally:
                world.close()
        assert roots[0] == roots[1] == roots[2]


@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 1 << 32), version=st.sampled_from(sorted(ROOM_VERSIONS)))
def test_after_any_part_of_a_room_every_index_says_what_the_events_themselves_say(
    world: World, seed: int, version: str
) -> None:
    random = Random(seed)
    room = grow_room(random, ROOM_VERSIONS[version], steps=30, name=f"r{world.randomness.token(8)}")
    poured = PouredRoom(world, room)
    create, *others = room.events
    late = {event.event_id: number + random.randrange(6) for number, event in enumerate(others)}
    others.sort(key=lambda event: late[event.event_id])
    left_out = random.sample(others, random.choice((0, 0, 1, 2)))
    positions: dict[int, bytes] = {}
    for some in slices([create, *(event for event in others if event not in left_out)], random):
        poured.pour(some)
        positions[world.sync_database.position] = poured.head.current_root

    kept = poured.stored(room.history.events)
    graph = Graph(kept)
    head = check_current_state(poured)
    rows = Rows(world, room.room_id)
    brought = [event for event in room.events if event.event_id in poured.outcomes]
    waiting = {event.event_id: event for event in brought if event.event_id not in kept}
    assert rows.waiting() == waiting.keys()
    assert rows.gaps() == {
        (named, event_id) for event_id, event in waiting.items() for named in names(event) if named not in kept
    }
    assert all(any(named not in kept for named in names(event)) for event in waiting.values())
    assert rows.edges() == graph.edges()
    assert set(head.heads) == graph.heads()
    assert rows.shadows() == {
        (event_id, one)
        for event_id, stored in kept.items()
        if stored.verdict is not Verdict.ACCEPTED
        for one in graph.below(event_id) & graph.heads()
    }
    assert rows.early_redactions() == {
        (redacts, event_id)
        for event_id, stored in kept.items()
        if stored.verdict is Verdict.ACCEPTED
        and (redacts := room.history.events[event_id].redacts) is not None  # it may have been redacted itself
        and redacts not in kept
    }
    for position, root in positions.items():
        assert world.sync_database.read(roots_at, [room.room_id], at=position) == {room.room_id: root}
    members = {row.user_id: row for row in world.sync_database.read(members_of_room, room.room_id)}
    assert world.sync_database.read(member_counts, room.room_id) == Counter(row.membership for row in members.values())
    went = world.sync_database.read(changes_of_rooms, [room.room_id], after=0, upto=world.sync_database.position)
    last = {one.user_id: one.membership for one in went}
    # Who fell out of the state without an event has no row.
    assert {user: last[user] for user in members} == {user: row.membership for user, row in members.items()}


def slices(events: Sequence[Event], random: Random) -> Iterator[list[Event]]:
    """The events, some at a time."""
    left = list(events)
    while left:
        size = random.randrange(1, 8)
        yield left[:size]
        left = left[size:]


def names(event: Event) -> set[EventID]:
    """What an event names of others."""
    return {*event.prev_event_ids, *event.auth_event_ids}


class Graph:
    """The graph that events form, walked whole for each question."""

    def __init__(self, kept: Mapping[EventID, StoredEvent]) -> None:
        self.kept = kept

    def below(self, event_id: EventID) -> set[EventID]:
        """All that an event is built on."""
        reached: set[EventID] = set()
        level = {event_id}
        while level:
            level = {prev for each in level for prev in self.kept[each].event.prev_event_ids} - reached
            reached |= level
        return reached

    def heads(self) -> set[EventID]:
        """The accepted events on which no accepted one is built, however far above."""
        accepted = {event_id for event_id, stored in self.kept.items() if stored.verdict is Verdict.ACCEPTED}
        return accepted.difference(*(self.below(event_id) for event_id in accepted))

    def edges(self) -> set[tuple[EventID, EdgeKind, EventID]]:
        """What is named, how, and by what."""
        events = [stored.event for stored in self.kept.values()]
        prev = {(named, EdgeKind.PREV, event.event_id) for event in events for named in event.prev_event_ids}
        state = [event for event in events if event.state_key is not None]
        return prev | {(named, EdgeKind.AUTH, event.event_id) for event in state for named in event.auth_event_ids}


class Rows:
    """The indexes of a room as they are stored, whole."""

    def __init__(self, world: World, room_id: RoomID) -> None:
        self._database = world.sync_database
        self._room_id = room_id

    def _all(self, sql: str) -> set[tuple[Any, ...]]:  # Any: as in Transaction
        return set(self._database.read(lambda tx: tx.all(sql, room_id=self._room_id)))

    def waiting(self) -> set[EventID]:
        return {row[0] for row in self._all("SELECT event_id FROM waiting_events WHERE room_id = :room_id")}

    def gaps(self) -> set[tuple[EventID, EventID]]:
        return self._all("SELECT missing_id, event_id FROM event_gaps WHERE room_id = :room_id")

    def shadows(self) -> set[tuple[EventID, EventID]]:
        return self._all("SELECT event_id, head_id FROM shadowed_heads WHERE room_id = :room_id")

    def early_redactions(self) -> set[tuple[EventID, EventID]]:
        return self._all("SELECT target_id, redaction_id FROM early_redactions WHERE room_id = :room_id")

    def edges(self) -> set[tuple[EventID, EdgeKind, EventID]]:
        rows = self._all(
            """SELECT t.event_id, g.kind, s.event_id FROM event_edges g
                 JOIN events t ON t.event_nid = g.target_nid JOIN events s ON s.event_nid = g.source_nid
                WHERE g.room_id = :room_id"""
        )
        return {(row[0], EdgeKind(row[1]), row[2]) for row in rows}
