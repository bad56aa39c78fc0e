"""Look-ups: addresses as the operating system knows them, service records from a name server on loopback."""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names.dns import SRV, DNSDatagramProtocol, Query, Record_SRV, RRHeader
from twisted.names.error import DNSNameError, ResolverError
from twisted.names.server import DNSServerFactory

from homeserver.outbound.errors import Unreachable
from homeserver.outbound.names import LOOKUPS_AT_ONCE, MOST_ADDRESSES, MOST_SERVICES, Service, SystemNames
from tests.outbound.https_servers import Outside

NAME = "_matrix-fed._tcp.example.org"


class Threads:
    """Runs nothing in threads: the test answers look-ups itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: list[Deferred[Any]] = []

    def run(self, fn: Callable[..., Any], *arguments: Any, **named: Any) -> Deferred[Any]:
        assert fn is socket.getaddrinfo
        self.asked.append((*arguments, named))
        self.answers.append(Deferred())
        return self.answers[-1]


def found(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]


def outcome(work: Any) -> list[Any]:
    """What work comes to, and that it fails, when that is known."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addCallbacks(results.append, lambda failure: results.append(failure.value))
    return results


def test_the_addresses_of_a_host_come_in_their_order_and_once() -> None:
    threads = Threads()
    result = outcome(SystemNames(None, threads.run).addresses("example.org"))

    threads.answers[0].callback(found("2001:db8::1", "192.0.2.1", "2001:db8::1"))

    assert [str(address) for address in result[0]] == ["2001:db8::1", "192.0.2.1"]
    assert threads.asked == [("example.org", None, {"type": socket.SOCK_STREAM})]


def test_of_very_many_addresses_the_first_are_taken() -> None:
    threads = Threads()
    result = outcome(SystemNames(None, threads.run).addresses("example.org"))

    threads.answers[0].callback(found(*(f"192.0.2.{number}" for number in range(200))))

    assert len(result[0]) == MOST_ADDRESSES


@pytest.mark.parametrize(
    "problem", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long"), OSError("broken")]
)
def test_a_host_without_addresses_is_unreachable(problem: Exception) -> None:
    threads = Threads()
    result = outcome(SystemNames(None, threads.run).addresses("nowhere.example"))

    threads.answers[0].errback(problem)

    assert [type(error) for error in result] == [Unreachable]


def test_slow_look_ups_do_not_hold_all_threads() -> None:
    threads = Threads()
    names = SystemNames(None, threads.run)

    for _ in range(LOOKUPS_AT_ONCE + 1):
        outcome(names.addresses("slow.example"))
    before = len(threads.asked)
    threads.answers[0].errback(OSError("timed out"))

    assert (before, len(threads.asked)) == (LOOKUPS_AT_ONCE, LOOKUPS_AT_ONCE + 1)


class Zone:
    """What a name server knows, or how it fails."""

    def __init__(self, outside: Outside) -> None:
        self.records: list[Record_SRV] | Exception = []
        self.asked: list[str] = []
        factory = DNSServerFactory(clients=[self])
        self._protocol = DNSDatagramProtocol(factory, reactor=outside.reactor)
        self.port = outside.reactor.listenUDP(0, self._protocol, interface="127.0.0.1").getHost().port

    def query(self, query: Query, timeout: object = None) -> Deferred[Any]:
        """Answer, as Twisted's resolvers do."""
        self.asked.append(query.name.name.decode())
        if isinstance(self.records, Exception):
            return fail(self.records)
        headers = [RRHeader(query.name.name, SRV, payload=record) for record in self.records]
        return succeed((headers, [], []))


def names_of(outside: Outside, port: int) -> SystemNames:
    return SystemNames(outside.reactor, Threads().run, servers=[("127.0.0.1", port)], timeouts_s=[0.2, 0.2])


def test_service_records_are_found(outside: Outside) -> None:
    zone = Zone(outside)
    zone.records = [
        Record_SRV(10, 5, 8448, b"matrix.example.org", ttl=60),
        Record_SRV(0, 0, 443, b"Other.Example", ttl=60),
        Record_SRV(0, 0, 0, b"", ttl=60),
    ]

    services = outside.wait(names_of(outside, zone.port).services(NAME))

    assert services == [
        Service(10, 5, 8448, "matrix.example.org"),
        Service(0, 0, 443, "Other.Example"),
        Service(0, 0, 0, ""),
    ]
    assert zone.asked == [NAME]


@pytest.mark.parametrize("records", [[], DNSNameError("no such name")])
def test_where_there_are_no_service_records_none_are_found(
    outside: Outside, records: list[Record_SRV] | Exception
) -> None:
    zone = Zone(outside)
    zone.records = records

    assert list(outside.wait(names_of(outside, zone.port).services(NAME))) == []


def test_if_the_name_server_is_broken_nobody_can_say(outside: Outside) -> None:
    zone = Zone(outside)
    zone.records = ResolverError("broken")

    with pytest.raises(Unreachable):
        outside.wait(names_of(outside, zone.port).services(NAME))


def test_if_the_name_server_is_silent_nobody_can_say(outside: Outside) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))

        with pytest.raises(Unreachable):
            outside.wait(names_of(outside, silent.getsockname()[1]).services(NAME))


def test_of_very_many_service_records_the_first_are_taken(outside: Outside) -> None:
    zone = Zone(outside)
    zone.records = [Record_SRV(0, 0, number, b"a", ttl=60) for number in range(1, 200)]

    services = outside.wait(names_of(outside, zone.port).services(NAME))

    assert [service.port for service in services] == list(range(1, MOST_SERVICES + 1))
