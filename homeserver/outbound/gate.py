"""Whether a destination may be asked at all, and who is told how the asking went.

What stands behind it (back-off, blocked and allowed servers) is in services/federation/destinations.py.
"""

from typing import Protocol

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import NotAsked


class Gate(Protocol):
    """Asked before each request to another server, and told its outcome."""

    def check(self, destination: ServerName, *, ignores_backoff: bool = False) -> None:
        """Raises NotAsked when the destination is blocked, or (unless `ignores_backoff`) still to be left alone."""

    def succeeded(self, destination: ServerName) -> None:
        """The destination answered, be it with an error that is the asker's."""

    def failed(self, destination: ServerName) -> None:
        """The destination did not answer, or with an error of its own."""


class OpenGate:
    """Lets everybody through, and remembers nothing."""

    def check(self, destination: ServerName, *, ignores_backoff: bool = False) -> None:
        """Never raises."""

    def succeeded(self, destination: ServerName) -> None:
        """Nothing is kept."""

    def failed(self, destination: ServerName) -> None:
        """Nothing is kept."""


class ShutGate:
    """Lets nobody through: for a server that does not federate."""

    def check(self, destination: ServerName, *, ignores_backoff: bool = False) -> None:  # noqa: ARG002
        """Raises NotAsked."""
        raise NotAsked("This server does not federate")

    def succeeded(self, destination: ServerName) -> None:
        """Nothing is kept."""

    def failed(self, destination: ServerName) -> None:
        """Nothing is kept."""
