"""Opens what a server needs before it can be made: its key, its roots of trust, its database; then makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homeserver.assembly.endpoints import make_endpoints
from homeserver.assembly.mechanics import Mechanics
from homeserver.assembly.parts import Parts, make_parts
from homeserver.assembly.spam_checking import SpamChecking, make_spam_checking
from homeserver.core.errors import BadKey
from homeserver.core.rate_limits import RateLimit
from homeserver.core.signing import SigningKey
from homeserver.http.authentication import Authentication
from homeserver.http.door import Door
from homeserver.http.endpoint import BoundEndpoint
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.outbound.tls import BadTrustRoot, TlsClients
from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.own_figures import OwnFigures
from homeserver.runtime.randomness import SystemRandomness
from homeserver.runtime.startup import StartRefused
from homeserver.runtime.tls_groups import TlsGroups
from homeserver.services.accounts.device_activity import DeviceActivity
from homeserver.services.admin.admin_audit import AdminAudit
from homeserver.services.events.merging_process import MergingProcess
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.federation.server_limits import ServerLimits
from homeserver.services.rate_limits import Counted, RateLimits
from homeserver.settings.sections import Settings
from homeserver.storage.database import Database, DatabaseRefused
from homeserver.storage.opening import open_backend


@dataclass(frozen=True, slots=True)
class Process:
    """What there is one of in a process. Any: a reactor is many interfaces at once, a function takes what it takes."""

    reactor: Any
    clock: ReactorClock
    metrics: Metrics
    tls_groups: TlsGroups
    in_thread: Any
    on_fatal: Callable[[Exception], None]
    figures: OwnFigures


@dataclass(frozen=True, slots=True)
class Opened:
    """A server that could answer, and does nothing by itself yet."""

    made: Mechanics
    parts: Parts
    endpoints: tuple[BoundEndpoint, ...]
    activity: DeviceActivity
    door: Door
    spam_checking: SpamChecking

    async def recall(self) -> None:
        """Read from the database what is kept in memory."""
        await self.parts.syncing.lost_time.start()
        await self.made.own_keys.note(self.made.database, self.made.clock)
        await self.parts.outgoing.destinations.load()
        await self.made.server_limits.load()
        await self.parts.events.partial_rooms.load()
        await self.parts.events.erased_users.load(self.made.database)
        await self.parts.events.lifetimes.load(self.made.database)
        await self.parts.events.shadow_bans.load(self.made.database)
        await self.parts.rooms.policy_lists.load()

    async def flush(self) -> None:
        """Write down what was kept in memory."""
        await self.parts.syncing.long_poll.flush_acknowledged()
        await self.activity.flush()
        await self.parts.federation.sender.flush()
        await self.parts.outgoing.destinations.flush()
        await self.parts.syncing.lost_time.note_reached()


def open_server(settings: Settings, process: Process) -> Opened:
    """Every object of a server. Raises StartRefused; then nothing is left open."""
    own_keys = OwnSigningKeys(_signing_key(settings))
    tls_clients = _tls_clients(settings, process.tls_groups)
    randomness = SystemRandomness()
    spam_checking = make_spam_checking(settings, process.reactor, process.clock, randomness, process.metrics)
    try:
        backend = open_backend(settings.database, settings.data_dir)
    except DatabaseRefused as refused:
        raise StartRefused(refused.reason) from refused
    database = Database(backend, call_from_thread=process.reactor.callFromThread, on_fatal=process.on_fatal)
    database.start()
    budget = CacheBudget(settings.cache_size)
    process.metrics.tls(process.tls_groups)
    process.metrics.database(lambda: {"write": database.counts.writes, "read": database.counts.reads})
    process.metrics.caches(budget)
    limits = _limits(settings)
    server_limits = ServerLimits(database, process.clock, limits)
    counted = {each: limits[each.value] for each in Counted if each.value in limits}
    rate_limits = RateLimits(counted, process.clock, server_limits.find)
    made = Mechanics(
        settings,
        process.reactor,
        process.clock,
        randomness,
        process.metrics,
        budget,
        tls_clients,
        database,
        MergingProcess(backend, process.reactor.callFromThread),
        own_keys,
        rate_limits,
        server_limits,
        spam_checking.checks,
        process.in_thread,
        process.figures,
    )
    parts = make_parts(made)
    activity = DeviceActivity(database, process.clock)
    return Opened(made, parts, make_endpoints(made, parts), activity, _door(made, parts, activity), spam_checking)


def _signing_key(settings: Settings) -> SigningKey:
    path = settings.signing_key_file
    try:
        return SigningKey.from_line(path.read_text("ascii"))
    except (OSError, UnicodeDecodeError, BadKey) as wrong:
        raise StartRefused(f"the signing key in {path} cannot be read: {wrong}") from wrong


def _tls_clients(settings: Settings, groups: TlsGroups) -> TlsClients:
    federation = settings.federation
    tls = TlsClients(groups, verifies=federation.verify_certificates, ca_file=federation.ca_file)
    if federation.ca_file is not None:
        try:
            tls.load()
        except BadTrustRoot as wrong:
            raise StartRefused(str(wrong)) from wrong
    return tls


def _door(made: Mechanics, parts: Parts, activity: DeviceActivity) -> Door:
    settings = made.settings
    limits = _limits(settings)
    classes = {each: limits[each.value] for each in RateClass if each.value in limits}
    accepts_query_tokens = settings.query_string_tokens == "accept"
    tokens, peers = parts.accounts.tokens, parts.federation.peers
    authentication = Authentication(tokens, peers, accepts_query_tokens=accepts_query_tokens)
    acts = AdminAudit(made.database, made.clock)
    limiting = RateLimiting(classes, made.clock, made.server_limits.find)
    return Door(authentication, limiting, acts, activity.note)


def _limits(settings: Settings) -> dict[str, RateLimit]:
    """By their names; none where nothing is limited."""
    if not settings.rate_limits.enabled:
        return {}
    return {name: RateLimit(limit.rate_hz, limit.burst) for name, limit in settings.rate_limits.classes.items()}
