"""Leaps of the change log: positions that were left out, lest they are given a second time.

A database that was put back to a backup does not know which positions were given since. Positions leave it, as sync
tokens and as the IDs of device list updates, and whoever holds one takes it for what it was. So at each start the log
leaps to the present, in milliseconds, which no position has reached that was given before.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table


@dataclass(frozen=True, slots=True)
class Leap:
    """The positions after `after` and before `upto` were left out."""

    after: int
    upto: int

    def holds(self, position: int) -> bool:
        """Whether a position was left out."""
        return self.after < position < self.upto


# The row is locked until the commit: nobody gives a position meanwhile.
LOCK = "UPDATE log_position SET value = value RETURNING value"
MOVE = "UPDATE log_position SET value = :value"
MERGE = "DELETE FROM log_leaps WHERE upto_position = :after RETURNING after_position"
INSERT = "INSERT INTO log_leaps (upto_position, after_position) VALUES (:upto, :after)"


def leap(tx: Transaction, *, now_ms: int) -> None:
    """Go on at the present, unless the log is there already, as when the clock was put back."""
    row = tx.one(LOCK)
    after = 0 if row is None else row[0]
    if now_ms - 1 > after:
        tx.run(MOVE, value=now_ms - 1)
        tx.at_position(("log_leaps",), partial(_note_leap, after=after))


def _note_leap(tx: Transaction, position: int, *, after: int) -> None:
    row = tx.one(MERGE, after=after)  # since that leap nothing was written
    tx.run(INSERT, upto=position, after=after if row is None else row[0])


ALL = "SELECT after_position, upto_position FROM log_leaps ORDER BY upto_position"


def leaps(tx: Transaction) -> list[Leap]:
    """All leaps, the oldest first."""
    return [Leap(row[0], row[1]) for row in tx.all(ALL)]


IS_LEFT_OUT = "SELECT 1 FROM log_leaps WHERE after_position < :position AND upto_position > :position"


def is_left_out(tx: Transaction, position: int) -> bool:
    """Whether a position was never given, as far as this database remembers."""
    return tx.one(IS_LEFT_OUT, position=position) is not None


SWEEP = """
    DELETE FROM log_leaps WHERE upto_position IN (
        SELECT upto_position FROM log_leaps WHERE upto_position <= (SELECT log_position FROM sync_horizon)
         LIMIT :limit)"""


def sweep_leaps(tx: Transaction, now_ms: int, limit: int) -> int:  # noqa: ARG001 - the horizon says when
    """Forget leaps of so long ago that a sync cannot go on from there in any case."""
    return tx.run(SWEEP, limit=limit)


TABLES: Final = (Table("log_leaps", retention=Retention.expires(sweep_leaps)),)
