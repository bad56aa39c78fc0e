"""States merged by their roots are the resolution of the whole states, wherever events and nodes lie."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from homeserver.core.state_map import EMPTY_ROOT, StateMap
from homeserver.services.events.state_merging import INLINE_LIMIT, Merged, MergeQuestion, NotMerged
from tests.conftest import examples
from tests.databases import SyncDatabase, fresh_sqlite
from tests.forked_rooms import ForkedRoom, forked_rooms
from tests.services.world import now
from tests.staged_rooms import Stage, quarrelled_room, states_in_conflict


@contextmanager
def staged(room: ForkedRoom, stored: int) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="columba-merging-") as folder:
        database = SyncDatabase(fresh_sqlite(Path(folder) / "homeserver.db"))
        try:
            yield Stage(room, database, stored)
        finally:
            database.close()


@settings(max_examples=examples(30))
@given(forked_rooms(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_merging_roots_is_resolving_the_whole_states(room: ForkedRoom, share: float, random: Random) -> None:
    with staged(room, round(share * len(room.events))) as stage:
        for fork in room.forks:
            states = list(fork.states)
            random.shuffle(states)

            root = stage.merged(states)

            assert root == stage.resolved(fork.states)


def test_one_state_is_merged_with_itself_without_a_look() -> None:
    room = quarrelled_room()
    with staged(room, 0) as stage:
        state = room.forks[0].states[0]

        assert stage.merged([state, state], limit=0) == stage.root(state)


def test_no_state_at_all_is_merged_to_the_empty_one() -> None:
    with staged(quarrelled_room(), 0) as stage:
        assert stage.merged([], limit=0) == EMPTY_ROOT


def refusal(stage: Stage, states: list[StateMap]) -> NotMerged:
    """What is said when they are too much to be merged inside a write."""
    with pytest.raises(NotMerged) as raised:
        stage.merged(states, limit=0)
    return raised.value


class Place:
    """A place outside of this process that gives the same answer to whatever question, when the test lets it."""

    def __init__(self, answer: Merged | None) -> None:
        self.asked: list[MergeQuestion] = []
        self.may_answer: Deferred[None] = Deferred()
        self.answer = answer

    async def merge(self, question: MergeQuestion) -> Merged | None:
        self.asked.append(question)
        await self.may_answer
        return self.answer


def test_what_is_too_much_inside_a_write_is_merged_elsewhere_and_remembered() -> None:
    room = quarrelled_room()
    states = states_in_conflict(room)
    with staged(room, len(room.events)) as stage:
        now(stage.merging.merge_elsewhere(refusal(stage, states)))

        assert stage.merged(states, limit=0) == stage.resolved(states)


def test_what_was_merged_elsewhere_is_remembered_until_it_is_used_however_small_the_caches_are() -> None:
    room = quarrelled_room()
    states = states_in_conflict(room)
    with staged(room, len(room.events)) as stage:
        stage.merging = stage.new_merging(cache_bytes=1)

        now(stage.merging.merge_elsewhere(refusal(stage, states)))

        assert stage.merged(states, limit=0) == stage.resolved(states)


def test_one_question_for_all_who_wait_for_the_same_merge_goes_to_another_process() -> None:
    room = quarrelled_room()
    states = states_in_conflict(room)
    with staged(room, len(room.events)) as stage:
        place = Place(Merged(b"merged there"))
        stage.merging = stage.new_merging(place)
        waiting = [Deferred.fromCoroutine(stage.merging.merge_elsewhere(refusal(stage, states))) for _ in range(3)]
        assert not any(one.called for one in waiting)

        place.may_answer.callback(None)

        assert all(one.called for one in waiting)
        assert [question.roots for question in place.asked] == [{stage.root(state) for state in states}]
        assert stage.merged(states, limit=0) == b"merged there"


def test_when_no_answer_is_to_be_had_elsewhere_a_thread_merges() -> None:
    room = quarrelled_room()
    states = states_in_conflict(room)
    with staged(room, len(room.events)) as stage:
        place = Place(None)
        place.may_answer.callback(None)
        stage.merging = stage.new_merging(place)

        now(stage.merging.merge_elsewhere(refusal(stage, states)))

        assert len(place.asked) == 1
        assert stage.merged(states, limit=0) == stage.resolved(states)


def test_a_write_tries_no_merge_in_a_room_where_the_last_one_was_too_much() -> None:
    room = quarrelled_room()
    states = states_in_conflict(room)
    with staged(room, len(room.events)) as stage:
        place = Place(Merged(b"merged there", cost=INLINE_LIMIT + 1))
        place.may_answer.callback(None)
        stage.merging = stage.new_merging(place)
        too_much, little = (
            NotMerged(replace(stage.question(states), roots=frozenset({bytes(32), name}))) for name in (b"1", b"2")
        )

        now(stage.merging.merge_elsewhere(too_much))
        with pytest.raises(NotMerged):
            stage.merged(states, limit=INLINE_LIMIT)

        place.answer = Merged(b"merged there", cost=INLINE_LIMIT)
        now(stage.merging.merge_elsewhere(little))
        assert stage.merged(states, limit=INLINE_LIMIT) == stage.resolved(states)
