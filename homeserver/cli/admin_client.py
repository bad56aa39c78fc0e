"""The doors by which `homeserver admin` reaches a server: its socket, or, when none runs, its files.

What goes through them is the administrators' API: paths under /_columba/admin/v1/.
"""

import http.client
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Final, Protocol, TypeVar

import orjson
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from homeserver.cli.configuration import CANNOT_START, CommandFailed
from homeserver.runtime.data_folder import DataFolder, DataFolderProblem
from homeserver.runtime.startup import Homeserver, StartRefused
from homeserver.settings.sections import Settings

ADMIN_API: Final = "/_columba/admin/v1"
TIMEOUT_S: Final = 120.0

T = TypeVar("T")


class AdminDoor(Protocol):
    """A way to ask a server something in its administrator's name."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Send a request; the answer as (status, JSON). Raises CommandFailed when there is none."""


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


class SocketDoor:
    """The socket in the data folder of a running server. Whoever may open it is its owner: no token is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_open(self) -> bool:
        """True if a server listens there."""
        connection = _SocketConnection(self._path)
        try:
            connection.connect()
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """See AdminDoor."""
        connection = _SocketConnection(self._path)
        try:
            payload = None if body is None else orjson.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, orjson.loads(response.read())
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as problem:
            raise CommandFailed(f"the server did not answer on {self._path}: {problem}") from problem
        finally:
            connection.close()


class LocalDoor:
    """A server in this process, for this command alone."""

    # Any: a reactor is many interfaces at once, and runs in a thread of its own while the command waits.
    def __init__(self, homeserver: Homeserver, reactor: Any) -> None:
        self._homeserver = homeserver
        self._reactor = reactor

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """See AdminDoor."""
        status, answer = _wait_for(self._reactor, self._homeserver.administer(method, path, body or {}))
        return status, orjson.loads(orjson.dumps(answer))


# Any: as in LocalDoor
@contextmanager
def local_door(build: Callable[[], Homeserver], reactor: Any) -> Iterator[AdminDoor]:
    """A server without listeners and background work, for as long as the context lasts. Raises CommandFailed."""
    # A daemon: if the server cannot even be built, nothing is left to wait for.
    thread = Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, name="reactor", daemon=True)
    thread.start()
    homeserver = blockingCallFromThread(reactor, build)
    try:
        _wait_for(reactor, homeserver.start_offline())
        yield LocalDoor(homeserver, reactor)
    except StartRefused as refused:
        raise CommandFailed(refused.reason, CANNOT_START) from refused
    finally:
        _wait_for(reactor, homeserver.stop())
        reactor.callFromThread(reactor.stop)
        thread.join()


@contextmanager
def open_door(
    settings: Settings, when_none_runs: Callable[[Settings], AbstractContextManager[AdminDoor]]
) -> Iterator[AdminDoor]:
    """The door to the server of `settings`; its data folder is held where none runs. Raises CommandFailed."""
    door = SocketDoor(settings.admin_socket)
    if door.is_open():
        yield door
        return
    if not settings.data_dir.exists():
        raise CommandFailed(
            f"there is no server in {settings.data_dir}: start it once, or name its configuration by -c"
        )
    try:
        folder = DataFolder.hold(settings.data_dir, "homeserver admin")
    except DataFolderProblem as problem:
        raise CommandFailed(f"{problem.reason}, and no server answers on {settings.admin_socket}") from problem
    try:
        with when_none_runs(settings) as local:
            yield local
    finally:
        folder.release()


def is_running(door: AdminDoor) -> bool:
    """Whether there is a server behind it that does what servers do, and not its files alone."""
    return not isinstance(door, LocalDoor)


def ask(door: AdminDoor, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The JSON that the server answers. Raises CommandFailed with the server's reason when it refuses."""
    status, answer = door.call(method, path, body)
    if 200 <= status < 300:
        return answer
    error = answer if isinstance(answer, dict) else {}
    raise CommandFailed(f"the server refused: {error.get('error', 'no reason given')} ({error.get('errcode', status)})")


# Any: a reactor, and what a coroutine of Twisted yields and is sent.
def _wait_for(reactor: Any, work: Coroutine[Any, Any, T]) -> T:
    wait: Callable[[Any, Callable[[], Deferred[T]]], T] = blockingCallFromThread
    return wait(reactor, lambda: Deferred.fromCoroutine(work))
