"""What the command line and the assembled server agree on: starting, stopping, and refusing to start."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class StartRefused(Exception):  # noqa: N818 - an answer to the operator
    """The server cannot start as things are; `reason` is a sentence for the operator, who can change it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Homeserver(Protocol):
    """The assembled server."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens once started, as URLs, the one to open first."""

    async def start(self) -> None:
        """Open the database, begin to listen, begin the background work. Raises StartRefused."""

    async def start_offline(self) -> None:
        """Open the database for `administer` alone: no listener, no socket, no background work. Raises StartRefused."""

    async def stop(self) -> None:
        """Answer what is under way, then close everything. Also after a start that was refused half-way."""

    async def administer(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
        """Answer a request to the administrators' API as (status, JSON), as the socket in the data folder would."""
