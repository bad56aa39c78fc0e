"""Which of a server's addresses are connected to, and in what order."""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.connecting import NEXT_ATTEMPT_S, Connecting, Race
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.https import Https
from homeserver.outbound.routes import Route
from homeserver.outbound.tls import TlsClients
from homeserver.runtime.clock import ManualClock
from tests.outbound.https_servers import Outside, answering, ask_for, json_answer

GOOD = answering(json_answer(b"{}"))


def reach(outside: Outside, https: Https, *targets: tuple[str, int]) -> int:
    return outside.wait(https.send(Route("example.org", "example.org", targets), ask_for())).status


def test_a_name_is_looked_up_and_connected_to(outside: Outside) -> None:
    server = outside.serve(GOOD)
    outside.names.hosts["matrix.example.org"] = ["127.0.0.1"]

    assert reach(outside, outside.https, ("matrix.example.org", server.port)) == 200


def test_an_ipv6_address_is_connected_to(outside: Outside) -> None:
    server = outside.serve(GOOD, address="::1")

    assert reach(outside, outside.https, ("::1", server.port)) == 200


def test_an_address_that_takes_no_connections_is_followed_by_the_next(outside: Outside) -> None:
    server = outside.serve(GOOD)
    outside.names.hosts["matrix.example.org"] = ["127.0.0.2", "127.0.0.1"]

    assert reach(outside, outside.https, ("matrix.example.org", server.port)) == 200


def test_a_target_that_takes_no_connections_is_followed_by_the_next(outside: Outside) -> None:
    server = outside.serve(GOOD)

    assert reach(outside, outside.https, ("nowhere.example", 1), ("127.0.0.2", 1), ("127.0.0.1", server.port)) == 200


@pytest.mark.parametrize("targets", [[], [("nowhere.example", 1)], [("127.0.0.2", 1)], [("127.0.0.2", 1), ("x", 1)]])
def test_if_no_target_takes_a_connection_the_server_is_unreachable(
    outside: Outside, targets: list[tuple[str, int]]
) -> None:
    with pytest.raises(Unreachable):
        reach(outside, outside.https, *targets)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["0.0.0.0"], ["::"], ["10.0.0.1", "127.0.0.1"], ["64:ff9b::7f00:1"]],
)
def test_what_a_name_leads_to_is_not_connected_to_unless_it_is_public(outside: Outside, addresses: list[str]) -> None:
    server = outside.serve(GOOD)
    outside.names.hosts["matrix.example.org"] = addresses

    with pytest.raises(Unreachable, match="not a public address"):
        reach(outside, outside.client(allows_private=False), ("matrix.example.org", server.port))

    assert server.names == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254"])
def test_an_address_that_is_named_itself_must_be_public_too(outside: Outside, address: str) -> None:
    with pytest.raises(Unreachable, match="not a public address"):
        reach(outside, outside.client(allows_private=False), (address, 1))


def test_a_name_that_leads_elsewhere_the_second_time_is_judged_again(outside: Outside) -> None:
    server = outside.serve(GOOD)
    https = outside.client(allows_private=False)
    outside.names.hosts["matrix.example.org"] = []
    with pytest.raises(Unreachable, match="no address"):
        reach(outside, https, ("matrix.example.org", server.port))

    outside.names.hosts["matrix.example.org"] = ["127.0.0.1"]

    with pytest.raises(Unreachable, match="not a public address"):
        reach(outside, https, ("matrix.example.org", server.port))
    assert server.names == []


class Heard(Protocol):
    """Asks as soon as it can, and notes when the connection is over."""

    is_over = False

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        assert self.transport is not None
        self.transport.write(b"GET / HTTP/1.1\r\n\r\n")

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 - Twisted's name
        self.is_over = True


def test_a_connection_that_the_server_has_ended_may_be_hung_up_as_well(outside: Outside) -> None:
    server = outside.serve(lambda conversation, _: conversation.hang_up())
    tls = TlsClients(outside.groups, verifies=True, ca_file=outside.authority.file)
    connecting = Connecting(outside.reactor, outside.clock, outside.names, AddressGuard(allows_private=True), tls)
    route = Route("example.org", "example.org", (("127.0.0.1", server.port),))
    heard = outside.wait(connecting.connect(route, lambda _: None, Factory.forProtocol(Heard)))
    assert isinstance(heard, Heard)
    outside.turn_until(lambda: heard.is_over)

    assert heard.transport is not None
    heard.transport.loseConnection()

    assert server.received[0].line == "GET / HTTP/1.1"


@implementer(IStreamClientEndpoint)
class Attempt:
    """An endpoint that the test answers for."""

    def __init__(self) -> None:
        self.outcome: Deferred[IProtocol] = Deferred(lambda _: self._cancelled())
        self.has_begun = False
        self.is_cancelled = False

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803 - Twisted's name
        self.has_begun = True
        return self.outcome

    def _cancelled(self) -> None:
        self.is_cancelled = True


class Raced:
    """A race of three, and what it came to."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.attempts = [Attempt(), Attempt(), Attempt()]
        self.results: list[Any] = []
        factory = Factory.forProtocol(Protocol)
        self.winner = Race(self.attempts, factory, self.clock).run()
        self.winner.addCallbacks(self.results.append, lambda failure: self.results.append(failure.value))

    @property
    def begun(self) -> list[bool]:
        """Which attempts have begun."""
        return [attempt.has_begun for attempt in self.attempts]

    @property
    def cancelled(self) -> list[bool]:
        """Which attempts were cancelled."""
        return [attempt.is_cancelled for attempt in self.attempts]


def test_an_attempt_that_takes_long_is_joined_by_the_next() -> None:
    race = Raced()
    before = race.begun

    race.clock.advance(NEXT_ATTEMPT_S)

    assert (before, race.begun) == ([True, False, False], [True, True, False])


def test_an_attempt_that_fails_is_followed_by_the_next_at_once() -> None:
    race = Raced()

    race.attempts[0].outcome.errback(ConnectError())

    assert race.begun == [True, True, False]


def test_the_first_success_counts_and_the_other_attempts_are_cancelled() -> None:
    race, protocol = Raced(), Protocol()
    race.clock.advance(NEXT_ATTEMPT_S)

    race.attempts[1].outcome.callback(protocol)

    assert race.results == [protocol]
    assert race.cancelled == [True, False, False]
    race.clock.advance(100)
    assert (race.begun, race.clock.pending) == ([True, True, False], 0)


def test_when_all_have_failed_the_last_failure_counts() -> None:
    race, last = Raced(), ConnectError()
    race.clock.advance(100)

    for attempt, problem in zip(race.attempts, (ConnectError(), ConnectError(), last), strict=True):
        attempt.outcome.errback(problem)

    assert race.results == [last]
    assert race.clock.pending == 0


def test_who_gives_up_ends_all_attempts() -> None:
    race = Raced()
    race.clock.advance(NEXT_ATTEMPT_S)

    race.winner.cancel()

    assert [type(result) for result in race.results] == [CancelledError]
    assert race.cancelled == [True, True, False]
    assert race.clock.pending == 0
