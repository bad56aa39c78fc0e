"""What something costs: transactions of the database, and times that an answer crosses from a thread to the reactor.

A time depends on the machine and on what else it does; a count does not. So counts are what the tests here hold.
"""

from collections.abc import Callable
from dataclasses import dataclass

from homeserver.storage.database import DatabaseCounts


@dataclass(frozen=True, slots=True)
class Cost:
    """So many writes, in so many batches, so many reads, and so many crossings from a thread to the reactor."""

    writes: int = 0
    reads: int = 0
    batches: int = 0
    hops: int = 0


NOTHING = Cost()
ONE_WRITE = Cost(writes=1, batches=1, hops=1)
ONE_READ = Cost(reads=1, hops=1)


def cost_of(counts: DatabaseCounts, action: Callable[[], object]) -> Cost:
    """What the database counted while the action ran."""
    before = _copy(counts)
    action()
    after = _copy(counts)
    return Cost(
        after.writes - before.writes,
        after.reads - before.reads,
        after.batches - before.batches,
        after.hops - before.hops,
    )


def _copy(counts: DatabaseCounts) -> Cost:
    return Cost(counts.writes, counts.reads, counts.batches, counts.hops)
