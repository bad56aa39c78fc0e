"""Who is typing in which room: in memory only, with a serial that moves at every change.

Spec: client-server-api/#typing-notifications. What a sync shows of it is in services/sync/ephemeral.py.
"""

from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of
from homeserver.runtime.clock import Cancellable, Clock
from homeserver.runtime.wakeups import Bell
from homeserver.services.errors import Forbidden
from homeserver.services.events.news import Change, News, RoomWritten
from homeserver.services.events.notifying import Notifying
from homeserver.services.rooms.audiences import audience_with
from homeserver.services.rooms.serials import Serials
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import find_membership
from homeserver.storage.rooms import find_head

DEFAULT_TIMEOUT_MS: Final = 30_000
SHORTEST_TIMEOUT_MS: Final = 1_000
LONGEST_TIMEOUT_MS: Final = 120_000
REMOTE_TIMEOUT_MS: Final = 60_000  # another server says it again before that, or that it has ended
MOST_ROOMS: Final = 10_000  # remembered; beyond them, those in which nobody types for longest are forgotten
MOST_MOVES: Final = 1_000


@dataclass(slots=True)
class _Room:
    """A room in which somebody types, or did."""

    members: set[UserID] = field(default_factory=set)  # joined, of this server
    has_others: bool = False  # members of other servers: not, is certain
    typing: dict[UserID, Cancellable] = field(default_factory=dict)  # and what ends it
    serial: int = 0


class Typing:
    """Knows who is typing. Changes happen on the reactor thread; `typing_since` answers on any."""

    def __init__(
        self,
        database: Database,
        notifying: Notifying,
        news: News,
        bell: Bell,
        clock: Clock,
        server_name: ServerName,
        most_rooms: int = MOST_ROOMS,
        serials: Serials | None = None,
        shadow_bans: Container[UserID] = frozenset(),
    ) -> None:
        self._shadow_bans = shadow_bans
        self._serials = serials or Serials()
        self._most_rooms = most_rooms
        self._database = database
        self._notifying = notifying
        self._bell = bell
        self._clock = clock
        self._server_name = server_name
        self._lock = Lock()
        self._rooms: OrderedDict[RoomID, _Room] = OrderedDict()  # the one that changed last is the last
        self._moves: OrderedDict[RoomID, int] = OrderedDict()  # log position of the newest change of memberships
        self._listeners: list[Callable[[RoomID, UserID, bool], None]] = []
        self._active_listeners: list[Callable[[UserID], None]] = []
        news.listen(self._follow_members)

    @property
    def serial(self) -> int:
        """The newest serial, of typing or of whatever else takes them from the same counter."""
        return self._serials.newest

    def listen(self, listener: Callable[[RoomID, UserID, bool], None]) -> None:
        """Have `listener` called when a local user says to type, or no longer does, in a room with other servers."""
        self._listeners.append(listener)

    def listen_to_activity(self, listener: Callable[[UserID], None]) -> None:
        """Have `listener` called whenever a local user says to type."""
        self._active_listeners.append(listener)

    async def set_typing(
        self,
        requester: UserID,
        user_id: UserID,
        room_id: RoomID,
        *,
        is_typing: bool,
        timeout_ms: int | None = None,
    ) -> None:
        """Say that a user types, for so long, or no longer does. Raises Forbidden."""
        if requester != user_id:
            raise Forbidden("You can type for yourself only")
        if not is_typing:
            self._stop(room_id, user_id)  # who is not in the room does not type there: nothing to check
            return
        known = self._rooms.get(room_id)  # its members are kept up to date
        members, has_others = (known.members, known.has_others) if known is not None else (set(), False)
        if user_id not in members:
            members, has_others = await self._members_with(user_id, room_id)
        if user_id in self._shadow_bans:
            return
        wanted_ms = DEFAULT_TIMEOUT_MS if timeout_ms is None else timeout_ms
        timeout_ms = min(max(wanted_ms, SHORTEST_TIMEOUT_MS), LONGEST_TIMEOUT_MS)
        self._begin(room_id, user_id, members, timeout_ms, has_others=has_others)
        for listener in self._active_listeners:
            listener(user_id)
        if has_others:
            self._tell(room_id, user_id, is_typing=True)

    async def set_remote_typing(self, user_id: UserID, room_id: RoomID, *, is_typing: bool) -> None:
        """A user's server says that the user types, or no longer does. Who is not in the room is not believed."""
        if not is_typing:
            self._stop(room_id, user_id)
            return
        members, position = await self._database.read(self._members_beside, room_id, user_id)
        while self._moves.get(room_id, 0) > position:
            members, position = await self._database.read(self._members_beside, room_id, user_id)
        if members:
            self._begin(room_id, user_id, members, REMOTE_TIMEOUT_MS, has_others=True)

    def _begin(
        self, room_id: RoomID, user_id: UserID, members: set[UserID], timeout_ms: int, *, has_others: bool
    ) -> None:
        with self._lock:
            room = self._rooms.setdefault(room_id, _Room())
            room.members, room.has_others = members, has_others
            before = room.typing.get(user_id)
            room.typing[user_id] = self._clock.call_later(timeout_ms / 1000, partial(self._stop, room_id, user_id))
            if before is None:
                self._move_on(room_id, room)
        if before is None:
            self._bell.ring(room.members)
        else:
            before.cancel()

    def typing_since(self, user_id: UserID, serial: int) -> list[tuple[RoomID, list[UserID]]]:
        """Who types now in each room of the user where that changed after `serial`; 0: where anybody does, or did.

        Only rooms in which the user is joined. That nobody types any more is told without a serial too: a client that
        begins anew, or sees a room again, may show somebody who typed when it last looked.
        """
        found: list[tuple[RoomID, list[UserID]]] = []
        with self._lock:
            for room_id, room in reversed(self._rooms.items()):
                if room.serial <= serial:
                    break
                if user_id in room.members:
                    found.append((room_id, list(room.typing)))
        return found

    async def _members_with(self, user_id: UserID, room_id: RoomID) -> tuple[set[UserID], bool]:
        members, has_others, position = await self._database.read(self._members, room_id, user_id)
        while self._moves.get(room_id, 0) > position:  # somebody came or went while the database was asked
            members, has_others, position = await self._database.read(self._members, room_id, user_id)
        return members, has_others

    def _members(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> tuple[set[UserID], bool, int]:
        position = tx.log_position
        audience = audience_with(tx, self._notifying, room_id, user_id)
        return set(audience.members), audience.joined_count > len(audience.members), position

    def _members_beside(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> tuple[set[UserID], int]:
        """The members of this server in a room of a user of another one; none if that user is not in it."""
        position = tx.log_position
        head = find_head(tx, room_id)
        membership = find_membership(tx, room_id, user_id)
        if head is None or head.is_blocked or membership is None or membership.membership != "join":
            return set(), position
        return set(self._notifying.audience(tx, room_id, head.current_root).members), position

    def _stop(self, room_id: RoomID, user_id: UserID) -> None:
        room = self._rooms.get(room_id)
        if room is None or user_id not in room.typing:
            return
        with self._lock:
            ending = room.typing.pop(user_id)
            self._move_on(room_id, room)
        ending.cancel()
        self._bell.ring(room.members)
        if room.has_others:
            self._tell(room_id, user_id, is_typing=False)

    def _tell(self, room_id: RoomID, user_id: UserID, *, is_typing: bool) -> None:
        if server_name_of(user_id) == self._server_name:
            for listener in self._listeners:
                listener(room_id, user_id, is_typing)

    def _move_on(self, room_id: RoomID, room: _Room) -> None:
        """Note that the room changed; to be called under the lock."""
        room.serial = self._serials.advance()
        self._rooms.move_to_end(room_id)
        while len(self._rooms) > self._most_rooms and not next(iter(self._rooms.values())).typing:
            self._rooms.popitem(last=False)

    def _follow_members(self, change: Change) -> None:
        """Who leaves a room types there no more, and is not told who does; who joins is told."""
        if not isinstance(change, RoomWritten) or not change.memberships:
            return
        room_id = change.room_id
        self._moves[room_id] = change.position
        self._moves.move_to_end(room_id)
        if len(self._moves) > MOST_MOVES:
            self._moves.popitem(last=False)
        room = self._rooms.get(room_id)
        if room is None:
            return
        for moved in change.memberships:
            if moved.membership != "join":
                with self._lock:
                    room.members.discard(moved.user_id)
                self._stop(room_id, moved.user_id)
            elif server_name_of(moved.user_id) != self._server_name:
                room.has_others = True
            elif moved.user_id not in room.members:
                with self._lock:
                    room.members.add(moved.user_id)
                    if room.typing:
                        self._move_on(room_id, room)
                self._bell.ring(room.members)
