"""How much other servers may ask and send, where an administrator wants it other than for all."""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ServerLimit:
    """A limit of one server, by the name that it has in the configuration."""

    server: ServerName
    name: str
    rate_hz: float
    burst: int
    written_ms: int


STORE = """
    INSERT INTO server_limits (server, name, rate_microhertz, burst, written_ms)
    VALUES (:server, :name, :rate_microhertz, :burst, :written_ms)
    ON CONFLICT (server, name) DO UPDATE SET
        rate_microhertz = excluded.rate_microhertz, burst = excluded.burst, written_ms = excluded.written_ms"""


def store_server_limit(tx: Transaction, limit: ServerLimit) -> None:
    """Set a limit, in place of one of the same server and name."""
    tx.run(
        STORE,
        server=limit.server,
        name=limit.name,
        rate_microhertz=round(limit.rate_hz * MICRO),
        burst=limit.burst,
        written_ms=limit.written_ms,
    )


DELETE = "DELETE FROM server_limits WHERE server = :server AND name = :name"


def delete_server_limit(tx: Transaction, server: ServerName, name: str) -> bool:
    """Have the limit for all count for the server again. False when it did."""
    return tx.run(DELETE, server=server, name=name) > 0


ALL = "SELECT server, name, rate_microhertz, burst, written_ms FROM server_limits ORDER BY server, name"


def server_limits(tx: Transaction) -> list[ServerLimit]:
    """All of them, in the order of the servers' names."""
    return [ServerLimit(ServerName(row[0]), row[1], row[2] / MICRO, row[3], row[4]) for row in tx.all(ALL)]


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "server_limits",
        owners={Owner.DESTINATION: "server"},
        retention=Retention.bounded("as many as administrators set"),
    ),
)
