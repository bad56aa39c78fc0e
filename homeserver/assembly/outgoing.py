"""How this server reaches others."""

from dataclasses import dataclass

import homeserver
from homeserver.assembly.mechanics import Mechanics
from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.connecting import Connecting
from homeserver.outbound.expeditions import Expeditions
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import Gate, ShutGate
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
    expeditions: Expeditions
    gate: Gate
    well_known: WellKnown


def make_outgoing(made: Mechanics) -> Outgoing:
    """One guard, one resolver and one pool of connections for everything that leaves."""
    federation, clock, randomness = made.settings.federation, made.clock, made.randomness
    names = SystemNames(made.reactor, made.in_thread)
    guard = AddressGuard(allows_private=federation.allow_private_addresses)
    connecting = Connecting(made.reactor, clock, names, guard, made.tls_clients)
    user_agent = f"Columba/{homeserver.__version__}"
    https = Https(made.reactor, connecting, user_agent)
    well_known = WellKnown(https, clock)
    agent = FederationAgent(Resolver(well_known, names, clock, randomness), https)
    expeditions = Expeditions(made.reactor, clock, randomness, names, guard, made.tls_clients, well_known, user_agent)
    retry = RetryPolicy(federation.retry.first_s, federation.retry.factor, federation.retry.max_s)
    destinations = Destinations(made.database, retry, clock, randomness)
    gate: Gate = destinations if federation.enabled else ShutGate()
    client = FederationClient(agent, gate, made.server_name, made.own_keys, clock)
    return Outgoing(agent, destinations, client, expeditions, gate, well_known)
