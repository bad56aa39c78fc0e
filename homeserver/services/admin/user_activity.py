"""How much users of this server invite others and enter rooms: what those do a lot who misuse it.

Times are those of the events themselves, which this server gave them.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, ServerName, UserID
from homeserver.services.accounts.local_accounts import local_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import EventNid, StoredEvent, events_by_id
from homeserver.storage.user_activity import acts_on_members, newest_member_events

EVENTS_PER_READ: Final = 500
LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Walk:
    """Member events to look at, each of another room, from the newest back to the one by which the user came in.

    `inside`: in that room a newer one, which came since, says that the user was in; `outside`: in that one it does not.
    """

    outside: set[EventID]
    inside: set[EventID]


class UserActivity:
    """Counts. Each method raises InvalidParameter for users of other servers, and NotFound."""

    def __init__(self, database: Database, server_name: ServerName, events_per_read: int = EVENTS_PER_READ) -> None:
        self._database = database
        self._server_name = server_name
        self._events_per_read = events_per_read

    async def invites_sent(self, user_id: UserID, since_ms: int) -> int:
        """How many invites a user has sent since a time."""
        await self._check(user_id)
        count, at_ms, nid = 0, _bounded(since_ms), EventNid(-1)
        while True:
            events = await self._database.read(
                acts_on_members, user_id, at_ms=at_ms, nid=nid, limit=self._events_per_read
            )
            count += sum(_is(one, "invite") for one in events)
            if len(events) < self._events_per_read:
                return count
            at_ms, nid = events[-1].event.origin_server_ts, events[-1].nid

    async def rooms_joined(self, user_id: UserID, since_ms: int) -> int:
        """How many rooms a user has entered since a time, whether they are still in them or not."""
        await self._check(user_id)
        since_ms = _bounded(since_ms)
        newest = await self._database.read(newest_member_events, user_id)
        entered, walk = 0, _Walk(set(newest), set())
        while walk.outside or walk.inside:
            found, walk = await self._database.read(_step_back, since_ms, walk)
            entered += found
        return entered

    async def _check(self, user_id: UserID) -> None:
        await self._database.read(local_account, user_id, self._server_name)


def _step_back(tx: Transaction, since_ms: int, walk: _Walk) -> tuple[int, _Walk]:
    """Go from member events to those before them: how many rooms turned out to be entered, and how to go on."""
    entered = 0
    before = _Walk(set(), set())
    events = events_by_id(tx, sorted({*walk.outside, *walk.inside}))
    for event_id in walk.outside:
        stored = events.get(event_id)
        if stored is None or stored.event.origin_server_ts < since_ms:
            continue
        if not _is(stored, "join"):
            _add(before.outside, stored)
        elif not _add(before.inside, stored):
            entered += 1
    for event_id in walk.inside:
        stored = events.get(event_id)
        if stored is None or not _is(stored, "join"):
            entered += 1  # they came in by the event after this one
            continue
        if stored.event.origin_server_ts >= since_ms and not _add(before.inside, stored):
            entered += 1
    return entered, before


def _add(before: set[EventID], stored: StoredEvent) -> bool:
    """Whether there is an event that this one took the place of; it is added then."""
    if stored.replaces_state is None:
        return False
    before.add(stored.replaces_state)
    return True


def _is(stored: StoredEvent, membership: str) -> bool:
    return bool(stored.event.content.get("membership") == membership)


def _bounded(since_ms: int) -> int:
    return max(-LARGEST, min(since_ms, LARGEST))
