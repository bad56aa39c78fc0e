"""Fetches what is not known of rooms into which this server came without being told of all their members.

The server that let the user in is asked first, then others that are in the room: each for the whole state before the
join. It is believed when it has all of what is known already, and nothing of what is known not to be. Until then the
room is usable as far as it is known (services/events/partial_rooms.py). What was not to be had is asked for again later
and later, also after a restart; when nobody of this server is in the room any more, that ends.
Spec: server-server-api/#get_matrixfederationv1stateroomid
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import RoomVersion
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.services.events.completion import Completed, Completion
from homeserver.services.federation.removals import Removals
from homeserver.services.rooms.given_rooms import GivenRooms
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import local_members
from homeserver.storage.partial_rooms import PartialRoom, find_partial_room, unfinished_rooms
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import find_head

LOOP: Final = "members of rooms"
LANES: Final = 2  # rooms at once
IDLE_S: Final = 60.0
FIRST_PAUSE_S: Final = 10.0
PAUSE_FACTOR: Final = 3
LONGEST_PAUSE_S: Final = 6 * 3600.0
MOST_SERVERS: Final = 4  # in one attempt
STATE_S: Final = 600.0

log = get_logger(__name__)


class StateSource(Protocol):
    """Asks other servers for states. See outbound/federation_client.py."""

    async def state_in_pieces(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_id: EventID,
        take: Callable[[str, Any], None],  # Any: JSON of other servers
        *,
        timeout_s: float,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Room:
    """A room of which the rest is to be fetched."""

    partial: PartialRoom
    version: RoomVersion
    others: Sequence[ServerName]  # in it, beside the one that knows most surely
    has_members: bool  # of this server


class _Answer(Enum):
    """What came of asking a server."""

    TAKEN = "nothing is left to be fetched"
    REFUSED = "it says that this server may not know"
    NONE = "it is of no use"


@dataclass(slots=True)
class _Pause:
    """When a room is looked at again."""

    attempts: int
    until_s: float


class RoomCompletion:
    """The one that fetches. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        source: StateSource,
        given_rooms: GivenRooms,
        completion: Completion,
        removals: Removals,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self.counts: Final[Counter[str]] = Counter()
        self._database = database
        self._source = source
        self._given_rooms = given_rooms
        self._completion = completion
        self._removals = removals
        self._clock = clock
        self._server_name = server_name
        self._loops: Loops | None = None
        self._is_stopping = False
        self._ready: OrderedDict[RoomID, None] = OrderedDict()
        self._busy: dict[RoomID, bool] = {}  # whether it is to be looked at again
        self._pauses: dict[RoomID, _Pause] = {}

    async def start(self, loops: Loops) -> None:
        """Begin to fetch, also what a run before this one has not."""
        for room_id in await self._database.read(unfinished_rooms):
            self._ready[room_id] = None
        self._loops = loops
        for lane in range(LANES):
            loops.start(f"{LOOP} {lane + 1}", self._run, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin no further attempt."""
        self._is_stopping = True

    def wake(self, room_id: RoomID) -> None:
        """The rest of the room is to be fetched from now on."""
        self._pauses.pop(room_id, None)
        if room_id in self._busy:
            self._busy[room_id] = True
            return
        self._ready[room_id] = None
        if self._loops is not None and not self._is_stopping:
            for lane in range(LANES):
                self._loops.hurry(f"{LOOP} {lane + 1}")

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_federation_partial_rooms",
            "Attempts to fetch the members of rooms that were joined without them, and what came of them.",
            ["kind"],
            lambda: {(kind,): number for kind, number in self.counts.items()},
        )

    async def _run(self) -> None:
        now_s = self._clock.seconds()
        for room_id in [room_id for room_id, pause in self._pauses.items() if pause.until_s <= now_s]:
            if room_id not in self._busy:
                self._ready[room_id] = None
        while self._ready and not self._is_stopping:
            room_id, _ = self._ready.popitem(last=False)
            self._busy[room_id] = False
            try:
                await self._attempt(room_id)
            finally:
                if self._busy.pop(room_id):
                    self._ready[room_id] = None

    async def _attempt(self, room_id: RoomID) -> None:
        room = await self._database.read(_look, room_id, self._server_name)
        pause = self._pauses.pop(room_id, None)
        attempts = 0 if pause is None else pause.attempts
        if room is None:
            return
        if not room.has_members:
            self.counts["given up"] += 1
            await self._completion.give_up(room.partial)
            return
        # Before anything is asked: should the attempt fail here, the next one is not at once.
        pause_s = min(FIRST_PAUSE_S * PAUSE_FACTOR ** min(attempts, 16), LONGEST_PAUSE_S)
        self._pauses[room_id] = _Pause(attempts + 1, self._clock.seconds() + pause_s)
        if (completed := await self._completion.go_on(room.partial)) is not None:  # another run had come that far
            self._note(room_id, completed)
            return
        answers: set[_Answer] = set()
        for server in _servers_to_ask(room, attempts):
            if self._is_stopping:
                return
            answers.add(await self._fetch(room, server))
            if _Answer.TAKEN in answers:
                return
        if _Answer.REFUSED in answers and await self._database.write(self._removals.take, room.partial):
            self.counts["removed"] += 1
            self.wake(room_id)  # which ends the search
            return
        log.warning("the members of a room cannot be had yet", room_id=room_id, attempts=attempts + 1)

    async def _fetch(self, room: _Room, server: ServerName) -> "_Answer":
        """Ask a server, and believe it if it can be believed."""
        partial = room.partial
        given = self._given_rooms.begin()
        try:
            await self._source.state_in_pieces(
                server, partial.room_id, partial.join_event_id, given.take, timeout_s=STATE_S
            )
            state = await self._given_rooms.keep(given, partial.room_id, room.version, partial.join_event_id)
        except RemoteError as error:
            self.counts["failed"] += 1
            log.info("a server does not give the state", server=server, room_id=partial.room_id, reason=error.reason)
            is_refusal = isinstance(error, RemoteRefused) and error.status == 403
            return _Answer.REFUSED if is_refusal else _Answer.NONE
        completed = await self._completion.complete(partial, state)
        self._note(partial.room_id, completed)
        if completed is Completed.CONTRADICTED:
            log.warning("a server contradicts what is known of the room", server=server, room_id=partial.room_id)
            return _Answer.NONE
        return _Answer.TAKEN

    def _note(self, room_id: RoomID, completed: Completed) -> None:
        self.counts[completed.name.lower()] += 1
        if completed is not Completed.CONTRADICTED:
            self._pauses.pop(room_id, None)


def _look(tx: Transaction, room_id: RoomID, server_name: ServerName) -> _Room | None:
    partial, head = find_partial_room(tx, room_id), find_head(tx, room_id)
    if partial is None or head is None:
        return None
    others = servers_in_room(tx, room_id) - {server_name, partial.given_by}
    return _Room(partial, head.version, sorted(others), bool(local_members(tx, room_id)))


def _servers_to_ask(room: _Room, attempts: int) -> list[ServerName]:
    """The one that let the user in, and some of the others, in each attempt other ones."""
    others = room.others
    begin = (attempts * (MOST_SERVERS - 1)) % len(others) if others else 0
    return [room.partial.given_by, *[*others[begin:], *others[:begin]][: MOST_SERVERS - 1]]
