"""One whole server: in which order it opens, runs and closes. No logic here, and none in the rest of this package."""

import gc
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from homeserver.assembly.listening import Ports
from homeserver.assembly.opening import Opened, Process, open_server
from homeserver.http.door import administer
from homeserver.http.endpoint import Surface
from homeserver.http.resource import Traffic
from homeserver.http.router import Router
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.own_figures import OwnFigures
from homeserver.runtime.startup import StartRefused
from homeserver.runtime.tls_groups import TlsGroups
from homeserver.services.accounts.device_activity import FLUSH_S
from homeserver.services.events.collection import StateCollection
from homeserver.services.http_antispam import PING_EVERY_S
from homeserver.services.sync.lost_time import NOTED_EVERY_S
from homeserver.settings.sections import Settings
from homeserver.storage.database import Database, Transaction
from homeserver.storage.schema import sweep_all

DRAIN_S: Final = 5.0
ACKNOWLEDGED_EVERY_S: Final = 5.0
DESTINATIONS_EVERY_S: Final = 5.0
SWEEP_EVERY_S: Final = 600.0
COLLECT_EVERY_S: Final = 3_600.0
ROWS_PER_SWEEP: Final = 500

log = get_logger(__name__)


def build(settings: Settings, reactor: Any) -> "Columba":  # Any: a reactor is many interfaces at once
    """The server of these settings, not started yet."""
    return Columba(settings, reactor)


class Columba:
    """One assembled server, from its start to its end."""

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._clock = ReactorClock(reactor)
        self._metrics = Metrics()
        self._tls_groups = TlsGroups()
        self._loops = Loops(self._clock)
        self._figures = OwnFigures(self._clock, self._loops)
        self._ports = Ports(settings, reactor, self._tls_groups)
        self._opened: Opened | None = None
        self._traffic: Traffic | None = None
        self.addresses: Sequence[str] = ()

    @property
    def database(self) -> Database:
        """The database of a server that was started. Raises StartRefused of one that was not."""
        if self._opened is None:
            raise StartRefused("the server is not open")
        return self._opened.made.database

    async def start(self) -> None:
        """Open the database, begin to listen, begin the background work. Raises StartRefused."""
        opened = self._open()
        await opened.recall()
        is_verbose = self._settings.log.level == "debug"
        traffic = Traffic(
            opened.door,
            self._clock,
            self._metrics,
            self._in_thread,
            logs_every_request=is_verbose,
            room_costs=self._figures.room_costs,
        )
        self._figures.count_traffic = lambda: (len(traffic.channels), traffic.in_flight)
        self._traffic = traffic
        traffic.start()
        self.addresses = self._ports.listen(traffic, opened.endpoints)
        await self._begin(opened)
        # What was made so far stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()

    async def start_offline(self) -> None:
        """Open the database for `administer` alone, and for what goes on by its orders. Raises StartRefused."""
        opened = self._open()
        await opened.recall()
        opened.parts.administration.jobs.start(self._loops)

    async def stop(self) -> None:
        """Answer what is under way, then close everything."""
        await self._ports.close()
        if self._traffic is not None:
            await self._traffic.drain(DRAIN_S)
        opened = self._opened
        if opened is None:
            await self._loops.stop()
            return
        federation = opened.parts.federation
        for one in (federation.receiver, federation.missing_events, federation.room_completion, federation.sender):
            one.stop()
        opened.parts.rooms.backfill.stop()
        opened.parts.rooms.search_backlog.stop()
        opened.parts.rooms.delayed_events.stop()
        opened.parts.rooms.guest_departures.stop()
        opened.parts.administration.jobs.stop()
        opened.parts.administration.expiry.stop()
        opened.parts.administration.older_lifetimes.stop()
        opened.parts.policies.watch.stop()
        loops_ended = Deferred.fromCoroutine(self._loops.stop())
        await opened.made.merging_process.stop()  # it may be what a loop waits for, and it reads the database
        await opened.parts.administration.backups.stop()
        await loops_ended
        await opened.flush()
        await opened.parts.outgoing.agent.close()
        await opened.spam_checking.close()
        await opened.made.database.stop()

    async def administer(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
        """Answer a request to the administrators' API as the owner's socket would."""
        if self._opened is None:
            raise StartRefused("the server is not open")
        return await administer(self._opened.door, Router(self._opened.endpoints, {Surface.ADMIN}), method, path, body)

    def _open(self) -> Opened:
        process = Process(
            self._reactor, self._clock, self._metrics, self._tls_groups, self._in_thread, self._die, self._figures
        )
        self._opened = opened = open_server(self._settings, process)
        self._metrics.loops(self._loops)
        return opened

    async def _begin(self, opened: Opened) -> None:
        """Begin what runs by itself."""
        loops, parts, database = self._loops, opened.parts, opened.made.database
        federation, destinations = parts.federation, parts.outgoing.destinations
        if self._settings.federation.enabled:
            federation.sender.start(loops)
            parts.encryption.remote_users.start(loops)
            loops.start("failing servers", destinations.flush, DESTINATIONS_EVERY_S)
        loops.start("how far the log has come", parts.syncing.lost_time.note_reached, NOTED_EVERY_S)
        loops.start("acknowledged messages", parts.syncing.long_poll.flush_acknowledged, ACKNOWLEDGED_EVERY_S)
        loops.run_once("departures of closed accounts", parts.accounts.deactivation.resume)
        loops.run_once("what was here before it could be searched", parts.rooms.search_backlog.work_off)
        loops.run_once("events that waited", parts.events.intake.resume)
        parts.rooms.delayed_events.start(loops)
        parts.rooms.guest_departures.start(loops)
        parts.rooms.presence.start(loops)
        parts.policies.watch.start(loops)
        await federation.receiver.start(loops)
        await federation.missing_events.start(loops)
        if self._settings.federation.enabled:
            parts.rooms.backfill.start(loops)
        await federation.room_completion.start(loops)
        parts.administration.jobs.start(loops)
        loops.run_once("what rooms said of lifetimes before", parts.administration.older_lifetimes.work_off)
        parts.administration.expiry.start(loops)
        loops.start("device activity", opened.activity.flush, FLUSH_S)
        loops.start("collection of states", StateCollection(database, self._clock).collect_due, COLLECT_EVERY_S)
        antispam = opened.spam_checking.antispam
        if antispam is not None and opened.spam_checking.pings:
            loops.start("hello to the server that looks for spam", antispam.ping, PING_EVERY_S, first_after_s=0.0)
        loops.start("sweep", lambda: self._sweep(database), SWEEP_EVERY_S)

    async def _sweep(self, database: Database) -> None:
        """Forget what has outlived its use, and delete it, a few rows of each table at a time."""
        if self._opened is not None:
            self._opened.made.rate_limits.sweep()

        def sweep(tx: Transaction) -> int:
            return sweep_all(tx, now_ms=self._clock.now_ms(), limit=ROWS_PER_SWEEP)

        while await database.write(sweep) >= ROWS_PER_SWEEP:
            await self._clock.sleep(1.0)

    def _in_thread(self, fn: Any, *args: Any, **kwargs: Any) -> Any:  # Any: whatever fn takes and returns
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), fn, *args, **kwargs)

    def _die(self, error: Exception) -> None:
        """The disk failed under the database: nothing may be acknowledged any more."""
        log.critical("the database's disk failed; the server ends at once", exc_info=error)
        os._exit(74)
