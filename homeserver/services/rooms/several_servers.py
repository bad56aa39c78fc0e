"""Asking one server after the other for what any of them can give, and what it comes to when none of them does."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName, parse_server_name
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.services.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    NotFound,
    RefusedElsewhere,
    RemoteFailed,
    ServiceError,
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
)

T = TypeVar("T")
MOST_SERVERS: Final = 10  # a user waits meanwhile
LONGEST_REASON: Final = 200
ERRCODE: Final = re.compile(r"[A-Z][A-Z0-9_.]{1,99}")
# What the other server thinks of this one's request, or what a client would take for news of its own session.
OF_THE_REQUEST: Final = frozenset(
    f"M_{name}"
    for name in (
        "BAD_JSON",
        "INVALID_PARAM",
        "LIMIT_EXCEEDED",
        "MISSING_PARAM",
        "MISSING_TOKEN",
        "NOT_JSON",
        "UNAUTHORIZED",
        "UNKNOWN",
        "UNKNOWN_TOKEN",
        "UNRECOGNIZED",
        "USER_DEACTIVATED",
        "USER_LOCKED",
        "USER_SUSPENDED",
    )
)


async def first_answer(servers: Sequence[ServerName], ask: Callable[[ServerName], Awaitable[T]]) -> T:
    """What the first of the servers answers that does not fail with a RemoteError. Raises ServiceError."""
    failures: list[RemoteError] = []
    for server in servers[:MOST_SERVERS]:
        try:
            return await ask(server)
        except RemoteError as failure:
            failures.append(failure)
    raise failure_of(failures)


def failure_of(failures: Sequence[RemoteError]) -> ServiceError:
    """What the failures of all servers that were asked amount to: a refusal counts when none says otherwise."""
    if not failures:
        return NotFound("No server is known that is in this room")
    refusals = [failure for failure in failures if isinstance(failure, RemoteRefused)]
    errcodes = {refusal.errcode for refusal in refusals}
    for refusal in refusals:
        if refusal.errcode == "M_INCOMPATIBLE_ROOM_VERSION":
            version = (refusal.body or {}).get("room_version")
            return IncompatibleRoomVersion(
                version if isinstance(version, str) else "unknown", "This server does not support the room's version"
            )
    if len(refusals) == len(failures):
        if "M_UNABLE_TO_GRANT_JOIN" in errcodes:
            return UnableToGrantJoin(_said(refusals[-1]))
        if "M_UNABLE_TO_AUTHORISE_JOIN" in errcodes:
            return UnableToAuthoriseJoin(_said(refusals[-1]))
        forbidden = [refusal for refusal in refusals if refusal.status == 403]
        if forbidden and all(refusal.status in (403, 404) for refusal in refusals):
            return Forbidden(_said(forbidden[0]))
        if all(refusal.status == 404 for refusal in refusals):
            return NotFound(_said(refusals[0]))
        for refusal in refusals:
            if refusal.status == 400 and refusal.errcode is not None and _is_telling(refusal.errcode):
                return RefusedElsewhere(refusal.errcode, _said(refusal))
    return RemoteFailed(failures[-1].reason)


def _is_telling(errcode: str) -> bool:
    """Whether an errcode tells the client something, and could not be taken for one of this server about the request.

    Spec: server-server-api/#get_matrixfederationv1make_joinroomiduserid
    """
    return errcode not in OF_THE_REQUEST and ERRCODE.fullmatch(errcode) is not None


def candidates(own: ServerName, *groups: Iterable[str]) -> list[ServerName]:
    """Other servers to ask, each once, the first groups first; what is no server's name is left out."""
    found: dict[ServerName, None] = {}
    for server in (server for group in groups for server in group):
        try:
            found.setdefault(parse_server_name(server))
        except BadIdentifier:
            continue
    found.pop(own, None)
    return list(found)


def _said(refusal: RemoteRefused) -> str:
    said = (refusal.body or {}).get("error")
    return said[:LONGEST_REASON] if isinstance(said, str) and said else refusal.reason
