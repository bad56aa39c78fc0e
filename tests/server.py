"""The whole server as a process of its own, started much as an operator would: `homeserver run -c FILE`.

What speaks with it over HTTP is in tests/api/client.py.
"""

import contextlib
import functools
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.nursery import Copied, Nursery

START_S: Final = 60.0
STOP_S: Final = 10.0
LAST_LINE_OF_GREETING: Final = b"Ctrl-C stops it.\n"
REPOSITORY: Final = Path(__file__).parents[1]
# Below the ports that the kernel gives to outgoing connections.
PORTS: Final = range(12_000, 32_000)


class ServerProblem(AssertionError):  # noqa: N818 - a judgement
    """The server did not do what a server does; its log is in the message."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a server's process came to its end."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float


class Port:
    """A port on the loopback interface that no other test takes, for as long as this object is kept open."""

    def __init__(self) -> None:
        while True:
            self.number = secrets.choice(PORTS)
            # A name in the kernel's abstract namespace: whoever has it owns the port, until closed or dead.
            self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._claim.bind(f"\0columba-tests-port-{self.number}")
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", self.number))
            except OSError:
                self._claim.close()
            else:
                return

    def close(self) -> None:
        """Let others have it."""
        self._claim.close()


@dataclass
class Server:
    """A server in a folder of its own: started, stopped, killed and started again on the same data and port."""

    folder: Path
    port: Port
    server_name: str
    settings: dict[str, Any]  # Any: YAML
    process: subprocess.Popen[bytes] | Copied | None = None
    has_expected_errors: bool = False  # a test that provokes errors in the log says so
    program: tuple[str, ...] | None = None  # what an interpreter is told to run; None: `homeserver`, out of the nursery
    _stdout: bytearray = field(default_factory=bytearray)

    @property
    def url(self) -> str:
        """Where clients reach it; without a slash at its end."""
        return f"http://127.0.0.1:{self.port.number}"

    @property
    def configuration(self) -> Path:
        """The file that `-c` names."""
        return self.folder / "homeserver.yaml"

    @property
    def data_dir(self) -> Path:
        """Where the server keeps what it has."""
        return self.folder / "data"

    @property
    def sqlite_file(self) -> Path:
        """The database, where it is SQLite."""
        return self.data_dir / "homeserver.db"

    @property
    def log_file(self) -> Path:
        """What all runs wrote to their standard error."""
        return self.folder / "log"

    @property
    def log(self) -> str:
        """The same, as text."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it and wait until it serves. Raises ServerProblem when it does not."""
        self.launch()
        assert self.process is not None
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        until = time.monotonic() + START_S
        while not self._stdout.endswith(LAST_LINE_OF_GREETING):
            readable, _, _ = select.select([pipe], [], [], max(until - time.monotonic(), 0))
            piece = os.read(pipe, 65_536) if readable else b""
            if not piece:
                self.kill()
                raise ServerProblem(f"the server did not start:\n{self._stdout.decode()}\n{self.log[-10_000:]}")
            self._stdout += piece

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        assert self.process is None, "it runs already"
        self.configuration.write_text(yaml.safe_dump(self.settings))
        self._stdout.clear()
        arguments = ("run", "-c", str(self.configuration))
        with self.log_file.open("ab") as log, open(os.devnull, "rb") as nothing:
            if self.program is None:
                self.process = nursery().start(arguments, self.folder, nothing, log)
                return
            self.process = subprocess.Popen(
                [sys.executable, *self.program, *arguments],
                cwd=self.folder,
                env=environment(),
                stdin=nothing,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def end(self, number: int = signal.SIGTERM) -> Ended:
        """Send a signal, wait for the end of the process, and tell of it. Raises ServerProblem if it takes too long."""
        assert self.process is not None, "it does not run"
        began = time.monotonic()
        self.process.send_signal(number)
        return self.wait(began)

    def wait(self, began: float | None = None) -> Ended:
        """Wait for the end of a process that ends by itself. Raises ServerProblem if it takes too long."""
        process, self.process = self.process, None
        assert process is not None, "it does not run"
        began = time.monotonic() if began is None else began
        limit_s = STOP_S if self._stdout else START_S
        try:
            rest, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as late:
            process.send_signal(signal.SIGABRT)
            process.kill()
            process.communicate()
            raise ServerProblem(f"the server did not end in {limit_s} s:\n{self.log[-10_000:]}") from late
        assert process.returncode is not None
        stdout = (bytes(self._stdout) + rest).decode(errors="replace")
        return Ended(process.returncode, stdout, self.log, time.monotonic() - began)

    def stop(self) -> None:
        """Stop it as a supervisor does. Raises ServerProblem unless it ends well, in time, and its log is clean."""
        ended = self.end()
        if ended.exit_code != 0:
            raise ServerProblem(f"the server ended with {ended.exit_code}:\n{self.log[-10_000:]}")
        if self.complaints and not self.has_expected_errors:
            raise ServerProblem("the server complained:\n" + "\n".join(self.complaints[:20]))

    def kill(self) -> None:
        """End it as a power cut would, without a warning."""
        assert self.process is not None, "it does not run"
        self.process.kill()
        self.process.communicate()
        self.process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop it, if it runs, and delete all that it had."""
        try:
            if self.process is not None:
                self.stop()
        finally:
            if self.process is not None:
                self.kill()
            self.port.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def complaints(self) -> list[str]:
        """Lines of the log that tell of a fault of the server: errors, warnings of Python, tracebacks."""
        return [line for line in self.log.splitlines() if _is_complaint(line)]

    def command(self, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run `homeserver ARGUMENTS -c FILE`, with `text` on its standard input."""
        self.configuration.write_text(yaml.safe_dump(self.settings))
        return homeserver(*arguments, "-c", str(self.configuration), folder=self.folder, text=text)


def _is_complaint(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return "Traceback" in line or "Warning: " in line
    return isinstance(entry, dict) and entry.get("level") in ("error", "critical")


@functools.cache
def nursery() -> Nursery:
    """The one of this process."""
    return Nursery(environment(), REPOSITORY)


def homeserver(*arguments: str, folder: Path, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `homeserver ARGUMENTS` out of the nursery in a folder, with `text` on its standard input."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.write((text or "").encode())
        stdin.seek(0)
        process = nursery().start(arguments, folder, stdin, stderr)
        stdout, _ = process.communicate(timeout=START_S)
        assert process.returncode is not None
        stderr.seek(0)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout.decode(), stderr.read().decode())


def environment() -> dict[str, str]:
    """What a process needs to find Python and this project."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


# Any: YAML, throughout.
def new_server(
    *, database: str = "sqlite", server_name: str | None = None, settings: Mapping[str, Any] | None = None
) -> Server:
    """A server that does not run yet. `settings` go over those that suit tests, top-level key by key.

    Registration is open, passwords are cheap, nothing limits the rate. The server's name is its address, unless given.
    """
    port = Port()
    name = server_name or f"127.0.0.1:{port.number}"
    # Not the folder of the test: the path of a socket is short.
    folder = Path(tempfile.mkdtemp(prefix="columba-"))
    suited = {
        "server_name": name,
        "public_base_url": f"http://127.0.0.1:{port.number}/",
        "data_dir": str(folder / "data"),
        "database": database,
        "listeners": [
            {
                "bind": "127.0.0.1",
                "port": port.number,
                "serve": ["client", "federation", "media", "admin", "metrics"],
            }
        ],
        "registration": {"enabled": True, "require_token": False},
        "passwords": {"argon2_time_cost": 1, "argon2_memory_kib": 8},
        "rate_limits": "disabled",
        "log": {"level": "info", "format": "json"},
    }
    return Server(folder, port, name, {**suited, **(settings or {})})


@contextlib.contextmanager
def running(
    *,
    database: str = "sqlite",
    server_name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    program: tuple[str, ...] | None = None,
) -> Iterator[Server]:
    """A server that runs for as long as the context lasts; see new_server. Its end is judged too."""
    server = new_server(database=database, server_name=server_name, settings=settings)
    server.program = program
    try:
        server.start()
        yield server
    finally:
        server.close()
