"""Whether another server can be reached, step by step: for administrators who want to know what is wrong.

How the server is found and asked is in outbound/expeditions.py: as always, but by nothing that is remembered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from homeserver.core.errors import BadIdentifier, ProtocolError
from homeserver.core.identifiers import ServerName, parse_server_name
from homeserver.core.key_validity import may_sign_requests, parse_published_keys
from homeserver.core.signing import Signer
from homeserver.outbound.errors import NotAsked, RemoteError, RemoteNonsense
from homeserver.outbound.expeditions import Expeditions, Seen
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import Gate
from homeserver.runtime.clock import Clock
from homeserver.services.errors import InvalidParameter

TIMEOUT_S: Final = 30.0
MOST_BYTES: Final = 256 * 1024
NOBODY: Final = ServerName("nobody.invalid")
MOST_TOLD: Final = 200  # characters of what others say
MOST_KEYS_TOLD: Final = 5
# Events that are dated further ahead look odd to people; and keys are judged by the clock.
MOST_CLOCK_DIFFERENCE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has to be right, and what was found."""

    name: str
    is_ok: bool
    told: str


class Reachability:
    """Tries to reach servers."""

    def __init__(
        self, expeditions: Expeditions, gate: Gate, server_name: ServerName, signer: Signer, clock: Clock
    ) -> None:
        self._expeditions = expeditions
        self._gate = gate
        self._server_name = server_name
        self._signer = signer
        self._clock = clock

    async def test(self, name: str) -> Sequence[Step]:
        """The steps towards a server, up to the first that makes others useless. Raises InvalidParameter."""
        try:
            server = parse_server_name(name)
        except BadIdentifier as bad:
            raise InvalidParameter(bad.reason) from bad
        if server == self._server_name:
            raise InvalidParameter("This server does not ask itself: have another one test it, or ask `server doctor`")
        return await self._steps(server, self._server_name)

    async def test_own(self) -> Sequence[Step]:
        """The steps by which others come to this server, as far as they can be gone from here.

        All that is asked needs no signature; so it is asked in nobody's name.
        """
        return await self._steps(self._server_name, NOBODY)

    async def _steps(self, server: ServerName, asker: ServerName) -> Sequence[Step]:
        try:
            self._gate.check(server, ignores_backoff=True)
        except NotAsked as refused:
            return [Step("rules", is_ok=False, told=refused.reason)]
        expedition = self._expeditions.begin()
        client = FederationClient(expedition, self._gate, asker, self._signer, self._clock)
        try:
            asked = [await self._keys(client, server)]
            group = expedition.group_of(server)
            if group is not None:
                asked.append(await _version(client, server))
        finally:
            await expedition.close()
        way = [*_delegations(expedition.seen), *_services(expedition.seen), *_addresses(expedition.seen)]
        if group is None:
            return [*way, Step("connection", is_ok=False, told=asked[0].told)]
        return [*way, self._connection(expedition.seen, group), *asked, *_clocks(expedition.seen)]

    async def _keys(self, client: FederationClient, server: ServerName) -> Step:
        try:
            document = await client.server_keys(
                server, timeout_s=TIMEOUT_S, most_bytes=MOST_BYTES, ignores_backoff=True
            )
        except RemoteError as failed:
            return Step("keys", is_ok=False, told=_short(failed.reason))
        now_ms = self._clock.now_ms()
        signed = {name: value for name, value in document.items() if name != "unsigned"}
        try:
            published = parse_published_keys(signed, server, fetched_ms=now_ms)
        except ProtocolError as bad:
            return Step("keys", is_ok=False, told=_short(bad.reason))
        good = [key for key in published if may_sign_requests(key, now_ms)]
        if not good:
            return Step("keys", is_ok=False, told="none of its keys is valid now, by this server's clock")
        names = ", ".join(_short(key.verify_key.key_id) for key in good[:MOST_KEYS_TOLD])
        return Step("keys", is_ok=True, told=f"{names}, valid until {_time(good[0].valid_until_ms)} at least")

    def _connection(self, seen: Seen, group: str) -> Step:
        if not self._expeditions.verifies:
            told = "the certificate was not looked at, as federation.verify_certificates is false"
        elif seen.certificate is None:
            told = "the certificate is valid"
        else:
            until = _time(seen.certificate.good_until_ms)
            told = f"the certificate is valid until {until}, given by {_short(seen.certificate.issuer)}"
        return Step("connection", is_ok=True, told=f"{told}; keys exchanged by {group}")


async def _version(client: FederationClient, server: ServerName) -> Step:
    try:
        answer = await client.version(server, timeout_s=TIMEOUT_S, most_bytes=MOST_BYTES, ignores_backoff=True)
    except RemoteError as failed:
        return Step("version", is_ok=False, told=_short(failed.reason))
    name = " ".join(word for word in (answer.get("name"), answer.get("version")) if isinstance(word, str))
    return Step("version", is_ok=True, told=_short(name) or "it does not tell")


def _delegations(seen: Seen) -> Iterator[Step]:
    for each in seen.delegations:
        if each.server is not None:
            yield Step("well-known", is_ok=True, told=f"{each.host} delegates to {_short(each.server)}")
        else:
            # Most servers without one answer 404, or nothing at all: it need not be there. Nonsense is a mistake.
            reason = "" if each.problem is None else _short(each.problem.reason)
            is_ok = not isinstance(each.problem, RemoteNonsense)
            yield Step("well-known", is_ok=is_ok, told=f"{each.host} delegates to nobody: {reason}")


def _services(seen: Seen) -> Iterator[Step]:
    for each in seen.services:
        if each.problem is not None:
            yield Step("service records", is_ok=False, told=_short(each.problem.reason))
            continue
        targets = ", ".join(f"{record.target or '(nobody)'}:{record.port}" for record in each.records)
        yield Step("service records", is_ok=True, told=f"{each.name}: {_short(targets) or 'none'}")


def _addresses(seen: Seen) -> Iterator[Step]:
    # A host is looked up for each connection, and one connection is made for each request.
    for host, each in {each.host: each for each in seen.addresses}.items():
        if each.problem is not None:
            yield Step("addresses", is_ok=False, told=_short(each.problem.reason))
        else:
            yield Step("addresses", is_ok=True, told=_short(f"{host}: {', '.join(map(str, each.addresses))}"))


def _clocks(seen: Seen) -> Iterator[Step]:
    ahead_ms = seen.clock_ahead_ms
    if ahead_ms is None:
        yield Step("clock", is_ok=True, told="it does not tell its time")
        return
    is_ok = abs(ahead_ms) <= MOST_CLOCK_DIFFERENCE_MS
    if is_ok:
        told = f"within {MOST_CLOCK_DIFFERENCE_MS // 1000} s of this server's"
    else:
        told = (
            f"{abs(ahead_ms) // 1000} s {'ahead of' if ahead_ms > 0 else 'behind'} this server's: one of them is wrong"
        )
    yield Step("clock", is_ok=is_ok, told=told)


def _short(text: str) -> str:
    return text if len(text) <= MOST_TOLD else f"{text[:MOST_TOLD]}…"


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
