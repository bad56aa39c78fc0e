"""The doctor's look at the server from outside, as far as it can be had from here: names, clock, calls.

No service is asked that this server does not speak with anyway: its own names, other servers that took something from
it lately, and the TURN servers of its settings.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import RemoteError
from homeserver.outbound.exchange import Answer
from homeserver.outbound.turn_servers import find_turn_problem
from homeserver.services.admin.doctor import Finding, Level, well
from homeserver.services.federation.reachability import Step
from homeserver.storage.database import Database
from homeserver.storage.outboxes import lately_delivered

PEERS_ASKED: Final = 3
WELL_KNOWN: Final = "/.well-known/matrix/client"
VERSIONS: Final = "_matrix/client/versions"
NOT_FROM_HERE: Final = "it may also be that this machine cannot reach its own public address: try from elsewhere, too"
ADVICE: Final = {
    "rules": "take back the rule: homeserver admin federation forget",
    "well-known": "let /.well-known/matrix/server be answered as federation.address says",
    "service records": "put the _matrix-fed._tcp record of the domain right, or remove it",
    "addresses": "give the name an address (A or AAAA) in the domain name system",
    "connection": "see that a reverse proxy or a listener with a valid certificate answers there",
    "keys": "let /_matrix/key be passed on to this server, by the proxy too",
    "version": "let /_matrix/federation be passed on to this server, by the proxy too",
    "clock": "set this machine's clock, by NTP",
}


class Pages(Protocol):
    """Fetches pages of the web."""

    async def page(self, url: str) -> Answer:
        """A page. Raises RemoteError."""


class Ways(Protocol):
    """Tries to reach servers: services/federation/reachability.py."""

    async def test(self, name: str) -> Sequence[Step]:
        """The steps towards a server."""

    async def test_own(self) -> Sequence[Step]:
        """The steps towards this server."""


@dataclass(frozen=True, slots=True)
class Address:
    """How others are to find this server. `host` is its name without a port."""

    host: str
    base_url: str
    is_federated: bool
    turn_uris: Sequence[str]


class OwnAddress:
    """Looks whether the server is found."""

    def __init__(
        self,
        address: Address,
        pages: Pages,
        ways: Ways,
        database: Database,
        in_thread: Callable[..., Awaitable[Any]],  # Any: as deferToThread takes and gives it
    ) -> None:
        self._address = address
        self._pages = pages
        self._ways = ways
        self._database = database
        self._in_thread = in_thread

    async def findings(self) -> Sequence[Finding]:
        """See Examination."""
        found = [await self._well_known(), await self._versions()]
        if self._address.is_federated:
            found += _own_steps(await self._ways.test_own())
            found.append(await self._clock())
        else:
            found.append(well("federation", "it is off"))
        for uri in self._address.turn_uris:
            found.append(await self._turn(uri))
        return found

    async def _well_known(self) -> Finding:
        name, address = "client well-known", self._address
        url = f"https://{address.host}{WELL_KNOWN}"
        advice = f"let {url} be answered by this server, or by a file that says the same, and set public_base_url"
        try:
            told = _base_url(await self._pages.page(url))
        except RemoteError as failed:
            is_needed = address.base_url != f"https://{address.host}/"
            level = Level.ERROR if is_needed else Level.WARNING
            return Finding(name, level, f"{url}: {failed.reason}", f"{advice}; {NOT_FROM_HERE}")
        if told is None:
            return Finding(name, Level.ERROR, f"{url} names no base_url", advice)
        if told.rstrip("/") != address.base_url.rstrip("/"):
            return Finding(name, Level.ERROR, f"{url} names {told:.200}, and not {address.base_url}", advice)
        return well(name, f"{url} names {address.base_url}")

    async def _versions(self) -> Finding:
        name, url = "clients", f"{self._address.base_url}{VERSIONS}"
        advice = f"see that a reverse proxy or a listener with a valid certificate answers there; {NOT_FROM_HERE}"
        try:
            answer = await self._pages.page(url)
        except RemoteError as failed:
            return Finding(name, Level.ERROR, f"{url}: {failed.reason}", advice)
        if not isinstance(_object(answer).get("versions"), list):
            return Finding(name, Level.ERROR, f"{url} is not answered by a Matrix server", advice)
        if answer.headers.get("access-control-allow-origin") != "*":
            told = f"{url} comes without Access-Control-Allow-Origin, so that clients in browsers cannot use it"
            return Finding(name, Level.ERROR, told, "let the proxy pass this server's headers on")
        return well(name, f"{url} is answered")

    async def _clock(self) -> Finding:
        """The clock, beside those of servers that took something lately: when most differ, it is ours that is wrong."""
        peers = await self._database.read(lately_delivered, limit=PEERS_ASKED)
        clocks: list[Step] = []
        for peer in peers:
            clocks += [step for step in await self._ways.test(peer) if step.name == "clock"]
        wrong = [step for step in clocks if not step.is_ok]
        if not clocks:
            return well("clock", "no other server could be asked for the time")
        if len(wrong) * 2 > len(clocks):
            told = f"{len(wrong)} of {len(clocks)} servers have another time: {wrong[0].told}"
            return Finding("clock", Level.ERROR, told, ADVICE["clock"])
        return well("clock", f"it agrees with {len(clocks) - len(wrong)} of {len(clocks)} other servers")

    async def _turn(self, uri: str) -> Finding:
        problem: str | None = await self._in_thread(find_turn_problem, uri)
        if problem is None:
            return well("TURN", f"{uri} answers")
        advice = "see that the TURN server runs, and that calls.turn.uris names it as it is reached from outside"
        return Finding("TURN", Level.ERROR, f"{uri}: {problem}", advice)


def _own_steps(steps: Sequence[Step]) -> Iterator[Finding]:
    for step in steps:
        if step.name == "clock":
            continue  # it is ours, or that of a proxy beside us
        if step.is_ok:
            yield well(f"federation: {step.name}", step.told)
        else:
            advice = f"{ADVICE.get(step.name, 'see the documentation')}; {NOT_FROM_HERE}"
            yield Finding(f"federation: {step.name}", Level.ERROR, step.told, advice)


def _object(answer: Answer) -> dict[str, Any]:  # Any: JSON
    try:
        read = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _base_url(answer: Answer) -> str | None:
    told = _object(answer).get("m.homeserver")
    url = told.get("base_url") if isinstance(told, dict) else None
    return url if isinstance(url, str) else None


def host_of(server_name: ServerName) -> str:
    """The host of a server's name, in brackets where it is an address with colons."""
    if server_name.startswith("["):
        return server_name.partition("]")[0] + "]"
    return server_name.partition(":")[0]
