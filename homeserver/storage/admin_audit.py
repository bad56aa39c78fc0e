"""What administrators did: rows that are added and never changed, which triggers of the database see to as well.

An act is written down before it is done, and its end in another row after it. Positions have no gaps, so that it shows
if somebody takes rows away with force. What is written of it, and who reads it,
is in services/admin/admin_audit.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody set out to do. `details` is a JSON object, without anything that is secret."""

    actor: str
    act: str
    target: str | None
    details: str


@dataclass(frozen=True, slots=True)
class End:
    """How an act ended: the status of its answer, and its errcode where it was refused or failed."""

    status: int
    errcode: str | None


@dataclass(frozen=True, slots=True)
class NotedAct:
    """An act with when it began; `end` and `ended_ms` are None while it goes on, or when the server ended before it."""

    position: int
    at_ms: int
    act: Act
    end: End | None
    ended_ms: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which acts: those of one actor, on one target, of one kind, not before and not after a time. None: of all."""

    actor: str | None = None
    target: str | None = None
    act: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


LAST_POSITION = "SELECT COALESCE(MAX(position), 0) FROM admin_audit"
INSERT = """
    INSERT INTO admin_audit (position, began, at_ms, actor, act, target, details, status, errcode)
    VALUES (:position, :began, :at_ms, :actor, :act, :target, :details, :status, :errcode)"""


def insert_act(tx: Transaction, act: Act, *, at_ms: int) -> int:
    """Write down that an act begins; its position."""
    return _insert(tx, act, at_ms=at_ms, began=None, end=None)


def insert_end(tx: Transaction, began: int, act: Act, end: End, *, at_ms: int) -> None:
    """Write down how the act at the position `began` ended. Once: the database refuses another end."""
    _insert(tx, act, at_ms=at_ms, began=began, end=end)


def _insert(tx: Transaction, act: Act, *, at_ms: int, began: int | None, end: End | None) -> int:
    position: int = tx.all(LAST_POSITION)[0][0] + 1
    tx.run(
        INSERT,
        position=position,
        began=began,
        at_ms=at_ms,
        actor=act.actor,
        act=act.act,
        target=act.target,
        details=act.details if began is None else "{}",
        status=None if end is None else end.status,
        errcode=None if end is None else end.errcode,
    )
    return position


NEWEST = """
    SELECT a.position, a.at_ms, a.actor, a.act, a.target, a.details, e.status, e.errcode, e.at_ms
      FROM admin_audit a LEFT JOIN admin_audit e ON e.began = a.position
     WHERE a.began IS NULL AND a.position < :before
       AND (:of_any_actor OR a.actor = :actor) AND (:of_any_target OR a.target = :target)
       AND (:of_any_kind OR a.act = :act) AND a.at_ms >= :since_ms AND a.at_ms <= :until_ms
     ORDER BY a.position DESC LIMIT :limit"""
ALWAYS: Final = 2**62


def newest_acts(tx: Transaction, wanted: Wanted, *, before: int | None, limit: int) -> Sequence[NotedAct]:
    """Acts, the newest first, from the newest of all or from the one below the position `before`."""
    rows = tx.all(
        NEWEST,
        before=ALWAYS if before is None else before,
        of_any_actor=wanted.actor is None,
        actor=wanted.actor or "",
        of_any_target=wanted.target is None,
        target=wanted.target or "",
        of_any_kind=wanted.act is None,
        act=wanted.act or "",
        since_ms=0 if wanted.since_ms is None else wanted.since_ms,
        until_ms=ALWAYS if wanted.until_ms is None else wanted.until_ms,
        limit=limit,
    )
    return [_noted(row) for row in rows]


def _noted(row: tuple[Any, ...]) -> NotedAct:  # Any: a row
    end = None if row[6] is None else End(row[6], row[7])
    return NotedAct(row[0], row[1], Act(row[2], row[3], row[4], row[5]), end, row[8])


TABLES: Final[tuple[Table, ...]] = (
    Table("admin_audit", retention=Retention.bounded("two rows per act of an administrator, kept for good")),
)
