"""Backups and exports of this server, made while it runs and others write, one at a time, as files in one folder.

Their names are given here: whoever may ask for one says neither where it is to be nor what it is called. Old ones go
when the owner of the server has a new one made. Administrators can add files up to the number that is kept, and have
none deleted. What makes them is in backup_process.py.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from twisted.internet.defer import Deferred

from homeserver.runtime.archive_files import PART_SUFFIX
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.worker_process import WorkerLost, WorkerStopped
from homeserver.services.admin.backup_archive import Progress, Whose
from homeserver.services.admin.backup_process import BackupPlan, Plan, Step
from homeserver.services.admin.exporting import ExportPlan
from homeserver.services.errors import Forbidden, LimitExceeded, NotFound, Unavailable
from homeserver.services.events.own_keys import OwnSigningKeys

ANSWER_AFTER_S: Final = 2.0  # who asks how far one is waits so long for its end
ASK_AGAIN_MS: Final = 5_000
BEGINNING: Final = Progress("beginning", 0, 0)

log = get_logger(__name__)


class Kind(Enum):
    """What a file is; the value is how its name ends."""

    BACKUP = ".backup"
    EXPORT = ".jsonl.gz"


NAME: Final = re.compile(r"columba-([0-9]{8}-[0-9]{6})-([0-9]{3})(\.backup|\.jsonl\.gz)", re.ASCII)
STAMP: Final = "%Y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that is whole."""

    name: str
    kind: Kind
    made_ms: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Making:
    """A file that is being made, or was since this server has started. It is at its end with a size or a failure."""

    name: str
    kind: Kind
    path: Path
    progress: Progress = BEGINNING
    size_bytes: int | None = None
    failure: str | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it is not at its end."""
        return self.size_bytes is None and self.failure is None


@dataclass(frozen=True, slots=True)
class OwnServer:
    """What a backup is of, and where it is put; how many of each kind are kept."""

    server_name: str
    columba: str  # the version of the program
    database: str  # the kind of it
    signing_key: Path
    configuration: Path | None
    folder: Path
    keep: int


class FileMaker(Protocol):
    """What makes the files: see BackupProcess."""

    async def begin(self, plan: Plan) -> Step: ...

    async def go_on(self) -> Step: ...

    def stop(self) -> "Deferred[None]": ...


class Backups:
    """Has backups and exports made."""

    def __init__(
        self,
        server: OwnServer,
        process: FileMaker,
        own_keys: OwnSigningKeys,
        clock: Clock,
    ) -> None:
        self._server = server
        self._process = process
        self._own_keys = own_keys
        self._clock = clock
        self._making: Making | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def server(self) -> OwnServer:
        """Where they are, and how many are kept."""
        return self._server

    @property
    def under_way(self) -> Making | None:
        """What is being made."""
        return self._making if self._making is not None and self._making.is_under_way else None

    def kept(self) -> list[KeptFile]:
        """The files that there are, the newest first."""
        try:
            found = [_kept(path) for path in self._server.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise Unavailable(f"{self._server.folder} cannot be read: {problem.strerror}") from problem
        return sorted((each for each in found if each is not None), key=lambda each: each.name, reverse=True)

    def back_up(self, *, has_signing_key: bool, by_owner: bool) -> Making:
        """Begin with a backup. Raises LimitExceeded while something is made, Forbidden where there are too many."""
        now_ms, path = self._prepare(Kind.BACKUP, by_owner=by_owner)
        key = self._server.signing_key if has_signing_key else None
        server, current = self._server, self._own_keys.current
        whose = Whose(server.server_name, server.columba, now_ms, server.database, current.key_id, current.to_base64())
        plan = BackupPlan(path, whose, key, server.configuration)
        return self._begin(plan, Kind.BACKUP, by_owner=by_owner)

    def export(self, *, by_owner: bool) -> Making:
        """Begin with an export. Raises as back_up."""
        now_ms, path = self._prepare(Kind.EXPORT, by_owner=by_owner)
        plan = ExportPlan(path, self._server.server_name, self._server.columba, now_ms)
        return self._begin(plan, Kind.EXPORT, by_owner=by_owner)

    async def wait_for(self, name: str) -> Making:
        """How far one is, after a while or at its end. Raises NotFound of one that was not made since the start."""
        if self._making is None or self._making.name != name:
            raise NotFound("no such backup was begun since this server has started")
        if self._making.is_under_way:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            alarm = self._clock.call_later(ANSWER_AFTER_S, lambda: self._wake(waiting))
            await waiting
            alarm.cancel()
        return self._making

    def stop(self) -> "Deferred[None]":
        """Give up what is being made. Fires when nothing reads the database any more."""
        return self._process.stop()

    def _prepare(self, kind: Kind, *, by_owner: bool) -> tuple[int, Path]:
        """The time, and the path of a new file; the folder is there."""
        if self.under_way is not None:
            raise LimitExceeded(ASK_AGAIN_MS, f"{self.under_way.name} is being made")
        folder = self._server.folder
        if not by_owner and len([each for each in self.kept() if each.kind is kind]) >= self._server.keep:
            raise Forbidden(
                f"there are {self._server.keep} already: only the owner of the server has old ones replaced"
            )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in folder.glob(f"columba-*{PART_SUFFIX}"):
                left.unlink()  # by a process that was killed
        except OSError as problem:
            raise Unavailable(f"{folder} cannot be used: {problem.strerror}") from problem
        now_ms = self._clock.now_ms()
        return now_ms, folder / f"columba-{_stamp(now_ms)}{kind.value}"

    def _begin(self, plan: Plan, kind: Kind, *, by_owner: bool) -> Making:
        self._making = making = Making(plan.path.name, kind, plan.path)
        made = Deferred.fromCoroutine(self._make(plan, making))
        made.addCallback(lambda _: self._tidy(kind) if by_owner else None)
        made.addErrback(lambda failure: log.error("a backup was not made", exc_info=failure.value))
        return making

    async def _make(self, plan: Plan, making: Making) -> None:
        failure = "the server failed"  # unless something else is found out
        try:
            step = await self._process.begin(plan)
            while not step.is_last:
                self._making = making = replace(making, progress=step.progress)
                step = await self._process.go_on()
            self._making = making = replace(
                making, progress=step.progress, size_bytes=step.size_bytes, failure=step.failure
            )
        except WorkerStopped:
            failure = "the server was stopped"
        except WorkerLost as lost:
            failure = f"the process that made it came to an end: {lost}"
        finally:
            if making.is_under_way:
                self._making = making = replace(making, failure=failure)
            if making.failure is not None:
                log.warning("a backup was not made", file=making.name, reason=making.failure)
            for waiting in list(self._waiting):
                self._wake(waiting)

    def _tidy(self, kind: Kind) -> None:
        """Delete the oldest files of a kind, of which there are more than wanted, unless the newest was not made."""
        if self._making is None or self._making.size_bytes is None:
            return
        for old in [each for each in self.kept() if each.kind is kind][self._server.keep :]:
            (self._server.folder / old.name).unlink(missing_ok=True)
            log.info("an old backup was deleted", file=old.name)

    def _wake(self, waiting: "Deferred[None]") -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            waiting.callback(None)


def _stamp(now_ms: int) -> str:
    return f"{datetime.fromtimestamp(now_ms // 1000, UTC):{STAMP}}-{now_ms % 1000:03}"


def _kept(path: Path) -> KeptFile | None:
    match = NAME.fullmatch(path.name)
    if match is None or not path.is_file():
        return None
    try:
        made = datetime.strptime(match[1], STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None  # somebody else's, who has odd dates
    made_ms = (made - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1) + int(match[2])
    return KeptFile(path.name, Kind(match[3]), made_ms, path.stat().st_size)
