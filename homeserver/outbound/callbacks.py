"""JSON that is posted to a service of the operator's, and the JSON that it answers.

Where that is stands in the configuration, so it may well be on this machine or in its network: the guard of addresses,
which is against what strangers name, is not asked. All other limits hold. Redirects are not followed.
"""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.web.client import Agent, HTTPConnectionPool, RequestGenerationFailed, ResponseFailed
from twisted.web.http_headers import Headers

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import RemoteNonsense, Unreachable
from homeserver.outbound.exchange import Answer, Ask, within
from homeserver.outbound.https import RequestBody, whole_answer
from homeserver.runtime.clock import Clock

MOST_BYTES: Final = 64 * 1024  # of an answer
CONNECT_S: Final = 5.0
IDLE_S: Final = 60
IDLE_CONNECTIONS: Final = 8


class Callbacks:
    """Posts to paths below one URL."""

    def __init__(
        self,
        reactor: Any,  # many interfaces at once
        clock: Clock,
        base_url: str,
        authorization: str | None,
        user_agent: str,
        timeout_s: float,
    ) -> None:
        """`authorization` is a token, which is shown with each request."""
        self._clock = clock
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = IDLE_CONNECTIONS
        self._pool.cachedConnectionTimeout = IDLE_S
        self._agent = Agent(reactor, connectTimeout=CONNECT_S, pool=self._pool)
        self._headers = {"Content-Type": ["application/json"], "User-Agent": [user_agent]}
        if authorization is not None:
            self._headers["Authorization"] = [f"Bearer {authorization}"]

    async def post(self, name: str, body: object) -> tuple[int, Any]:
        """The status and the JSON that are answered. Raises Unreachable, RemoteNonsense, and BadJson of the body.

        Events of old rooms may have numbers that not every JSON has: they are sent as they are. Any: JSON.
        """
        url = f"{self._base_url}/{name}"
        answer = await within(self._clock, self._timeout_s, self._exchange(url, encode_lenient(body)), url)
        try:
            return answer.status, orjson.loads(answer.body)
        except orjson.JSONDecodeError as wrong:
            raise RemoteNonsense(f"{url} answered with {answer.status} and what is no JSON") from wrong

    async def close(self) -> None:
        """Hang up where nothing is being asked."""
        await self._pool.closeCachedConnections()

    async def _exchange(self, url: str, body: bytes) -> Answer:
        parts = urlsplit(url)
        ask = Ask(ServerName(parts.netloc), "POST", parts.path, {}, body, MOST_BYTES)
        try:
            response = await self._agent.request(
                b"POST", url.encode("ascii"), Headers(dict(self._headers)), RequestBody(body)
            )
        except ConnectingCancelledError as late:
            raise CancelledError from late
        except (ResponseFailed, RequestGenerationFailed) as failed:
            if any(reason.check(CancelledError) for reason in failed.reasons):
                raise CancelledError from failed
            raise Unreachable(f"{url} did not answer") from failed
        except (ConnectError, DNSLookupError) as failure:
            raise Unreachable(f"{url} cannot be reached: {failure}") from failure
        return await whole_answer(response, ask, None)
