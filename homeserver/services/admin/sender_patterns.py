"""Redacting what users said in a room, by a pattern over their IDs and within a time, in steps of bounded length.

Messages are redacted, and whatever else is no state; redactions stay. The time is the one that the senders' servers
gave: who lies about it is found without one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.slices import slices
from homeserver.services.admin.local_powers import NO_ROOM
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.user_patterns import StepBounds, Users
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.database import Database, Transaction
from homeserver.storage.event_times import TimePoint, events_between
from homeserver.storage.rooms import find_head

BOUNDS: Final = StepBounds(rows_per_read=2_000)
LARGEST: Final = 2**63 - 1
REDACTION: Final = "m.room.redaction"

_TOKEN: Final = re.compile(r"(-?[0-9]{1,18})_([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Said:
    """Whose events in which room, and between which times, each of them included."""

    room_id: RoomID
    users: Users
    since_ms: int | None
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event that was found."""

    event_id: EventID
    sender: UserID
    type: str
    origin_server_ts: int


@dataclass(frozen=True, slots=True)
class SentEvents:
    """A step of looking: what was found, and where to go on; None at the end."""

    found: Sequence[SentEvent]
    next: str | None


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event that could not be redacted, and why."""

    event_id: EventID
    reason: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """A step of doing it."""

    done: Sequence[SentEvent]
    failed: Sequence[KeptEvent]
    next: str | None


class SenderPatterns:
    """Finds what users said, and redacts it."""

    def __init__(self, database: Database, moderation: RoomModeration, bounds: StepBounds = BOUNDS) -> None:
        self._database = database
        self._moderation = moderation
        self._bounds = bounds

    async def find(self, said: Said, begin: str | None) -> SentEvents:
        """What would be redacted: a step, from the beginning or from the end of the one before.

        Raises InvalidParameter, NotFound.
        """
        since_ms = -LARGEST if said.since_ms is None else said.since_ms
        begins = TimePoint(since_ms, 0) if begin is None else _position(begin)
        found: list[SentEvent] = []
        for _ in range(self._bounds.most_reads):
            some, rest = await self._database.read(self._some, said, begins, self._bounds.most_found - len(found))
            found += some
            if rest is None:
                return SentEvents(found, None)
            begins = rest
            if len(found) >= self._bounds.most_found:
                break
        return SentEvents(found, f"{begins.origin_server_ts}_{begins.nid}")

    async def redact(self, said: Said, reason: str | None, begin: str | None) -> Redacted:
        """Redact it: a step. Raises as `find` does."""
        check_reason(reason)
        sent = await self.find(said, begin)
        done: list[SentEvent] = []
        failed: list[KeptEvent] = []
        for some in slices(sent.found, self._bounds.per_write):
            ids = [one.event_id for one in some]
            refused = await self._moderation.redact_some(said.room_id, ids, reason)
            done += [one for one in some if one.event_id not in refused]
            failed += [KeptEvent(event_id, why) for event_id, why in refused.items()]
        return Redacted(done, failed, sent.next)

    def _some(
        self, tx: Transaction, said: Said, begins: TimePoint, limit: int
    ) -> tuple[Sequence[SentEvent], TimePoint | None]:
        """Some of what is looked for, and where to go on; None at the end."""
        if find_head(tx, said.room_id) is None:
            raise NotFound(NO_ROOM)
        until_ms = LARGEST if said.until_ms is None else said.until_ms
        rows = events_between(tx, said.room_id, begins=begins, until_ms=until_ms, limit=self._bounds.rows_per_read)
        found: list[SentEvent] = []
        for row in rows:
            if len(found) == limit:
                return found, begins
            begins = TimePoint(row.origin_server_ts, row.nid + 1)
            if not row.is_state and not row.is_redacted and row.type != REDACTION and said.users.include(row.sender):
                found.append(SentEvent(row.event_id, row.sender, row.type, row.origin_server_ts))
        return found, begins if len(rows) == self._bounds.rows_per_read else None


def _position(token: str) -> TimePoint:
    numbers = _TOKEN.fullmatch(token)
    if numbers is None:
        raise InvalidParameter("This is not where a step ended")
    return TimePoint(int(numbers[1]), int(numbers[2]))
