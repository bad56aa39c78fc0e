"""What services are made with besides each other."""

from dataclasses import dataclass
from typing import Any

from homeserver.core.identifiers import ServerName
from homeserver.outbound.tls import TlsClients
from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.own_figures import OwnFigures
from homeserver.runtime.randomness import SystemRandomness
from homeserver.services.events.merging_process import MergingProcess
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.federation.server_limits import ServerLimits
from homeserver.services.rate_limits import RateLimits
from homeserver.services.spam_checks import SpamChecks
from homeserver.settings.sections import Settings
from homeserver.storage.database import Database


@dataclass(frozen=True, slots=True)
class Mechanics:
    """The configuration, time, chance, the database, and what goes with the process."""

    settings: Settings
    reactor: Any  # a reactor is many interfaces at once
    clock: ReactorClock
    randomness: SystemRandomness
    metrics: Metrics
    budget: CacheBudget
    tls_clients: TlsClients
    database: Database
    merging_process: MergingProcess
    own_keys: OwnSigningKeys
    rate_limits: RateLimits
    server_limits: ServerLimits
    spam_checks: SpamChecks
    in_thread: Any  # runs a function in a thread, as deferToThread does
    figures: OwnFigures

    @property
    def server_name(self) -> ServerName:
        """The name of this server."""
        return ServerName(self.settings.server_name)
