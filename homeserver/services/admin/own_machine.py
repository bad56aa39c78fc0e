"""The doctor's look at the machine: disk, files and who can read them, certificates, the database, settings."""

import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from homeserver.runtime.certificates import NoCertificate, validity_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.data_folder import find_exposure
from homeserver.runtime.own_figures import OwnFigures
from homeserver.services.admin.doctor import Finding, Level, well
from homeserver.storage.database import Backend, Durability
from homeserver.storage.database_check import DatabaseCheck, check_database

GIB: Final = 1 << 30
FREE_WARNING_BYTES, FREE_ERROR_BYTES = 2 * GIB, GIB // 4
FREE_WARNING_PART: Final = 0.05
FEW_FILES: Final = 4_096
MOST_OPEN_PART: Final = 0.8
EXPIRES_SOON: Final = timedelta(days=14)
CHECK_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Files:
    """What lies where. `secrets` are for the server's own user alone, the settings' file if there are secrets in it."""

    data_folder: Path
    secrets: Sequence[Path]
    certificates: Sequence[Path]
    settings: Path | None = None


class OwnMachine:
    """Looks at what the server runs on. What takes a while is done in a thread."""

    def __init__(
        self,
        files: Files,
        risks: Sequence[str],
        figures: OwnFigures,
        backend: Backend,
        in_thread: Callable[..., Awaitable[Any]],  # Any: as deferToThread takes and gives it
        clock: Clock,
    ) -> None:
        """`risks` of the settings are sentences."""
        self._files = files
        self._risks = risks
        self._figures = figures
        self._backend = backend
        self._in_thread = in_thread
        self._clock = clock

    async def findings(self) -> Sequence[Finding]:
        """See Examination."""
        check: DatabaseCheck = await self._in_thread(check_database, self._backend, CHECK_S)
        durability: Durability = await self._in_thread(self._backend.durability)
        return [
            *self._settings(),
            self._disk(),
            *self._secrets(),
            *self._certificates(),
            self._open_files(),
            _database(check),
            _durability(durability),
        ]

    def _settings(self) -> Iterator[Finding]:
        for risk in self._risks:
            yield Finding("settings", Level.WARNING, risk, "change the setting, unless this server is for tests")
        if not self._risks:
            yield well("settings", "none of them is dangerous")

    def _disk(self) -> Finding:
        try:
            usage = shutil.disk_usage(self._files.data_folder)
        except OSError as problem:
            return Finding("disk", Level.ERROR, str(problem), "look at the disk with the data folder")
        told = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB are free for {self._files.data_folder}"
        advice = "make room: when the disk is full, nothing can be stored any more"
        if usage.free < FREE_ERROR_BYTES:
            return Finding("disk", Level.ERROR, told, advice)
        if usage.free < FREE_WARNING_BYTES or usage.free < usage.total * FREE_WARNING_PART:
            return Finding("disk", Level.WARNING, told, advice)
        return well("disk", told)

    def _secrets(self) -> Iterator[Finding]:
        levels = dict.fromkeys(self._files.secrets, Level.ERROR)
        if self._files.settings is not None:
            levels.setdefault(self._files.settings, Level.WARNING)
        exposed = {path: exposure for path in levels if (exposure := _exposure(path)) is not None}
        for path, exposure in exposed.items():
            advice = f"close it to others: chmod go= {path}, and see that it belongs to the server's user"
            yield Finding("files", levels[path], exposure, advice)
        if not exposed:
            yield well("files", "keys, database and settings are closed to other users")

    def _certificates(self) -> Iterator[Finding]:
        for path in self._files.certificates:
            advice = f"renew the certificate in {path}, and restart the server"
            try:
                validity = validity_of(path)
            except NoCertificate as unreadable:
                yield Finding("certificate", Level.ERROR, str(unreadable), advice)
                continue
            now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
            told = f"{path} is good until {validity.until:%Y-%m-%d %H:%M} UTC"
            if validity.until < now:
                yield Finding("certificate", Level.ERROR, f"{told}: no more", advice)
            elif validity.since > now:
                yield Finding("certificate", Level.ERROR, f"{path} is not good yet", "look at this machine's clock")
            elif validity.until < now + EXPIRES_SOON:
                yield Finding("certificate", Level.WARNING, told, advice)
            else:
                yield well("certificate", told)

    def _open_files(self) -> Finding:
        process = self._figures.process()
        limit, is_open = process.open_files_limit, process.open_files or 0
        told = f"{is_open} of {limit} files are open"
        advice = "let the server open more files (LimitNOFILE=65536 in its systemd unit)"
        if is_open > limit * MOST_OPEN_PART:
            return Finding("open files", Level.ERROR, told, advice)
        if limit < FEW_FILES:
            return Finding("open files", Level.WARNING, f"{told}: few for a server with many users", advice)
        return well("open files", told)


def _exposure(path: Path) -> str | None:
    try:
        return find_exposure(path)
    except FileNotFoundError:
        return None
    except OSError as problem:
        return str(problem)


def _database(check: DatabaseCheck) -> Finding:
    if check.damage is not None:
        advice = "stop the server, keep a copy of the data folder, and put back the last backup"
        return Finding("database", Level.ERROR, f"it is damaged: {check.damage}", advice)
    if check.is_whole:
        return well("database", "its structure is sound")
    return well("database", "nothing is wrong as far as was looked: not all of it in the time there is")


def _durability(durability: Durability) -> Finding:
    told = ", ".join(f"{name} {value}" for name, value in durability.settings.items())
    if durability.survives_power_loss:
        return well("durability", f"what was stored survives a loss of power ({told})")
    advice = "turn on fsync, synchronous_commit and full_page_writes in PostgreSQL's settings"
    return Finding("durability", Level.WARNING, f"a loss of power can lose what was stored ({told})", advice)
