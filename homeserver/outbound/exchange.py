"""One request to another server and its answer, as the client hands it to the agent, and how long both may take.

What is asked is in federation_client.py, how it travels in agent.py.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.runtime.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it leaves. `uri` is the request target: path and query, percent-encoded, sent byte for byte."""

    destination: ServerName
    method: str
    uri: str
    headers: Mapping[str, str]
    body: bytes | None
    most_bytes: int  # of the answer's body


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Agent(Protocol):
    """Carries requests to other servers."""

    async def exchange(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        """The answer, whatever its status. Redirects are not followed.

        With `take` the body of a 200 is given to it piece by piece, and `body` is empty; what `take` raises ends the
        request. Raises Unreachable when there is no whole answer, RemoteNonsense when it is not HTTP or too large.
        """


async def within(
    clock: Clock,
    timeout_s: float,
    work: Coroutine[Deferred[Any], Any, T],  # Any: whatever it waits for
    what: str,
) -> T:
    """What `work` comes to. Raises Unreachable, and cancels it, when that takes longer than `timeout_s`."""
    done = Deferred.fromCoroutine(work)
    is_late = False

    def give_up() -> None:
        nonlocal is_late
        is_late = True
        done.cancel()

    alarm = clock.call_later(timeout_s, give_up)
    try:
        return await done
    except CancelledError as cancelled:
        if is_late:
            raise Unreachable(f"{what} did not answer within {timeout_s:g} s") from cancelled
        raise
    finally:
        alarm.cancel()
