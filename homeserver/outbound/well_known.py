"""To whom a server delegates: its /.well-known/matrix/server, fetched and remembered.

Spec: server-server-api/#getwell-knownmatrixserver. What follows from it is in resolver.py.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName, parse_server_name
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.outbound.exchange import Answer, Ask, within
from homeserver.outbound.json_answers import an_object, decode_json, text_of
from homeserver.outbound.routes import Route, split_port
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks

PATH: Final = "/.well-known/matrix/server"
FETCH_S: Final = 15.0
MOST_BYTES: Final = 50 << 10
MOST_REDIRECTS: Final = 5
HOSTS_KEPT: Final = 10_000

SHORTEST_MS: Final = 5 * 60_000
USUAL_MS: Final = 24 * 3_600_000
LONGEST_MS: Final = 48 * 3_600_000
FIRST_ERROR_MS: Final = 5 * 60_000
LONGEST_ERROR_MS: Final = 3_600_000
DOUBTED_MS: Final = 3_600_000

_MAX_AGE: Final = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?([0-9]{1,10})', re.IGNORECASE)
_FORBIDS_KEEPING: Final = re.compile(r"(?:^|[,\s])no-(?:store|cache)", re.IGNORECASE)


class Fetching(Protocol):
    """Sends requests along routes: https.Https."""

    async def send(self, route: Route, ask: Ask) -> Answer:
        """The answer. Raises RemoteError."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was learned of a host, and when it must be asked again."""

    delegated: ServerName | None
    since_ms: int
    until_ms: int
    good_until_ms: int = 0  # `delegated` still counts till then when it cannot be fetched again
    failures: int = 0  # in a row


class WellKnown:
    """Finds and remembers delegations."""

    def __init__(self, https: Fetching, clock: Clock, *, hosts_kept: int = HOSTS_KEPT) -> None:
        self._hosts_kept = hosts_kept
        self._https = https
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._locks: KeyedLocks[str] = KeyedLocks()

    async def find(self, host: str) -> ServerName | None:
        """To whom the host delegates; None when it says nothing that is valid."""
        async with self._locks(host):
            known = self._known.get(host)
            if known is None or known.until_ms <= self._clock.now_ms():
                known = self._known[host] = await self._ask_again(host, known)
            self._known.move_to_end(host)
            if len(self._known) > self._hosts_kept:
                self._known.popitem(last=False)
        return known.delegated

    async def ask(self, host: str) -> ServerName:
        """To whom the host delegates, asked now and not remembered. Raises RemoteError when it says nothing valid."""
        return _delegated(await self._fetched(host))

    def doubt(self, host: str) -> None:
        """Ask again before long: the server that speaks for the host does not answer."""
        known = self._known.get(host)
        if known is not None and known.delegated is not None:
            self._known[host] = replace(known, until_ms=min(known.until_ms, known.since_ms + DOUBTED_MS))

    async def _ask_again(self, host: str, known: _Known | None) -> _Known:
        try:
            answer = await self._fetched(host)
            delegated = _delegated(answer)
        except RemoteError as error:
            return self._failed(known, error)
        now_ms = self._clock.now_ms()
        return _Known(delegated, now_ms, now_ms + _kept_ms(answer, now_ms), now_ms + LONGEST_MS)

    def _failed(self, known: _Known | None, error: RemoteError) -> _Known:
        now_ms = self._clock.now_ms()
        failures = 0 if known is None else known.failures
        until_ms = now_ms + min(FIRST_ERROR_MS << min(failures, 10), LONGEST_ERROR_MS)
        is_passing = not isinstance(error, RemoteRefused | RemoteNonsense) or (
            isinstance(error, RemoteRefused) and error.status >= 500
        )
        if known is not None and known.delegated is not None and is_passing and now_ms < known.good_until_ms:
            until_ms = min(until_ms, known.good_until_ms)
            return _Known(known.delegated, known.since_ms, until_ms, known.good_until_ms, failures + 1)
        return _Known(None, now_ms, until_ms, failures=failures + 1)

    async def _fetched(self, host: str) -> Answer:
        return await within(self._clock, FETCH_S, self._fetch(host), f"the .well-known of {host}")

    async def _fetch(self, host: str) -> Answer:
        """The document. Raises RemoteError."""
        return await self._follow(f"https://{host}{PATH}", host)

    async def page(self, url: str) -> Answer:
        """A page of any host, fetched now and not remembered. Raises RemoteError, also for other than https."""
        return await within(self._clock, FETCH_S, self._follow(url, _place_of(url)[0].host_header), f"{url:.255}")

    async def _follow(self, url: str, host: str) -> Answer:
        """A page, by way of redirects. Raises RemoteError."""
        for _ in range(1 + MOST_REDIRECTS):
            route, uri = _place_of(url)
            ask = Ask(ServerName(host), "GET", uri, {"Accept": "application/json"}, None, MOST_BYTES)
            answer = await self._https.send(route, ask)
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or location is None:
                break
            url = _joined(url, location)
        if answer.status != 200:
            raise RemoteRefused(answer.status, None, f"{url:.255} answered with {answer.status}")
        return answer


def _joined(url: str, location: str) -> str:
    """Where a redirect leads. Raises RemoteNonsense."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise RemoteNonsense("redirected to something that is no address of a page") from error


def _place_of(url: str) -> tuple[Route, str]:
    """Where a URL leads, and what to ask for there. Raises RemoteNonsense for other than plain https URLs."""
    try:
        parts = urlsplit(url)
        name = ServerName(parts.netloc)
        if parts.scheme != "https":
            raise RemoteNonsense(f"redirected to {parts.scheme:.20} instead of https")
        host, port = split_port(parse_server_name(name))
        uri = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    except (ValueError, BadIdentifier) as error:
        raise RemoteNonsense("redirected to something that is no address of a page") from error
    if port == 0:
        raise RemoteNonsense("redirected to something that is no address of a page")
    return Route(name, host, ((host, 443 if port is None else port),)), uri


def _delegated(answer: Answer) -> ServerName:
    name = text_of(an_object(decode_json(answer.body)), "m.server")
    if name is None:
        raise RemoteNonsense("there is no m.server in the .well-known")
    try:
        delegated = parse_server_name(name)
    except BadIdentifier as error:
        raise RemoteNonsense(error.reason) from error
    if split_port(delegated)[1] == 0:
        raise RemoteNonsense("nobody can be reached at port 0")
    return delegated


def _kept_ms(answer: Answer, now_ms: int) -> int:
    """How long an answer may be kept, by its own word and within our bounds."""
    control = answer.headers.get("cache-control", "")
    if _FORBIDS_KEEPING.search(control) is not None:
        return SHORTEST_MS
    age = _MAX_AGE.search(control)
    if age is not None:
        return _bounded(int(age[1]) * 1000)
    expires = answer.headers.get("expires")
    if expires is None:
        return USUAL_MS
    try:
        at = parsedate_to_datetime(expires)
        moment_ms = int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return SHORTEST_MS  # "0" and the like: it has expired
    return _bounded(moment_ms - now_ms)


def _bounded(kept_ms: int) -> int:
    return max(SHORTEST_MS, min(kept_ms, LONGEST_MS))
