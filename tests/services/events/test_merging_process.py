"""States are merged in another process as they are here, and if not there then here."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import ROOM_VERSIONS, V12
from homeserver.runtime.worker_process import WorkerStopped
from homeserver.services.events.merging_process import MergingProcess
from homeserver.services.events.state_merging import Merged, MergeQuestion, NotMerged, merge_all
from homeserver.storage.database import Backend, Transaction
from homeserver.storage.sqlite import SQLiteBackend
from tests.databases import SyncDatabase
from tests.fakes.calls import ThreadOfCalls
from tests.forked_rooms import grow_room
from tests.staged_rooms import Stage, quarrelled_room, states_in_conflict

REJECT = "UPDATE events SET verdict = 2 WHERE event_id = :event_id"


class Beside(ThreadOfCalls):
    """A database, and a process that merges what is in it."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.database = SyncDatabase(backend)
        self.process = MergingProcess(backend, self.call)

    def ask(self, question: MergeQuestion) -> "Deferred[Merged | None]":
        """Ask the process, and do not wait."""
        return Deferred.fromCoroutine(self.process.merge(question))

    def merged_here(self, stage: Stage, question: MergeQuestion) -> Merged:
        """The same, merged in this process."""
        return self.database.read(lambda tx: merge_all(stage.new_states(), tx, question))

    def begin(self) -> int:
        """Have it begin; the process."""
        stage = staged(self, "first")
        assert self.wait(self.ask(stage.question(states_in_conflict(stage.room)))) is not None
        assert self.process.pid is not None
        return self.process.pid

    def close(self) -> None:
        """End the process, and close the database."""
        self.wait(self.process.stop())
        self.database.close()


@pytest.fixture
def beside(backend: Backend) -> Iterator[Beside]:
    beside = Beside(backend)
    yield beside
    beside.close()


def staged(beside: Beside, name: str = "room") -> Stage:
    """A room with states in conflict, all of it stored."""
    room = quarrelled_room(name=name)
    return Stage(room, beside.database, len(room.events))


def test_the_process_merges_as_this_one_does_whatever_is_stored_yet(beside: Beside) -> None:
    merges = 0
    for version in ROOM_VERSIONS.values():
        random = Random(version.name)
        room = grow_room(random, version, steps=30, name=f"of{version.name}")
        stage = Stage(room, beside.database, random.randrange(len(room.events) + 1))
        for fork in room.forks:
            question = stage.question(fork.states)

            merged = beside.wait(beside.ask(question))

            assert merged is not None
            assert merged.root == stage.resolved(fork.states)
            assert merged == beside.merged_here(stage, question)
            merges += len(question.roots) > 1
    assert merges > len(ROOM_VERSIONS)


def test_the_process_remembers_no_event_that_has_changed_since(beside: Beside) -> None:
    stage = staged(beside)
    question = stage.question(states_in_conflict(stage.room))
    before = beside.wait(beside.ask(question))

    for event in stage.room.events[1:]:
        beside.database.write(reject, event.event_id)

    after = beside.wait(beside.ask(question))
    assert after == beside.merged_here(stage, question) != before


def reject(tx: Transaction, event_id: EventID) -> None:
    tx.run(REJECT, event_id=event_id)


def test_a_process_that_is_killed_while_it_merges_is_replaced(beside: Beside) -> None:
    first = beside.begin()
    stage = staged(beside)
    states = states_in_conflict(stage.room)
    os.kill(first, signal.SIGSTOP)
    asked = beside.ask(stage.question(states))

    os.kill(first, signal.SIGKILL)

    merged = beside.wait(asked)
    assert merged is not None
    assert merged.root == stage.resolved(states)
    assert beside.process.pid != first


def test_there_is_no_answer_about_states_of_which_nothing_is_stored_but_to_the_next_question(beside: Beside) -> None:
    stage = staged(beside)
    unknown = MergeQuestion(stage.room.room_id, V12, frozenset({bytes(32), b"\1" * 32}), stage.overlay)

    assert beside.wait(beside.ask(unknown)) is None
    assert beside.wait(beside.ask(stage.question(states_in_conflict(stage.room)))) is not None


def test_stopping_ends_the_process_and_tells_those_who_wait(beside: Beside) -> None:
    pid = beside.begin()
    stage = staged(beside)
    os.kill(pid, signal.SIGSTOP)
    asked = beside.ask(stage.question(states_in_conflict(stage.room)))

    beside.wait(beside.process.stop())

    with pytest.raises(WorkerStopped):
        beside.wait(asked)
    assert not Path(f"/proc/{pid}").exists()


def test_what_the_process_does_not_merge_because_it_cannot_begin_is_merged_here(beside: Beside, tmp_path: Path) -> None:
    stage = staged(beside)
    states = states_in_conflict(stage.room)
    broken = MergingProcess(SQLiteBackend(tmp_path / "is-not-there"), beside.call)
    stage.merging = stage.new_merging(broken)
    with pytest.raises(NotMerged) as raised:
        stage.merged(states, limit=0)
    try:
        beside.wait(Deferred.fromCoroutine(stage.merging.merge_elsewhere(raised.value)))
    finally:
        beside.wait(broken.stop())

    assert stage.merged(states, limit=0) == stage.resolved(states)
