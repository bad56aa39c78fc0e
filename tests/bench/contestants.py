"""The servers that are measured: Columba as an operator starts it, and Synapse beside it, under like conditions.

Both: SQLite, loopback without TLS, warnings only in the log, no rate limits, cheap passwords; all else as each comes.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.processes import cpu_s, memory_mib
from tests.connection import Connection, Lost
from tests.server import Server, new_server
from tests.synapse import Synapse, new_synapse, synapse_python
from tests.users import User, register, register_with_secret

START_S: Final = 60.0
LOOK_EVERY_S: Final = 0.005


class DidNotStart(Exception):  # noqa: N818 - its message says it
    """The server ended, or did not answer in time; its log is in the message."""


@dataclass
class Contestant:
    """A server in a folder of its own; accounts are made with `secret`, or if there is none then by whoever comes."""

    name: str
    server: Server | Synapse
    secret: str | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port.number

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.server.process is not None, "it does not run"
        return self.server.process.pid

    async def start(self) -> float:
        """Start it; the seconds until it answers."""
        began = time.monotonic()
        self.server.launch()
        while time.monotonic() < began + START_S:
            connection = Connection(self.port)
            try:
                await connection.send("GET", "/_matrix/client/versions")
            except Lost:
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return time.monotonic() - began
            finally:
                connection.close()
            if self.server.process is None or self.server.process.poll() is not None:
                self.server.process = None
                break
        raise DidNotStart(f"{self.name}:\n{self.server.log[-10_000:]}")

    def stop(self) -> None:
        """Stop it, with what it has on disk kept."""
        self.server.stop()

    def close(self) -> None:
        """Stop it and delete what it has."""
        self.server.close()

    async def user(self, name: str) -> User:
        """A new user."""
        if self.secret is None:
            return await register(self.port, name)
        return await register_with_secret(self.port, name, self.secret)

    def cpu_s(self) -> float:
        """CPU seconds that it has used since it was started."""
        return cpu_s(self.pid)

    def memory_mib(self, field: str = "VmRSS") -> float:
        """Its memory; see processes.py."""
        return memory_mib(self.pid, field)


def columba(program: Sequence[str] = ("-m", "homeserver")) -> Contestant:
    """This project's server; `program` is what the interpreter is told to run."""
    server = new_server(settings={"log": {"level": "warning", "format": "console"}})
    server.program = tuple(program)
    return Contestant("Columba", server)


def peer(python: Path | None) -> Callable[[], Contestant]:
    """What makes a Synapse, run by `python` or else by one that is installed for it. Raises SynapseMissing."""
    interpreter = python or synapse_python()

    def synapse() -> Contestant:
        secret = secrets.token_hex(16)
        return Contestant("Synapse", new_synapse(interpreter, shared_secret=secret), secret)

    return synapse
