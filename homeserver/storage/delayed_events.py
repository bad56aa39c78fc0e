"""Events that are to be sent later, and what became of those whose time has come. MSC4140"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

FINALISED_KEPT_MS: Final = 7 * 24 * 3600 * 1000


class Outcome(Enum):
    """What became of a delayed event."""

    SENT = "send"
    CANCELLED = "cancel"  # by its user
    FAILED = "error"


class Reason(Enum):
    """Why it did."""

    ACTION = "action"  # somebody asked for it
    DELAY = "delay"  # its time had come


@dataclass(frozen=True, slots=True)
class Finalised:
    """The end of a delayed event. `error` is what a client would have been answered."""

    at_ms: int
    outcome: Outcome
    reason: Reason
    event_id: EventID | None = None
    error: Mapping[str, Any] | None = None  # Any: JSON


@dataclass(frozen=True, slots=True)
class Delayed:
    """When an event is to be sent, or was; without what is in it."""

    delay_id: str
    user_id: UserID
    room_id: RoomID
    type: str
    state_key: str | None
    delay_ms: int
    running_since_ms: int
    finalised: Finalised | None = None

    @property
    def send_ms(self) -> int:
        """When it is to be sent."""
        return self.running_since_ms + self.delay_ms


SELECT: Final = """
    SELECT delay_id, user_id, room_id, type, state_key, delay_ms, running_since_ms, finalised_ms, outcome, reason,
           event_id, error
      FROM delayed_events"""
INSERT = """
    INSERT INTO delayed_events (delay_id, user_id, room_id, type, state_key, content, delay_ms, running_since_ms,
                                send_ms)
    VALUES (:delay_id, :user_id, :room_id, :type, :state_key, :content, :delay_ms, :running_since_ms, :send_ms)"""


def insert_delayed_event(tx: Transaction, delayed: Delayed, content: bytes) -> None:
    """Keep an event until it is to be sent. `content` is JSON."""
    tx.run(
        INSERT,
        delay_id=delayed.delay_id,
        user_id=delayed.user_id,
        room_id=delayed.room_id,
        type=delayed.type,
        state_key=delayed.state_key,
        content=content,
        delay_ms=delayed.delay_ms,
        running_since_ms=delayed.running_since_ms,
        send_ms=delayed.send_ms,
    )


FIND = SELECT + " WHERE delay_id = :delay_id"


def find_delayed_event(tx: Transaction, delay_id: str) -> Delayed | None:
    """The delayed event of this ID, whoever's it is."""
    row = tx.one(FIND, delay_id=delay_id)
    return None if row is None else _delayed(row)


OF_USER = SELECT + " WHERE user_id = :user_id"


def delayed_events_of_user(tx: Transaction, user_id: UserID) -> list[Delayed]:
    """All of a user's, in no order."""
    return [_delayed(row) for row in tx.all(OF_USER, user_id=user_id)]


CONTENTS = "SELECT delay_id, content FROM delayed_events WHERE delay_id IN :delay_ids[text]"


def delayed_contents(tx: Transaction, delay_ids: Sequence[str]) -> dict[str, bytes]:
    """What is in delayed events, as JSON, by their IDs."""
    if not delay_ids:
        return {}
    return {row[0]: bytes(row[1]) for row in tx.all(CONTENTS, delay_ids=list(delay_ids))}


DUE = """
    SELECT delay_id FROM delayed_events WHERE finalised_ms IS NULL AND send_ms <= :now_ms
     ORDER BY send_ms LIMIT :limit"""


def due_events(tx: Transaction, *, now_ms: int, limit: int) -> list[str]:
    """The IDs of events whose time has come, the one that waits longest first."""
    return [row[0] for row in tx.all(DUE, now_ms=now_ms, limit=limit)]


NEXT = "SELECT MIN(send_ms) FROM delayed_events WHERE finalised_ms IS NULL"


def next_due_ms(tx: Transaction) -> int | None:
    """When the next event is to be sent."""
    row = tx.one(NEXT)
    return None if row is None or row[0] is None else int(row[0])


SCHEDULED = "SELECT COUNT(*), MIN(send_ms) FROM delayed_events WHERE user_id = :user_id AND finalised_ms IS NULL"


def count_scheduled(tx: Transaction, user_id: UserID) -> tuple[int, int | None]:
    """How many of a user's events wait, and when the first of them is to be sent."""
    row = tx.one(SCHEDULED, user_id=user_id)
    return (0, None) if row is None else (int(row[0]), row[1])


RESTART = """
    UPDATE delayed_events SET running_since_ms = :now_ms, send_ms = :now_ms + delay_ms
     WHERE delay_id = :delay_id AND finalised_ms IS NULL"""


def restart_delayed_event(tx: Transaction, delay_id: str, *, now_ms: int) -> None:
    """Let the delay begin again."""
    tx.run(RESTART, delay_id=delay_id, now_ms=now_ms)


FINALISE = """
    UPDATE delayed_events SET finalised_ms = :at_ms, outcome = :outcome, reason = :reason, event_id = :event_id,
                              error = :error
     WHERE delay_id = :delay_id AND finalised_ms IS NULL"""


def finalise_delayed_event(tx: Transaction, delay_id: str, finalised: Finalised) -> None:
    """Say what became of an event."""
    tx.run(
        FINALISE,
        delay_id=delay_id,
        at_ms=finalised.at_ms,
        outcome=finalised.outcome.value,
        reason=finalised.reason.value,
        event_id=finalised.event_id,
        error=None if finalised.error is None else orjson.dumps(finalised.error),
    )


FORGET = """
    DELETE FROM delayed_events WHERE delay_id IN (
        SELECT delay_id FROM delayed_events WHERE user_id = :user_id AND finalised_ms IS NOT NULL
         ORDER BY finalised_ms DESC, delay_id LIMIT 1000000 OFFSET :kept)"""


def forget_finalised(tx: Transaction, user_id: UserID, *, kept: int) -> None:
    """Keep of what became of a user's events only the latest."""
    tx.run(FORGET, user_id=user_id, kept=kept)


SWEEP = """
    DELETE FROM delayed_events WHERE delay_id IN (
        SELECT delay_id FROM delayed_events WHERE finalised_ms < :before_ms LIMIT :limit)"""


def sweep(tx: Transaction, now_ms: int, limit: int) -> int:
    """Delete what became of events a week ago."""
    return tx.run(SWEEP, before_ms=now_ms - FINALISED_KEPT_MS, limit=limit)


def _delayed(row: tuple[Any, ...]) -> Delayed:  # Any: a row
    finalised = None
    if row[7] is not None:
        event_id = None if row[10] is None else EventID(row[10])
        error = None if row[11] is None else orjson.loads(bytes(row[11]))
        finalised = Finalised(row[7], Outcome(row[8]), Reason(row[9]), event_id, error)
    return Delayed(row[0], UserID(row[1]), RoomID(row[2]), row[3], row[4], row[5], row[6], finalised)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "delayed_events",
        owners={Owner.USER: "user_id", Owner.ROOM: "room_id"},
        retention=Retention.expires(sweep),
    ),
)
