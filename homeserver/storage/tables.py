"""What every table declares of itself: who owns its rows, and how it shrinks.

The tables themselves are declared beside their SQL, in the file of their family; the list of all families is in
storage/schema.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from homeserver.storage.database import Transaction

Sweep = Callable[[Transaction, int, int], int]
"""`sweep(tx, now_ms, limit)` deletes at most `limit` rows that have outlived their use; it returns how many."""


class Owner(Enum):
    """Whose rows a table holds: what goes when the owner goes."""

    ROOM = "room"  # deleted by a purge of the room
    USER = "user"  # deleted by the erasure of the user, and part of the user's export
    DEVICE = "device"  # deleted with the device; always beside USER, device IDs being unique per user only
    DESTINATION = "destination"  # deleted when a remote server is forgotten
    SERVER = "server"  # this server's own: stays


@dataclass(frozen=True, slots=True)
class Retention:
    """How the rows of a table go: their number is bounded by something, or they expire."""

    bound: str | None  # "one per device", for a reader of the schema
    sweep: Sweep | None

    @staticmethod
    def bounded(bound: str) -> "Retention":
        """Rows are as many as what they belong to, and go with it."""
        return Retention(bound, None)

    @staticmethod
    def expires(sweep: Sweep) -> "Retention":
        """Rows outlive their use, and `sweep` deletes those that have."""
        return Retention(None, sweep)


SERVER_OWNED: Final[Mapping[Owner, str]] = {Owner.SERVER: ""}


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its name, the column by which each of its owners finds its rows, and how rows go."""

    name: str
    owners: Mapping[Owner, str] = field(default_factory=lambda: SERVER_OWNED)
    retention: Retention = field(kw_only=True)
