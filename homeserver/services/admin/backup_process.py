"""Backups and exports are made in a process of their own, so that the server's threads keep their turns of the
interpreter. The process reads the database by itself, as of one moment, while others write.

It does some of the work whenever it is asked to, and tells how far it is. Who asks is backups.py; how the process is
started and ended is in runtime/worker_process.py.
"""

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred

from homeserver.runtime.archive_files import ArchiveWriter, BadArchive, CompressedFile
from homeserver.runtime.worker_process import WorkerProcess
from homeserver.services.admin.backup_archive import Outside, Progress, Whose, check_backup, write_backup
from homeserver.services.admin.exporting import ExportPlan, write_export
from homeserver.storage.database import Backend
from homeserver.storage.whole_tables import SnapshotLost

STEPS_AT_ONCE: Final = 8  # of some hundred rows each
LEAST_FREE_BYTES: Final = 128 << 20  # on the disk, on which the database may be, too


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """A backup to be made: into which file, and what is to be in it."""

    path: Path
    whose: Whose
    signing_key: Path | None  # a file whose text is to be in it
    configuration: Path | None  # as above


Plan: TypeAlias = BackupPlan | ExportPlan
Steps: TypeAlias = Generator[Progress, None, None]


@dataclass(frozen=True, slots=True)
class Step:
    """What the process has come to. It is at its end with either of the last two: how large the file is, or why not."""

    progress: Progress
    size_bytes: int | None = None
    failure: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether there is nothing to go on with."""
        return self.size_bytes is not None or self.failure is not None


class BackupProcess:
    """The process, as the server sees it. Made, asked and stopped on the reactor's thread."""

    def __init__(self, backend: Backend, call_from_thread: Callable[..., object]) -> None:
        self._worker: WorkerProcess[Plan | None, Step] = WorkerProcess(partial(begin, backend), call_from_thread)

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._worker.pid

    async def begin(self, plan: Plan) -> Step:
        """Begin with something. Raises WorkerLost, WorkerStopped."""
        return await self._worker.ask(plan)

    async def go_on(self) -> Step:
        """Go on with it. Raises WorkerLost, WorkerStopped."""
        return await self._worker.ask(None)

    def stop(self) -> "Deferred[None]":
        """End the process. Fires when it is gone; an unfinished file may stay, under the name of an unfinished one."""
        return self._worker.stop()


def begin(backend: Backend) -> Callable[[Plan | None], Step]:
    """In the process: what does the work."""
    return Work(backend)


class Work:
    """A plan, done step by step: called with it, and then with None as long as it is not at its end."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._steps: Steps | None = None
        self._plan: Plan | None = None
        self._progress = Progress("beginning", 0, 0)

    def __call__(self, plan: Plan | None) -> Step:
        """Do some of the work."""
        if plan is not None:
            self._plan, self._progress = plan, Progress("beginning", 0, 0)
            self._steps = _export(self._backend, plan) if isinstance(plan, ExportPlan) else _backup(self._backend, plan)
        if self._plan is None or self._steps is None:
            return Step(self._progress, failure="the process that made it came to an end")
        step = self._go_on(self._plan.path, self._steps)
        if step.is_last:
            self._plan = self._steps = None
        return step

    def _go_on(self, path: Path, steps: Steps) -> Step:
        try:
            for _ in range(STEPS_AT_ONCE):
                following = next(steps, None)
                if following is None:
                    return Step(self._progress, size_bytes=path.stat().st_size)
                self._progress = following
            if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES:
                steps.close()
                return Step(self._progress, failure="the disk is nearly full")
        except (OSError, UnicodeDecodeError, SnapshotLost, BadArchive) as failure:
            return Step(self._progress, failure=str(failure))
        return Step(self._progress)


def _backup(backend: Backend, plan: BackupPlan) -> Steps:
    """Make a backup, which has its name when all of it is on the disk, and was read again."""
    outside = Outside(
        None if plan.signing_key is None else plan.signing_key.read_text("ascii"),
        None if plan.configuration is None else plan.configuration.read_text("utf-8"),
    )
    with _whole_file(plan.path) as file:
        with closing(backend.open_snapshot()) as snapshot:
            yield from write_backup(snapshot, ArchiveWriter(file), plan.whose, outside)
        file.finish()
        yield from check_backup(file.part)
        file.keep()


def _export(backend: Backend, plan: ExportPlan) -> Steps:
    """Make an export, which has its name when all of it is on the disk."""
    with _whole_file(plan.path) as file:
        with closing(backend.open_snapshot()) as snapshot:
            yield from write_export(snapshot, file, plan)
        file.finish()
        file.keep()


@contextmanager
def _whole_file(path: Path) -> Iterator[CompressedFile]:
    file = CompressedFile(path)
    try:
        yield file
    finally:
        file.abandon()
