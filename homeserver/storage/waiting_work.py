"""How much waits to be done, in all tables that are queues, and how far the readers of the change log are.

For administrators: each number is counted up to a bound, so that looking costs little when much waits.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.storage.database import Transaction

MOST_COUNTED: Final = 10_000

NAMES: Final = (
    "events_to_judge",
    "events_that_lack_others",
    "rooms_not_whole",
    "servers_behind",
    "messages_for_devices_elsewhere",
    "messages_for_devices_here",
    "delayed_events",
    "jobs",
    "rooms_with_states_to_collect",
)
LENGTHS = """
    SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM staged_pdus LIMIT :most) q),
           (SELECT COUNT(*) FROM (SELECT 1 FROM waiting_events LIMIT :most) q),
           (SELECT COUNT(*) FROM (SELECT 1 FROM partial_rooms LIMIT :most) q),
           (SELECT COUNT(*) FROM (
                SELECT 1 FROM outboxes WHERE is_behind OR transaction_id IS NOT NULL LIMIT :most) q),
           (SELECT COUNT(*) FROM (SELECT 1 FROM to_device_outbox LIMIT :most) q),
           (SELECT COUNT(*) FROM (SELECT 1 FROM to_device_messages LIMIT :most) q),
           (SELECT COUNT(*) FROM (SELECT 1 FROM delayed_events WHERE finalised_ms IS NULL LIMIT :most) q),
           (SELECT COUNT(*) FROM (
                SELECT 1 FROM admin_jobs WHERE status IN ('scheduled', 'active') LIMIT :most) q),
           (SELECT COUNT(*) FROM (SELECT 1 FROM collectable_rooms LIMIT :most) q)"""


def queue_lengths(tx: Transaction, most: int = MOST_COUNTED) -> dict[str, int]:
    """How much waits in each queue; `most` stands for as much or more."""
    return dict(zip(NAMES, map(int, tx.all(LENGTHS, most=most)[0]), strict=True))


@dataclass(frozen=True, slots=True)
class LogReaders:
    """How far the change log is, and up to where it was looked through for what is for other servers."""

    log: int
    federation: int
    still_to_index: int  # events with smaller numbers cannot be searched yet; 0 or 1 when all can be


POSITIONS = "SELECT (SELECT log_position FROM outgoing_position), (SELECT below_nid FROM search_progress)"


def log_readers(tx: Transaction) -> LogReaders:
    """Where they are."""
    outgoing, below = tx.all(POSITIONS)[0]
    return LogReaders(tx.log_position, outgoing or 0, below or 0)
