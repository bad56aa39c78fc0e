"""A server as `homeserver run` starts it, but for its network, which is links, and its clock, which may be wrong.

It is a program: `python -m tests.federation.apart.elsewhere AHEAD_MS PORT=LINK,PORT=LINK run -c FILE`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor

from homeserver.assembly.server import Columba
from homeserver.cli.configuration import read_settings
from homeserver.cli.run import Life
from homeserver.cli.setup import make_signing_key
from homeserver.runtime import logs
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.data_folder import DataFolder
from homeserver.runtime.randomness import SystemRandomness
from homeserver.settings.sections import Settings


class LinkedReactor:
    """The reactor, on which connections to the port of a server go to the link that leads there."""

    # Any: a reactor is many interfaces at once.
    def __init__(self, reactor: Any, links: Mapping[int, int]) -> None:
        self._reactor = reactor
        self._links = links

    def __getattr__(self, name: str) -> Any:  # Any: as above
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, port: int, *arguments: Any, **named: Any) -> Any:  # noqa: N802 - Twisted's name
        """Connect to a server. Any: as Twisted declares it."""
        return self._reactor.connectTCP(
            "127.0.0.1" if port in self._links else host, self._links.get(port, port), *arguments, **named
        )


class WrongClock(ReactorClock):
    """A clock that somebody has set wrong: it goes as fast as it should."""

    def __init__(self, reactor: Any, ahead_ms: int) -> None:  # Any: as above
        super().__init__(reactor)
        self._ahead_ms = ahead_ms

    def now_ms(self) -> int:
        """What it takes for the time."""
        return super().now_ms() + self._ahead_ms


class Elsewhere(Columba):
    """A server whose clock is ahead of time, or behind."""

    def __init__(self, settings: Settings, reactor: Any, ahead_ms: int) -> None:  # Any: as above
        super().__init__(settings, reactor)
        self._clock = WrongClock(reactor, ahead_ms)


class LifeElsewhere(Life):
    """Its life."""

    def __init__(self, settings: Settings, configuration: Path, reactor: Any, ahead_ms: int) -> None:  # Any: as above
        super().__init__(settings, configuration, reactor)
        self._ahead_ms = ahead_ms

    async def _start(self) -> None:
        self._homeserver = Elsewhere(self._settings, self._reactor, self._ahead_ms)
        await self._homeserver.start()


def main() -> int:
    """Run the server until it is told to stop; the exit code."""
    ahead_ms, linked, _, _, file = sys.argv[1:]
    links = {int(port): int(link) for port, _, link in (one.partition("=") for one in linked.split(","))}
    path = Path(file)
    settings = read_settings(path)
    os.umask(0o077)
    logs.configure(settings.log.level, settings.log.format, sys.stderr.buffer)
    logs.take_over_twisted()
    folder = DataFolder.hold(settings.data_dir, "homeserver run")
    try:
        make_signing_key(settings, SystemRandomness())
        return LifeElsewhere(settings, path, LinkedReactor(installed_reactor, links), int(ahead_ms)).live()
    finally:
        folder.release()


if __name__ == "__main__":
    sys.exit(main())
