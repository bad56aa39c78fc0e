"""Has lost and damaged events of a room given by other servers, and puts them back: a step of its repair.

What is lost is found in lost_events.py, who gives it is asked in services/federation/event_recovery.py, and where it
belongs is found in event_restoring.py. Each event is put back in a write of its own; what an event that is put back
names, and is lost too, is fetched next.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, TypeVar

from homeserver.core.event import Event
from homeserver.core.event_audit import Unsound
from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.admin.audit_reading import Pause
from homeserver.services.admin.event_restoring import EventRestoring
from homeserver.services.admin.lost_events import MOST_LOST, Lost, LostEvents
from homeserver.services.admin.room_audit import KnownKeys
from homeserver.services.federation.event_fetching import in_order
from homeserver.services.federation.event_recovery import EventRecovery, Recovered
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.graph_audit import gaps_of
from homeserver.storage.lost_events import events_here

P = ParamSpec("P")
T = TypeVar("T")
NOBODY: Final = "there is no other server in the room"


@dataclass(slots=True)
class Told:
    """In sentences, what was done, and what could not be done and why."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    has_changed: bool = False


class _TakenBack(Exception):  # noqa: N818 - nothing is wrong
    """Nothing of a dry run is written."""


class RoomRestoring:
    """Restores events of rooms."""

    def __init__(
        self,
        database: Database,
        keys: KnownKeys,
        recovery: EventRecovery,
        replaced: Callable[[StoredEvent], None],
    ) -> None:
        """`replaced` is called with each event that is stored otherwise than before."""
        self._database = database
        self._keys = keys
        self._recovery = recovery
        self._replaced = replaced

    async def restore(self, room_id: RoomID, *, dry_run: bool) -> Told:
        """Put back what is lost or damaged, as far as others have it. Raises NotFound."""
        told = Told()
        search = LostEvents(room_id, self._keys)
        try:
            while await self._database.read(search.go_on):
                pass
        except Unsound as unsound:
            told.left.append(f"Lost events could not be looked for: {unsound.reason}")
            return told
        lost = search.found
        if not lost.wanted:
            return told
        restoring = EventRestoring(room_id, self._keys, lost)
        recovered = await self._recover(restoring, room_id, lost, told)
        if dry_run:
            await self._try(restoring, recovered, lost, told)
        else:
            await self._put_back(restoring, recovered, lost, told)
        return told

    # --- Asking ---

    async def _recover(
        self, restoring: EventRestoring, room_id: RoomID, lost: Lost, told: Told
    ) -> dict[EventID, Recovered]:
        """What others give, and what that names, too, if it is lost."""
        budget, wanted = self._recovery.budget(), lost.wanted
        recovered: dict[EventID, Recovered] = {}
        asked: set[EventID] = set()
        while wanted and len(asked) < MOST_LOST:
            event_id = wanted.pop(0)
            if event_id in asked:
                continue
            asked.add(event_id)
            came = await self._own(restoring, event_id) if event_id in lost.damaged else None
            if came is None:
                came = await self._recovery.recover(room_id, event_id, lost.hashes_of(event_id), budget)
            if came.received is None:
                why = "; ".join(came.refusals) or NOBODY
                told.left.append(f"{_what(lost, event_id)}, and no server gave it: {why}")
                continue
            recovered[event_id] = came
            wanted += await self._database.read(_lost_with, came.received.encoded.event, lost)
        return recovered

    async def _own(self, restoring: EventRestoring, event_id: EventID) -> Recovered | None:
        """What the bytes of a damaged row are, if they are sound: then nobody has to be asked."""
        try:
            received = await self._database.read(restoring.sound_content, event_id)
        except Unsound:
            return None
        return Recovered(event_id, received, None, ())

    # --- Putting back ---

    async def _put_back(
        self, restoring: EventRestoring, recovered: dict[EventID, Recovered], lost: Lost, told: Told
    ) -> None:
        for one in _in_order(recovered):
            try:
                stored = await self._write(_restored, restoring, one)
            except Unsound as unsound:
                told.left.append(_refused(lost, one, unsound))
                continue
            self._note(told, stored)
            told.done.append(_told(lost, one, "was put back"))

    async def _try(
        self, restoring: EventRestoring, recovered: dict[EventID, Recovered], lost: Lost, told: Told
    ) -> None:
        """All at once, for one may need another; and nothing of it stays."""

        def tried(tx: Transaction) -> None:
            tried_told.done.clear()
            tried_told.left.clear()
            for one in _in_order(recovered):
                try:
                    _restored(tx, restoring, one)
                except Unsound as unsound:
                    tried_told.left.append(_refused(lost, one, unsound))
                else:
                    tried_told.done.append(_told(lost, one, "would be put back"))
            raise _TakenBack

        tried_told = Told()
        try:
            await self._write(tried)
        except _TakenBack:
            told.done += tried_told.done
            told.left += tried_told.left

    async def _write(self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One write, tried again where it has read enough for one: the next time that is known."""
        while True:
            try:
                return await self._database.write(function, *args, **kwargs)
            except Pause:
                continue

    def _note(self, told: Told, stored: StoredEvent) -> None:
        told.has_changed = True
        self._replaced(stored)


def _restored(tx: Transaction, restoring: EventRestoring, one: Recovered) -> StoredEvent:
    if one.received is None:
        raise Unsound("nobody gave it")
    return restoring.restore(tx, one.received, one.server)


def _lost_with(tx: Transaction, event: Event, lost: Lost) -> list[EventID]:
    """What a lost event names, and is lost too: what is built on that is noted."""
    lacked = gaps_of(tx, event.room_id, [event.event_id]).get(event.event_id, set())
    named = dict.fromkeys((*event.prev_event_ids, *event.auth_event_ids))
    here = events_here(tx, named.keys())
    for other in event.prev_event_ids:
        followers = lost.followers.setdefault(other, [])
        if event.event_id not in followers:
            followers.append(event.event_id)
    return [other for other in named if other not in here and other not in lacked]


def _in_order(recovered: dict[EventID, Recovered]) -> list[Recovered]:
    """What others are built on, or authorised by, comes first."""
    received = {event_id: one.received for event_id, one in recovered.items() if one.received is not None}
    ordered = in_order(received, lambda event: (*event.prev_event_ids, *event.auth_event_ids))
    return [recovered[one.encoded.event.event_id] for one in ordered]


def _what(lost: Lost, event_id: EventID) -> str:
    reason = lost.damaged.get(event_id)
    return f"{event_id} is lost" if reason is None else f"{event_id} is damaged ({reason})"


def _told(lost: Lost, one: Recovered, done: str) -> str:
    event_id = one.event_id
    told = f"{_what(lost, event_id)}, and {done} {_as_who(one)}"
    return told if one.is_whole or one.server is None else f"{told}: redacted, for nobody has more of it"


def _refused(lost: Lost, one: Recovered, unsound: Unsound) -> str:
    return f"{_what(lost, one.event_id)}; it could not be put back {_as_who(one)}: {unsound.reason}"


def _as_who(one: Recovered) -> str:
    return "by its own bytes" if one.server is None else f"as {one.server} gave it"
