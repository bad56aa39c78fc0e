"""How this server reaches others."""

from dataclasses import dataclass

import homeserver
from homeserver.assembly.mechanics import Mechanics
from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.connecting import Connecting
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import ShutGate
from homeserver.outbound.https import Https
from homeserver.outbound.names import SystemNames
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.well_known import WellKnown
from homeserver.services.federation.destinations import Destinations, RetryPolicy


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Connections, and who is worth one."""

    agent: FederationAgent
    destinations: Destinations
    federation_client: FederationClient


def make_outgoing(made: Mechanics) -> Outgoing:
    """One guard, one resolver and one pool of connections for everything that leaves."""
    federation, clock, randomness = made.settings.federation, made.clock, made.randomness
    names = SystemNames(made.reactor, made.in_thread)
    guard = AddressGuard(allows_private=federation.allow_private_addresses)
    connecting = Connecting(made.reactor, clock, names, guard, made.tls_clients)
    https = Https(made.reactor, connecting, f"Columba/{homeserver.__version__}")
    agent = FederationAgent(Resolver(WellKnown(https, clock), names, clock, randomness), https)
    retry = RetryPolicy(federation.retry.first_s, federation.retry.factor, federation.retry.max_s)
    destinations = Destinations(made.database, retry, clock, randomness)
    gate = destinations if federation.enabled else ShutGate()
    return Outgoing(agent, destinations, FederationClient(agent, gate, made.server_name, made.own_keys, clock))
