"""How asking another server goes wrong, as exceptions that name the reason.

Services translate these into errors of their own (services/errors.py) or go on to the next server.
"""
# ruff: noqa: N818 - each is named for what is the case, as in services/errors.py

from collections.abc import Mapping
from typing import Any


class RemoteError(Exception):
    """Another server gave nothing that can be used. `reason` is a sentence for the log, or for a user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreachable(RemoteError):
    """Nothing was answered: no such name, no connection, no valid certificate, or not in time."""


class NotAsked(Unreachable):
    """The server was not even asked: it is blocked, or it failed before and has a while to recover."""


class RemoteRefused(RemoteError):
    """The server answered with an error. `errcode` and `body` are its own, and None where it sent none."""

    def __init__(
        self,
        status: int,
        errcode: str | None,
        reason: str,
        body: Mapping[str, Any] | None = None,  # Any: JSON of whatever shape
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.errcode = errcode
        self.body = body

    @property
    def is_unrecognized(self) -> bool:
        """True if the server does not know the endpoint. Spec: server-server-api/#unsupported-endpoints"""
        return self.errcode == "M_UNRECOGNIZED" or (self.status in (404, 405) and self.errcode is None)


class RemoteNonsense(RemoteError):
    """The server answered, but not with JSON, or with too much of it, or of a wrong shape."""
