"""Which servers may be asked now: not those that are blocked, nor, for a while, those that did not answer.

This is the gate of outgoing requests (outbound/gate.py). What waits for a server is in sender.py.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.core.server_acls import Globs, compile_globs
from homeserver.outbound.errors import NotAsked
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.database import Database, Transaction
from homeserver.storage.destinations import (
    FailingDestination,
    ServerRule,
    delete_server_rule,
    failing_destinations,
    forget_failing,
    server_rules,
    store_failing,
    store_server_rule,
)

MOST_FAILING: Final = 20_000  # remembered: whoever names servers that do not exist cannot fill the memory or the disk
LONGEST_PATTERN: Final = 255
SHORTEST_WAIT_MS: Final = 1_000

NOBODY: Final = compile_globs(())


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a server that did not answer is asked again: see `Destinations.failed`."""

    first_s: float
    factor: float
    max_s: float

    def interval_s(self, failures: int) -> float:
        """Within how long after that many failures in a row the server is asked again."""
        interval_s = self.first_s
        for _ in range(failures - 1):
            interval_s *= self.factor
            if interval_s >= self.max_s or self.factor == 1:
                break
        return min(interval_s, self.max_s)


@dataclass(slots=True)
class _Failing:
    """A server that did not answer; when a request of its own last made us try early."""

    row: FailingDestination
    heard_ms: int | None = None


class Destinations:
    """Knows which servers are to be left alone. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        retry: RetryPolicy,
        clock: Clock,
        randomness: Randomness,
        most_failing: int = MOST_FAILING,
    ) -> None:
        self._database = database
        self._retry = retry
        self._clock = clock
        self._randomness = randomness
        self._most_failing = most_failing
        self._failing: OrderedDict[ServerName, _Failing] = OrderedDict()  # the one that failed last is the last
        self._unwritten: set[ServerName] = set()
        self._rules: tuple[ServerRule, ...] = ()
        self._blocked = NOBODY
        self._allowed: Globs | None = None  # None: all that are not blocked
        self._listeners: list[Callable[[ServerName | None], None]] = []

    async def load(self) -> None:
        """Remember what was known before a restart."""
        failing, rules = await self._database.read(_read_all)
        for row in failing[-self._most_failing :]:
            self._failing.setdefault(row.destination, _Failing(row))
        self._unwritten |= {row.destination for row in failing[: -self._most_failing]}
        self._take_rules(rules)

    async def flush(self) -> None:
        """Write down which servers fail, and which do no longer."""
        unwritten, self._unwritten = self._unwritten, set()
        if not unwritten:
            return
        rows = [self._failing[server].row for server in unwritten if server in self._failing]
        gone = [server for server in unwritten if server not in self._failing]
        is_written = False
        try:
            await self._database.write(_write, rows, gone)
            is_written = True
        finally:
            if not is_written:
                self._unwritten |= unwritten

    def listen(self, listener: Callable[[ServerName | None], None]) -> None:
        """Have `listener` called with a server that may be asked again, or with None when the rules changed."""
        self._listeners.append(listener)

    # The gate

    def check(self, destination: ServerName, *, ignores_backoff: bool = False) -> None:
        """Raises NotAsked for a server that is blocked, or (unless `ignores_backoff`) still to be left alone."""
        if self.is_blocked(destination):
            raise NotAsked(f"{destination} is blocked on this server")
        if ignores_backoff:
            return
        wait_ms = self.wait_ms(destination)
        if wait_ms > 0:
            raise NotAsked(f"{destination} did not answer lately, and is asked again in {wait_ms // 1000 + 1} s")

    def succeeded(self, destination: ServerName) -> None:
        """The server answered."""
        if self._failing.pop(destination, None) is not None:
            self._unwritten.add(destination)
            self._tell(destination)

    def failed(self, destination: ServerName) -> None:
        """The server did not answer: it is asked again at a random moment of an interval that grows.

        The moment is drawn from the whole interval, so that servers which failed together, as when the network was
        gone, are not all asked at once for ever after. What fails while the server is left alone counts once.
        """
        now_ms = self._clock.now_ms()
        known = self._failing.pop(destination, None)
        if known is not None and now_ms < known.row.next_attempt_ms:
            known.row = replace(known.row, last_attempt_ms=now_ms)
            self._failing[destination] = known
            self._unwritten.add(destination)
            return
        failures = 1 if known is None else known.row.failures + 1
        wait_ms = max(
            int(self._retry.interval_s(failures) * 1000 * (1 - self._randomness.fraction())), SHORTEST_WAIT_MS
        )
        since_ms = now_ms if known is None else known.row.failing_since_ms
        row = FailingDestination(destination, since_ms, now_ms + wait_ms, failures, now_ms)
        self._failing[destination] = _Failing(row, None if known is None else known.heard_ms)
        self._unwritten.add(destination)
        while len(self._failing) > self._most_failing:
            forgotten, _ = self._failing.popitem(last=False)
            self._unwritten.add(forgotten)

    # What others tell

    def heard_from(self, server: ServerName) -> None:
        """A request of the server came in, so it is there: try it now, but not again for each of its requests."""
        known = self._failing.get(server)
        now_ms = self._clock.now_ms()
        if known is None or known.row.next_attempt_ms <= now_ms:
            return
        if known.heard_ms is not None and now_ms - known.heard_ms < self._retry.first_s * 1000:
            return
        known.heard_ms = now_ms
        self._end_wait(known, now_ms)

    def retry_now(self, destination: ServerName) -> bool:
        """Ask the server now whatever was before. False when it does not fail."""
        known = self._failing.get(destination)
        if known is None:
            return False
        self._end_wait(known, self._clock.now_ms())
        return True

    def find_failing(self, destination: ServerName) -> FailingDestination | None:
        """Since when the server does not answer; None when it does, as far as is known."""
        known = self._failing.get(destination)
        return None if known is None else known.row

    def all_failing(self) -> dict[ServerName, FailingDestination]:
        """All servers that do not answer, as they are now."""
        return {server: known.row for server, known in self._failing.items()}

    def wait_ms(self, destination: ServerName) -> int:
        """For how long the server is still to be left alone; 0 when it may be asked, unless it is blocked."""
        known = self._failing.get(destination)
        return 0 if known is None else max(known.row.next_attempt_ms - self._clock.now_ms(), 0)

    @property
    def failing_servers(self) -> tuple[ServerName, ...]:
        """The servers that do not answer, in no order."""
        return tuple(self._failing)

    @property
    def failing_count(self) -> int:
        """How many servers do not answer."""
        return len(self._failing)

    # Rules

    @property
    def rules(self) -> tuple[ServerRule, ...]:
        """The patterns of servers that are blocked, or allowed."""
        return self._rules

    def is_blocked(self, server: ServerName) -> bool:
        """Whether this server is not to speak with that one: it is blocked, or others are allowed and it is not."""
        names = _names(server)
        if any(self._blocked.matches(name) for name in names):
            return True
        return self._allowed is not None and not any(self._allowed.matches(name) for name in names)

    async def set_rule(self, pattern: str, *, is_blocked: bool) -> None:
        """Block the servers whose names match, or allow them; it holds at once. Raises InvalidParameter."""
        pattern = pattern.lower()
        if not pattern or len(pattern) > LONGEST_PATTERN or not pattern.isascii() or not pattern.isprintable():
            raise InvalidParameter("A pattern is a server name, in which * and ? may stand for other characters")
        if " " in pattern or "," in pattern:
            raise InvalidParameter("A pattern is for one server name: it has no blanks and no commas")
        rule = ServerRule(pattern, is_blocked, self._clock.now_ms())
        self._take_rules(await self._database.write(_store_rules, [rule]))
        self._tell(None)

    async def block_all(self, patterns: Iterable[str]) -> None:
        """Block the servers of several patterns, which are such and in lower case; what rules there are stay."""
        known, now_ms = {rule.pattern for rule in self._rules}, self._clock.now_ms()
        rules = [ServerRule(pattern, is_blocked=True, written_ms=now_ms) for pattern in patterns]
        new = [rule for rule in rules if rule.pattern not in known]
        self._take_rules(await self._database.write(_store_rules, new))
        self._tell(None)

    async def unblock_all(self, patterns: Iterable[str]) -> None:
        """Take away those of the rules that block these patterns."""
        blocked = {rule.pattern for rule in self._rules if rule.is_blocked}
        self._take_rules(await self._database.write(_delete_rules, [each for each in patterns if each in blocked]))
        self._tell(None)

    async def remove_rule(self, pattern: str) -> None:
        """Take a rule away. Raises NotFound."""
        rules = await self._database.write(_delete_rule, pattern.lower())
        if rules is None:
            raise NotFound("There is no rule for this pattern")
        self._take_rules(rules)
        self._tell(None)

    def _take_rules(self, rules: Iterable[ServerRule]) -> None:
        self._rules = tuple(rules)
        allowed = [rule.pattern for rule in self._rules if not rule.is_blocked]
        self._blocked = compile_globs(rule.pattern for rule in self._rules if rule.is_blocked)
        self._allowed = compile_globs(allowed) if allowed else None

    def _end_wait(self, known: _Failing, now_ms: int) -> None:
        known.row = replace(known.row, next_attempt_ms=now_ms)
        self._unwritten.add(known.row.destination)
        self._tell(known.row.destination)

    def _tell(self, server: ServerName | None) -> None:
        for listener in self._listeners:
            listener(server)


def _names(server: ServerName) -> tuple[str, ...]:
    """What a pattern may match of a server's name: the whole, or what is left without a port."""
    name = server.lower()
    host, colon, port = name.rpartition(":")
    return (name, host) if colon and port.isdigit() else (name,)


def _read_all(tx: Transaction) -> tuple[list[FailingDestination], list[ServerRule]]:
    return failing_destinations(tx), server_rules(tx)


def _write(tx: Transaction, rows: list[FailingDestination], gone: list[ServerName]) -> None:
    store_failing(tx, rows)
    forget_failing(tx, gone)


def _store_rules(tx: Transaction, rules: Iterable[ServerRule]) -> list[ServerRule]:
    for rule in rules:
        store_server_rule(tx, rule)
    return server_rules(tx)


def _delete_rules(tx: Transaction, patterns: Iterable[str]) -> list[ServerRule]:
    for pattern in patterns:
        delete_server_rule(tx, pattern)
    return server_rules(tx)


def _delete_rule(tx: Transaction, pattern: str) -> list[ServerRule] | None:
    return server_rules(tx) if delete_server_rule(tx, pattern) else None
