"""Backups are made in another process, which tells how far it is; what comes to nothing leaves nothing."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from homeserver.runtime.worker_process import WorkerStopped
from homeserver.services.admin import backup_process
from homeserver.services.admin.backup_archive import check_backup, read_header
from homeserver.services.admin.backup_process import BackupPlan, BackupProcess, Plan, Step, Work
from homeserver.services.admin.exporting import ExportPlan
from homeserver.storage.database import Backend
from tests.fakes.calls import ThreadOfCalls
from tests.services.admin.backed_up import WHOSE
from tests.services.world import ALICE, World


class Beside(ThreadOfCalls):
    """A process beside this one."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.process = BackupProcess(backend, self.call)

    def run(self, plan: Plan) -> list[Step]:
        """Have something made; all that was told."""
        steps = [self.wait(Deferred.fromCoroutine(self.process.begin(plan)))]
        while not steps[-1].is_last:
            steps.append(self.wait(Deferred.fromCoroutine(self.process.go_on())))
        return steps


@pytest.fixture
def beside(backend: Backend) -> Iterator[Beside]:
    beside = Beside(backend)
    yield beside
    beside.wait(beside.process.stop())


def plan_for(folder: Path) -> BackupPlan:
    key, configuration = folder / "signing.key", folder / "homeserver.yaml"
    key.write_text("ed25519 a secret\n")
    configuration.write_text("server_name: example.org\n")
    return BackupPlan(folder / "made.backup", WHOSE, key, configuration)


def done(work: Work, plan: Plan) -> list[Step]:
    """The same as Beside.run, in this process."""
    steps = [work(plan)]
    while not steps[-1].is_last:
        steps.append(work(None))
    return steps


def test_a_backup_is_made_by_another_process_while_this_one_goes_on_writing(
    world: World, beside: Beside, tmp_path: Path
) -> None:
    world.create_room(ALICE)
    plan = plan_for(tmp_path)
    first = beside.wait(Deferred.fromCoroutine(beside.process.begin(plan)))
    assert beside.process.pid is not None

    room_id = world.create_room(ALICE)
    step = first
    while not step.is_last:
        step = beside.wait(Deferred.fromCoroutine(beside.process.go_on()))

    header, outside = read_header(plan.path)
    assert step.size_bytes == plan.path.stat().st_size
    assert {table.name: table.rows for table in header.tables}["rooms"] == 1
    assert (outside.signing_key, outside.configuration) == ("ed25519 a secret\n", "server_name: example.org\n")
    assert room_id.encode() not in plan.path.read_bytes()
    assert list(check_backup(plan.path))


def test_when_the_process_dies_nothing_comes_of_the_backup_and_the_next_one_is_made(
    beside: Beside, tmp_path: Path
) -> None:
    plan = plan_for(tmp_path)
    beside.wait(Deferred.fromCoroutine(beside.process.begin(plan)))
    assert beside.process.pid is not None

    os.kill(beside.process.pid, signal.SIGKILL)

    step = beside.wait(Deferred.fromCoroutine(beside.process.go_on()))
    assert step.failure is not None
    assert not plan.path.exists()
    assert beside.run(plan)[-1].size_bytes == plan.path.stat().st_size
    assert [path.name for path in tmp_path.glob("made*")] == ["made.backup"]


def test_whoever_stops_it_is_told(beside: Beside, tmp_path: Path) -> None:
    beside.run(plan_for(tmp_path))
    beside.wait(beside.process.stop())

    with pytest.raises(WorkerStopped):
        beside.wait(Deferred.fromCoroutine(beside.process.go_on()))


def test_a_file_that_cannot_be_written_is_told_and_another_one_can_be_made(backend: Backend, tmp_path: Path) -> None:
    work = Work(backend)
    nowhere = BackupPlan(tmp_path / "nowhere" / "made.backup", WHOSE, None, None)

    (failed,) = done(work, nowhere)
    made = done(work, plan_for(tmp_path))[-1]

    assert failed.failure is not None
    assert "No such file" in failed.failure
    assert made.size_bytes is not None
    assert work(None).failure is not None


def test_without_the_key_there_is_no_backup_that_should_hold_it(backend: Backend, tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    assert plan.signing_key is not None
    plan.signing_key.unlink()

    (failed,) = done(Work(backend), plan)

    assert failed.failure is not None
    assert list(tmp_path.glob("made*")) == []


def test_a_process_that_was_replaced_knows_of_nothing(backend: Backend) -> None:
    assert Work(backend)(None).failure is not None


def test_on_a_disk_that_is_nearly_full_nothing_is_left(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_process, "LEAST_FREE_BYTES", 1 << 62)

    (failed,) = done(Work(backend), plan_for(tmp_path))

    assert failed.failure == "the disk is nearly full"
    assert list(tmp_path.glob("made*")) == []


def test_an_export_is_made_in_the_same_way(world: World, backend: Backend, tmp_path: Path) -> None:
    world.create_room(ALICE)

    steps = done(Work(backend), ExportPlan(tmp_path / "made.jsonl.gz", "example.org", "1.2.3", 0))

    assert steps[-1].size_bytes == (tmp_path / "made.jsonl.gz").stat().st_size
    assert [path.name for path in tmp_path.glob("made*")] == ["made.jsonl.gz"]
