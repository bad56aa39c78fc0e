"""`homeserver run`: starts the server, and stops it well. The only file that imports the reactor.

What the server consists of is in assembly/.
"""

import os
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.assembly.server import build
from homeserver.cli.admin_client import AdminDoor, local_door
from homeserver.cli.configuration import (
    BROKEN,
    CANNOT_START,
    DEFAULT_FOLDER,
    FILE_NAME,
    CommandFailed,
    read_settings,
)
from homeserver.cli.setup import make_signing_key, write_server
from homeserver.runtime import logs, systemd
from homeserver.runtime.data_folder import DataFolder, DataFolderProblem
from homeserver.runtime.randomness import SystemRandomness
from homeserver.runtime.startup import Homeserver, StartRefused
from homeserver.settings.sections import Settings
from homeserver.settings.template import render

# Of the ten seconds after which supervisors lose patience, the rest is for what the reactor closes itself.
STOP_S: Final = 9.0
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = logs.get_logger(__name__)


def run(path: Path | None) -> int:
    """Run the server of the configuration `path` until it is told to stop; the exit code.

    Without a path: the server of ./columba-data, which is made on first use. Raises CommandFailed, SettingsError.
    """
    if path is None:
        path = DEFAULT_FOLDER / FILE_NAME
        if not path.exists():
            _make_first_server(path.parent)
    settings = read_settings(path)
    os.umask(0o077)
    _allow_many_connections()
    logs.configure(settings.log.level, settings.log.format, sys.stderr.buffer)
    logs.take_over_twisted()
    try:
        folder = DataFolder.hold(settings.data_dir, "homeserver run")
    except DataFolderProblem as problem:
        raise CommandFailed(problem.reason, CANNOT_START) from problem
    try:
        make_signing_key(settings, SystemRandomness())
        return Life(settings, path, installed_reactor).live()
    finally:
        folder.release()


def offline(settings: Settings) -> AbstractContextManager[AdminDoor]:
    """A door to the server of `settings`, in this process and without listeners; its data folder must be held."""
    logs.configure("warning", "console", sys.stderr.buffer)
    logs.take_over_twisted()
    return local_door(lambda: build(settings, installed_reactor), installed_reactor)


class Life:
    """A server from its start to its end."""

    # Any: a reactor is many interfaces at once; the installed one is a module to the type checker.
    def __init__(self, settings: Settings, configuration: Path, reactor: Any) -> None:
        self._settings = settings
        self._configuration = configuration
        self._reactor = reactor
        self._homeserver: Homeserver | None = None
        self._starting: Deferred[None] | None = None
        self._is_stopping = False
        self._is_stuck = False
        self._exit_code = 0

    def live(self) -> int:
        """Start, serve until a signal comes, stop; the exit code."""
        self._reactor.callWhenRunning(self._begin)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._end)
        self._reactor.run()
        if self._is_stuck:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._exit_code or BROKEN)  # a thread that does not end would keep the process
        return self._exit_code

    def _begin(self) -> None:
        for number in SIGNALS:
            # In place of Twisted's own, which complain about a second signal.
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop))
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._could_not_start)

    async def _start(self) -> None:
        self._homeserver = build(self._settings, self._reactor)
        await self._homeserver.start()
        print(_greeting(self._settings, self._configuration, self._homeserver.addresses), flush=True)
        systemd.notify("READY=1", os.environ)

    def _could_not_start(self, failure: Failure) -> None:
        if self._is_stopping:
            return
        if isinstance(failure.value, StartRefused):
            print(f"homeserver: {failure.value.reason}", file=sys.stderr, flush=True)
            self._exit_code = CANNOT_START
        else:
            log.error("the server could not start", exc_info=failure.value)
            self._exit_code = BROKEN
        self._stop()

    def _stop(self) -> None:
        if self._is_stopping:
            print("homeserver: stopped at once", file=sys.stderr, flush=True)
            os._exit(self._exit_code or 130)  # what was acknowledged is on the disk
        self._is_stopping = True
        self._reactor.stop()

    def _end(self) -> Deferred[None]:
        ended = Deferred.fromCoroutine(self._drain())
        ended.addTimeout(STOP_S, self._reactor)
        return ended.addErrback(self._could_not_stop)

    async def _drain(self) -> None:
        self._is_stopping = True
        systemd.notify("STOPPING=1", os.environ)
        if self._starting is not None:
            self._starting.cancel()
        if self._homeserver is not None:
            await self._homeserver.stop()

    def _could_not_stop(self, failure: Failure) -> None:
        self._is_stuck = True
        log.error("the server did not stop cleanly", exc_info=failure.value)


def _make_first_server(folder: Path) -> None:
    configuration = render(
        "localhost:8008", public_base_url="http://localhost:8008/", data_dir=".", has_open_registration=True
    )
    write_server(folder, configuration, SystemRandomness())
    print(f"Made a server for trying out in {folder}/; its configuration is {folder / FILE_NAME}.")


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _greeting(settings: Settings, configuration: Path, addresses: Sequence[str]) -> str:
    option = "" if configuration == DEFAULT_FOLDER / FILE_NAME else f" -c {configuration}"
    first, *others = addresses or ["(no listener)"]
    lines = [
        f"Columba runs as {settings.server_name}; its data is in {settings.data_dir}",
        "",
        f"  Open           {first}",
        *(f"  and            {other}" for other in others),
        f"  First account  {_command()} admin user register --admin{option}",
        "",
        "Ctrl-C stops it.",
    ]
    if settings.registration.enabled and not settings.registration.require_token:
        lines.insert(-2, "                 (or sign up there with any Matrix client: registration is open)")
    return "\n".join(lines)


def _command() -> str:
    """How to call this program from where the operator is."""
    if shutil.which("homeserver") is not None:
        return "homeserver"
    called = sys.argv[0]
    return f"{sys.executable} -m homeserver" if called.endswith("__main__.py") else called
