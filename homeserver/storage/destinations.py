"""Other servers: which of them do not answer, until when they are left alone, and which are spoken with at all.

What waits for a server is in outboxes.py. When it is asked again is decided in services/federation/.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class FailingDestination:
    """A server that did not answer, `failures` times in a row; when it was asked last is not known of old rows."""

    destination: ServerName
    failing_since_ms: int
    next_attempt_ms: int
    failures: int
    last_attempt_ms: int | None


STORE = """
    INSERT INTO failing_destinations (destination, failing_since_ms, next_attempt_ms, failures, last_attempt_ms)
    VALUES (:destination, :failing_since_ms, :next_attempt_ms, :failures, :last_attempt_ms)
    ON CONFLICT (destination) DO UPDATE SET
        failing_since_ms = excluded.failing_since_ms, next_attempt_ms = excluded.next_attempt_ms,
        failures = excluded.failures, last_attempt_ms = excluded.last_attempt_ms"""


def store_failing(tx: Transaction, failing: Sequence[FailingDestination]) -> None:
    """Put these in place of what was known of the same servers."""
    rows = [
        {
            "destination": one.destination,
            "failing_since_ms": one.failing_since_ms,
            "next_attempt_ms": one.next_attempt_ms,
            "failures": one.failures,
            "last_attempt_ms": one.last_attempt_ms,
        }
        for one in failing
    ]
    tx.insert_many(STORE, rows)


FORGET = "DELETE FROM failing_destinations WHERE destination IN :destinations[text]"


def forget_failing(tx: Transaction, destinations: Collection[ServerName]) -> None:
    """These servers answer again, or nobody asks for them any more."""
    if destinations:
        tx.run(FORGET, destinations=list(destinations))


FAILING = """
    SELECT destination, failing_since_ms, next_attempt_ms, failures, last_attempt_ms FROM failing_destinations
     ORDER BY next_attempt_ms, destination"""


def failing_destinations(tx: Transaction) -> list[FailingDestination]:
    """All servers that do not answer, the one that is asked first the first."""
    return [FailingDestination(ServerName(row[0]), *row[1:]) for row in tx.all(FAILING)]


@dataclass(frozen=True, slots=True)
class ServerRule:
    """Servers whose names match a pattern are blocked, or allowed: then those that match none of these are not."""

    pattern: str
    is_blocked: bool
    written_ms: int


STORE_RULE = """
    INSERT INTO server_rules (pattern, is_blocked, written_ms) VALUES (:pattern, :is_blocked, :written_ms)
    ON CONFLICT (pattern) DO UPDATE SET is_blocked = excluded.is_blocked, written_ms = excluded.written_ms"""


def store_server_rule(tx: Transaction, rule: ServerRule) -> None:
    """Add a rule, in place of one with the same pattern."""
    tx.run(STORE_RULE, pattern=rule.pattern, is_blocked=rule.is_blocked, written_ms=rule.written_ms)


DELETE_RULE = "DELETE FROM server_rules WHERE pattern = :pattern"


def delete_server_rule(tx: Transaction, pattern: str) -> bool:
    """Take a rule away. False when there is none."""
    return tx.run(DELETE_RULE, pattern=pattern) > 0


RULES = "SELECT pattern, is_blocked, written_ms FROM server_rules ORDER BY pattern"


def server_rules(tx: Transaction) -> list[ServerRule]:
    """All rules, in the order of their patterns."""
    return [ServerRule(row[0], bool(row[1]), row[2]) for row in tx.all(RULES)]


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "failing_destinations",
        owners={Owner.DESTINATION: "destination"},
        retention=Retention.bounded("as many as services/federation/destinations.py remembers"),
    ),
    Table("server_rules", retention=Retention.bounded("as many as administrators make")),
)
