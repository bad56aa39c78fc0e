"""From server names to routes, step by step as the specification has them."""

from collections import Counter

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.names import Service
from homeserver.outbound.resolver import MOST_TARGETS, ROUTE_KEPT_S, Resolver
from homeserver.outbound.routes import Route
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.randomness import SeededRandomness
from tests.outbound.https_servers import FakeNames


class Delegations:
    """To whom hosts delegate, and which were asked for and doubted."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: list[str] = []
        self.doubted: list[str] = []
        self.waits_for: Deferred[None] | None = None

    async def find(self, host: str) -> ServerName | None:
        self.asked.append(host)
        if self.waits_for is not None:
            await self.waits_for
        return ServerName(self.known[host]) if host in self.known else None

    def doubt(self, host: str) -> None:
        self.doubted.append(host)


class World:
    """A resolver, and what it asks."""

    def __init__(self, *, routes_kept: int = 100) -> None:
        self.names = FakeNames()
        self.delegations = Delegations()
        self.clock = ManualClock()
        self.resolver = Resolver(self.delegations, self.names, self.clock, SeededRandomness(), routes_kept=routes_kept)

    def route(self, server: str) -> Route:
        """The route, which is found without waiting. Raises Unreachable."""
        results: list[Route] = []
        failures: list[BaseException] = []
        Deferred.fromCoroutine(self.resolver.route(ServerName(server))).addCallbacks(
            results.append, lambda failure: failures.append(failure.value)
        )
        if failures:
            raise failures[0]
        return results[0]


@pytest.fixture
def world() -> World:
    """A world in which nothing is known."""
    return World()


@pytest.mark.parametrize(
    ("server", "address", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 8448),
        ("192.0.2.1:1234", "192.0.2.1", 1234),
        ("[2001:db8::1]", "2001:db8::1", 8448),
        ("[2001:db8::1]:1234", "2001:db8::1", 1234),
    ],
)
def test_step_1_an_address_is_connected_to_as_it_is(world: World, server: str, address: str, port: int) -> None:
    assert world.route(server) == Route(server, address, ((address, port),))
    assert (world.delegations.asked, world.names.asked) == ([], [])


def test_step_2_a_name_with_a_port_is_neither_delegated_nor_looked_for_among_services(world: World) -> None:
    world.delegations.known["example.org"] = "matrix.example.org"
    world.names.records["_matrix-fed._tcp.example.org"] = [Service(0, 0, 1, "srv.example.org")]

    route = world.route("example.org:1234")

    assert route == Route("example.org:1234", "example.org", (("example.org", 1234),))
    assert (world.delegations.asked, world.names.asked) == ([], [])


@pytest.mark.parametrize(
    ("delegated", "address", "port"),
    [("192.0.2.1", "192.0.2.1", 8448), ("192.0.2.1:443", "192.0.2.1", 443), ("[2001:db8::1]:1", "2001:db8::1", 1)],
)
def test_step_3_1_a_delegation_may_be_to_an_address(world: World, delegated: str, address: str, port: int) -> None:
    world.delegations.known["example.org"] = delegated

    assert world.route("example.org") == Route(delegated, address, ((address, port),))


def test_step_3_2_a_delegation_may_be_to_a_name_with_a_port(world: World) -> None:
    world.delegations.known["example.org"] = "matrix.example.org:443"

    assert world.route("example.org") == Route(
        "matrix.example.org:443", "matrix.example.org", (("matrix.example.org", 443),)
    )
    assert world.names.asked == []


def test_step_3_3_a_delegation_to_a_name_is_looked_for_among_services(world: World) -> None:
    world.delegations.known["example.org"] = "matrix.example.org"
    world.names.records["_matrix-fed._tcp.matrix.example.org"] = [Service(0, 0, 1, "srv.example.org")]
    world.names.records["_matrix._tcp.matrix.example.org"] = [Service(0, 0, 2, "old.example.org")]
    world.names.records["_matrix-fed._tcp.example.org"] = [Service(0, 0, 3, "wrong.example.org")]

    assert world.route("example.org") == Route("matrix.example.org", "matrix.example.org", (("srv.example.org", 1),))


def test_step_3_4_a_delegation_to_a_name_is_looked_for_among_services_of_the_old_name(world: World) -> None:
    world.delegations.known["example.org"] = "matrix.example.org"
    world.names.records["_matrix._tcp.matrix.example.org"] = [Service(0, 0, 2, "old.example.org")]

    assert world.route("example.org") == Route("matrix.example.org", "matrix.example.org", (("old.example.org", 2),))


def test_step_3_5_a_delegation_to_a_name_without_services_is_to_port_8448(world: World) -> None:
    world.delegations.known["example.org"] = "matrix.example.org"

    assert world.route("example.org") == Route(
        "matrix.example.org", "matrix.example.org", (("matrix.example.org", 8448),)
    )
    assert world.delegations.asked == ["example.org"]  # a delegation is not delegated on


def test_step_4_a_name_is_looked_for_among_services(world: World) -> None:
    world.names.records["_matrix-fed._tcp.example.org"] = [Service(0, 0, 1, "srv.example.com")]
    world.names.records["_matrix._tcp.example.org"] = [Service(0, 0, 2, "old.example.com")]

    assert world.route("example.org") == Route("example.org", "example.org", (("srv.example.com", 1),))


def test_step_5_a_name_is_looked_for_among_services_of_the_old_name(world: World) -> None:
    world.names.records["_matrix._tcp.example.org"] = [Service(0, 0, 2, "old.example.com")]

    assert world.route("example.org") == Route("example.org", "example.org", (("old.example.com", 2),))


@pytest.mark.parametrize("broken", [set(), {"_matrix-fed._tcp.example.org", "_matrix._tcp.example.org"}])
def test_step_6_a_name_without_services_is_connected_to_at_port_8448(world: World, broken: set[str]) -> None:
    world.names.broken = broken

    assert world.route("example.org") == Route("example.org", "example.org", (("example.org", 8448),))
    assert world.names.asked == ["_matrix-fed._tcp.example.org", "_matrix._tcp.example.org"]


def test_services_are_tried_by_priority(world: World) -> None:
    world.names.records["_matrix-fed._tcp.example.org"] = [
        Service(20, 100, 3, "c"),
        Service(0, 0, 1, "a"),
        Service(10, 0, 2, "b"),
    ]

    assert world.route("example.org").targets == (("a", 1), ("b", 2), ("c", 3))


def test_among_equals_the_one_of_more_weight_comes_first_more_often(world: World) -> None:
    world.names.records["_matrix-fed._tcp.example.org"] = [
        Service(0, 0, 1, "never"),
        Service(0, 10, 1, "seldom"),
        Service(0, 90, 1, "often"),
    ]

    firsts: Counter[str] = Counter()
    for _ in range(500):
        firsts[world.route("example.org").targets[0][0]] += 1
        world.clock.advance(ROUTE_KEPT_S)

    assert 400 < firsts["often"] < 490
    assert 10 < firsts["seldom"] < 100
    assert firsts["never"] < 5


@pytest.mark.parametrize("service", [Service(0, 0, 0, ""), Service(0, 0, 8448, ""), Service(0, 0, 0, "example.org")])
def test_a_host_may_say_that_there_is_no_service(world: World, service: Service) -> None:
    world.names.records["_matrix-fed._tcp.example.org"] = [service]

    with pytest.raises(Unreachable, match="no federation"):
        world.route("example.org")


def test_of_very_many_services_a_few_are_tried(world: World) -> None:
    world.names.records["_matrix-fed._tcp.example.org"] = [Service(0, 0, 1, f"s{number}") for number in range(100)]

    assert len(world.route("example.org").targets) == MOST_TARGETS


@pytest.mark.parametrize(
    "server",
    [
        "example.org:0",
        "192.0.2.1:0",
        "[::1]:0",
        "a..b",
        ".",
        "example.org.",
        "-" * 64 + ".org",
        "a." * 130 + "org",
    ],
)
def test_a_name_that_no_host_can_have_is_not_looked_for(world: World, server: str) -> None:
    with pytest.raises(Unreachable):
        world.route(server)

    assert (world.delegations.asked, world.names.asked) == ([], [])


def test_a_delegation_to_a_name_that_no_host_can_have_leads_nowhere(world: World) -> None:
    world.delegations.known["example.org"] = "a..b"

    with pytest.raises(Unreachable):
        world.route("example.org")


def test_a_route_is_kept_for_a_while(world: World) -> None:
    first = world.route("example.org")
    world.names.records["_matrix-fed._tcp.example.org"] = [Service(0, 0, 1, "srv.example.com")]

    world.clock.advance(ROUTE_KEPT_S - 1)
    kept = world.route("example.org")
    world.clock.advance(1)
    renewed = world.route("example.org")

    assert kept == first
    assert renewed.targets == (("srv.example.com", 1),)


def test_a_route_that_led_nowhere_is_not_kept(world: World) -> None:
    world.route("example.org")
    world.names.records["_matrix-fed._tcp.example.org"] = [Service(0, 0, 1, "srv.example.com")]

    world.resolver.doubt(ServerName("example.org"))
    world.resolver.doubt(ServerName("example.org"))

    assert world.route("example.org").targets == (("srv.example.com", 1),)
    assert world.delegations.doubted == ["example.org"]


def test_several_who_look_for_the_same_server_ask_once(world: World) -> None:
    world.delegations.waits_for = Deferred()
    routes: list[Route] = []
    for _ in range(3):
        Deferred.fromCoroutine(world.resolver.route(ServerName("example.org"))).addCallback(routes.append)

    world.delegations.waits_for.callback(None)

    assert len(routes) == 3
    assert world.delegations.asked == ["example.org"]


def test_of_very_many_routes_the_last_ones_are_remembered() -> None:
    world = World(routes_kept=2)

    for server in ("a.example", "b.example", "a.example", "c.example", "a.example", "b.example"):
        world.route(server)

    assert world.delegations.asked == ["a.example", "b.example", "c.example", "b.example"]
