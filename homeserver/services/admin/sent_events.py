"""Finding and redacting what users said in a room, within a time: in steps of bounded length, the newest first.

That is messages, and whatever else is no state; if it is wanted also state that says something, and the users' own
memberships (their names and pictures). Redactions stay. The time is the one that the senders' servers gave: who lies
about it is found without one. By one user in all rooms: user_redactions.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.slices import slices
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.user_patterns import StepBounds, Users
from homeserver.services.errors import InvalidParameter, ServiceError
from homeserver.services.rooms.known_rooms import known_head
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.database import Database, Transaction
from homeserver.storage.sent_events import LATEST, TimePoint, sent_in_room

BOUNDS: Final = StepBounds(rows_per_read=2_000)

_TOKEN: Final = re.compile(r"(-?[0-9]{1,19})_([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Said:
    """Whose events in which room, and between which times, each of them included."""

    room_id: RoomID
    users: Users
    since_ms: int | None = None
    until_ms: int | None = None
    with_state: bool = False


@dataclass(frozen=True, slots=True)
class SentEvent:
    """An event that was found."""

    event_id: EventID
    sender: UserID
    type: str
    origin_server_ts: int


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """A step of looking: what was found, and where to go on; None at the end."""

    found: Sequence[SentEvent]
    next: str | None


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """An event that could not be redacted, and why."""

    event_id: EventID
    reason: str


@dataclass(frozen=True, slots=True)
class RedactedEvents:
    """A step of doing it."""

    done: Sequence[SentEvent]
    failed: Sequence[KeptEvent]
    next: str | None


class SentEvents:
    """Finds what users said, and redacts it."""

    def __init__(self, database: Database, moderation: RoomModeration, bounds: StepBounds = BOUNDS) -> None:
        self._database = database
        self._moderation = moderation
        self._bounds = bounds

    async def find(self, said: Said, begin: str | None, most: int | None = None) -> FoundEvents:
        """What would be redacted: a step, from the beginning or from the end of the one before; `most` ends it sooner.

        Raises InvalidParameter, NotFound.
        """
        begins = _first(said.until_ms) if begin is None else _position(begin)
        most = self._bounds.most_found if most is None else min(most, self._bounds.most_found)
        found: list[SentEvent] = []
        for _ in range(self._bounds.most_reads):
            some, rest = await self._database.read(self._some, said, begins, most - len(found))
            found += some
            if rest is None:
                return FoundEvents(found, None)
            begins = rest
            if len(found) >= most:
                break
        return FoundEvents(found, f"{begins.origin_server_ts}_{begins.nid}")

    async def redact(
        self, said: Said, reason: str | None, begin: str | None, most: int | None = None
    ) -> RedactedEvents:
        """Redact it: a step. Raises as `find` does."""
        check_reason(reason)
        sent = await self.find(said, begin, most)
        done: list[SentEvent] = []
        failed: list[KeptEvent] = []
        for some in slices(sent.found, self._bounds.per_write):
            event_ids = [one.event_id for one in some]
            try:
                refused = await self._moderation.redact_some(said.room_id, event_ids, reason)
            except (ServiceError, ProtocolError) as refusal:
                refused = dict.fromkeys(event_ids, refusal.reason)
            done += [one for one in some if one.event_id not in refused]
            failed += [KeptEvent(event_id, why) for event_id, why in refused.items()]
        return RedactedEvents(done, failed, sent.next)

    def _some(
        self, tx: Transaction, said: Said, begins: TimePoint, limit: int
    ) -> tuple[Sequence[SentEvent], TimePoint | None]:
        """Some of what is looked for, and where to go on; None at the end."""
        known_head(tx, said.room_id)
        per_read = self._bounds.rows_per_read
        rows = sent_in_room(tx, said.room_id, begins=begins, since_ms=said.since_ms, limit=per_read)
        found: list[SentEvent] = []
        for row in rows:
            if len(found) == limit:
                return found, row.point
            if row.can_be_redacted and (said.with_state or not row.is_state) and said.users.include(row.sender):
                found.append(SentEvent(row.event_id, row.sender, row.type, row.point.origin_server_ts))
        return found, rows[-1].point.before if len(rows) == per_read else None


def _first(until_ms: int | None) -> TimePoint:
    return LATEST if until_ms is None else TimePoint(until_ms, LATEST.nid)


def _position(token: str) -> TimePoint:
    numbers = _TOKEN.fullmatch(token)
    if numbers is None or not -LATEST.nid <= int(numbers[1]) <= LATEST.nid or int(numbers[2]) > LATEST.nid:
        raise InvalidParameter("This is not where a step ended")
    return TimePoint(int(numbers[1]), int(numbers[2]))
