"""Servers that start at once: each is a copy of a process that has imported all that a server consists of.

To import it costs a second, and tests start many servers. Whoever wants `homeserver run` as an operator starts it gives
`Server.program` in tests/server.py. The commands of README.md and docs/ are typed into a shell, where `ask_for` is run.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

# All but the reactor, of which each process makes its own: it holds open files.
IMPORTED: Final = ("homeserver.cli.main", "homeserver.assembly.server", "twisted.internet.epollreactor")
REQUEST_BYTES: Final = 65_536
PIPE_BYTES: Final = 65_536


class Copied:
    """A process that came from the nursery: as much of subprocess.Popen as servers need."""

    def __init__(self, told: socket.socket, stdout: BinaryIO) -> None:
        self._told = told  # by whoever waits for it: its number, and later how it ended
        self.stdout = stdout
        self.returncode: int | None = None
        self._rest = bytearray()  # of what it says, as far as it was waited for
        self.pid = _number_from(self._told)

    def poll(self) -> int | None:
        """How it ended, or None while it runs."""
        self._told.settimeout(0)
        try:
            self.returncode = _number_from(self._told) if self.returncode is None else self.returncode
        except BlockingIOError:
            return None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes, None]:
        """Wait for its end; the rest of its standard output. Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._wait_for(self.stdout, until) and (piece := os.read(self.stdout.fileno(), PIPE_BYTES)):
            self._rest += piece
        self._wait_for(self._told, until)
        self.poll()
        self.stdout.close()
        self._told.close()
        return bytes(self._rest), None

    def _wait_for(self, file: BinaryIO | socket.socket, until: float | None) -> bool:
        timeout = None if until is None else max(until - time.monotonic(), 0)
        readable, _, _ = select.select([file], [], [], timeout)
        if not readable:
            raise subprocess.TimeoutExpired("homeserver", timeout or 0)
        return True


class Nursery:
    """The process that is copied; it ends with this one."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._requests, others_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with others_end:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.nursery", str(others_end.fileno())],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                pass_fds=[others_end.fileno()],
                start_new_session=True,
            )
        atexit.register(self._end)

    def start(self, arguments: Sequence[str], folder: Path, stdin: BinaryIO, stderr: BinaryIO) -> Copied:
        """Run `homeserver ARGUMENTS` in a folder, with these files, its standard output a pipe."""
        told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out, stdout = os.pipe()
        request = json.dumps({"arguments": list(arguments), "folder": str(folder)}).encode()
        with tells, os.fdopen(stdout, "wb") as stdout_file:
            files = (stdin, stdout_file, stderr, tells)
            socket.send_fds(self._requests, [request], [file.fileno() for file in files])
        return Copied(told, os.fdopen(out, "rb"))

    @property
    def door(self) -> int:
        """The file that a process has to inherit to call `ask_for`."""
        return self._requests.fileno()

    def _end(self) -> None:
        self._requests.close()
        self._process.wait()


def serve(requests: socket.socket) -> None:
    """Copy this process for each request, until nobody is left who could ask. Returns in the copies, too."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who wait for servers are waited for by nobody
    while True:
        request, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 4)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asked = json.loads(request)
            become_server(asked["arguments"], asked["folder"], files[:3], files[3])
        for file in files:
            os.close(file)


def become_server(arguments: list[str], folder: str, standard: list[int], tells: int) -> NoReturn:
    """Copy this process once more, to run `homeserver ARGUMENTS` with its standard files, and tell of it."""
    pid = os.fork()
    if pid != 0:
        for file in standard:
            os.close(file)
        os.write(tells, pid.to_bytes(4, "big", signed=True))
        readable, _, _ = select.select([tells, os.pidfd_open(pid)], [], [])
        if tells in readable:  # whoever asked for the server is gone
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        os.write(tells, os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
        os._exit(0)
    os.close(tells)
    os.setsid()
    os.chdir(folder)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["homeserver", *arguments]
    main = importlib.import_module("homeserver.cli.main").main
    raise SystemExit(main(arguments))


def ask_for(door: int, arguments: Sequence[str]) -> int:
    """Be `homeserver ARGUMENTS` to whoever started this process: its folder, files, signals and exit code."""
    told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.socket(fileno=door) as requests, tells:
        request = json.dumps({"arguments": list(arguments), "folder": str(Path.cwd())}).encode()
        socket.send_fds(requests, [request], [0, 1, 2, tells.fileno()])
    pid = _number_from(told)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    return _number_from(told)


def _number_from(told: socket.socket) -> int:
    number = told.recv(4)
    if not number:
        raise RuntimeError("whoever waited for the server is gone")
    return int.from_bytes(number, "big", signed=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
