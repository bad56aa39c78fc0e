"""Whether this database is the one that ran last, or was put back to an older state of itself.

A database cannot know that alone: it is compared with files that stand outside of it (runtime/continuity_files.py), by
services/sync/lost_time.py. When it was put back, one-time keys of before count as handed out (device_keys.py).
"""

from dataclasses import dataclass
from typing import Final

from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table


@dataclass(frozen=True, slots=True)
class Continuity:
    """What a database knows of the run before: None for one that never ran; and how far its log has come."""

    mark: str | None
    position: int


FIND = "SELECT mark FROM continuity"


def find_continuity(tx: Transaction) -> Continuity:
    """What is to be compared with what stands outside."""
    row = tx.one(FIND)
    return Continuity(None if row is None else row[0], tx.log_position)


SET_MARK = "UPDATE continuity SET mark = :mark"


def set_mark(tx: Transaction, mark: str) -> None:
    """Note what stands outside from now on."""
    tx.run(SET_MARK, mark=mark)


# No file outside has such a mark (runtime/continuity_files.py): the next start finds that the database is another one.
PUT_BACK: Final = "UPDATE continuity SET mark = 'put back'"

BREAK = """
    UPDATE continuity SET
        broken_ms = :now_ms, keys_upto = (SELECT COALESCE(MAX(number), keys_upto) FROM one_time_keys)"""


def break_continuity(tx: Transaction, *, now_ms: int) -> None:
    """This database has forgotten what it did: what can be done but once must not be done again.

    So none of the one-time keys that are here is handed out, however many they are: no row of them is written.
    """
    tx.run(BREAK, now_ms=now_ms)


TABLES: Final = (Table("continuity", retention=Retention.bounded("one row")),)
