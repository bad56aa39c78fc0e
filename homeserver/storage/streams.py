"""Positions of the change log: how far a reader may read, and in which slices.

A position is given in a write by Transaction.at_position, and is visible once its transaction and all lower ones are
committed. What is written at a position is in the files of the families.
"""

from dataclasses import dataclass
from typing import NewType

from homeserver.storage.database import Transaction

LogPosition = NewType("LogPosition", int)
"""A place in the one change log: 0 is before the first change. What lies between two is there, or was left out."""

EventNid = NewType("EventNid", int)
"""The local number of an event: an identity, never given twice, and no order."""


@dataclass(frozen=True, slots=True)
class Span:
    """The positions after `after`, up to and with `upto`."""

    after: LogPosition
    upto: LogPosition

    @property
    def is_empty(self) -> bool:
        """Whether no position is in it."""
        return self.upto <= self.after


def visible_position(tx: Transaction) -> LogPosition:
    """The highest position that this transaction sees; it sees every lower one too."""
    return LogPosition(tx.log_position)


def span_since(tx: Transaction, after: LogPosition) -> Span:
    """What this transaction sees after `after`.

    A position from the future, which a token of another database can bring, gives an empty span at what is visible.
    """
    upto = visible_position(tx)
    return Span(min(after, upto), upto)
