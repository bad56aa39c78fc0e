"""Presence: who is online, told to those who share rooms with them, some news at a time.

What changes is gathered for a moment; then one read finds who is to hear of it, of all users at once, and only these
are woken. Whose devices say what is in present_people.py, what was told to whom in presence_views.py. All of it is in
memory only. Spec: client-server-api/#presence, server-server-api/#presence
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from homeserver.core.identifiers import DeviceID, RoomID, ServerName, UserID, server_name_of
from homeserver.core.presence import OFFLINE, PresenceWord, Status
from homeserver.core.rate_limits import Bucket, RateLimit, take
from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops
from homeserver.runtime.wakeups import Bell
from homeserver.services.errors import Forbidden, InvalidParameter
from homeserver.services.events.news import Change, News, ReceiptWritten, RoomWritten
from homeserver.services.rooms.presence_views import PresenceViews
from homeserver.services.rooms.present_people import PresentPeople
from homeserver.storage.acquaintances import (
    Reach,
    RoomPeople,
    local_users_near,
    people_of_room,
    servers_near,
    users_near_among,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import mutual_rooms

LOOP: Final = "presence"
SWEEP_S: Final = 60.0
FIRST_S: Final = 0.5  # after a change, if little was told lately,
GATHER_S: Final = 2.5  # and so often if there is always something to tell
TELLING: Final = RateLimit(per_second=1 / GATHER_S, burst=6)
REMOTE_S: Final = 1_800.0  # for so long another server is believed that does not say it again
REPEAT_S: Final = 1_500.0  # and so often this one says it again
LONGEST_STATUS_MSG: Final = 1_000
# A person is shown to 500 others at most, by the 100 rooms of theirs with the fewest members here, none with more than
# 500; and to 200 servers, by those of these rooms in which there are no more.
REACH: Final = Reach(rooms=100, members=500, users=500, servers=200)
MOST_CHANGED: Final = 100  # of each kind, told of at once: the rest comes next
MOST_HEARD: Final = 200  # changes from one server, between two times of telling
MOST_HEARD_TOGETHER: Final = 2_000
MOST_ARRIVED: Final = 500
NOT_SHARED: Final = "You share no room with this user"

Listener = Callable[[ServerName, Mapping[UserID, Status]], None]


class Scope(Enum):
    """How far presence goes: to other servers too, to nobody outside, or nowhere."""

    ON = "on"
    LOCAL = "local"
    OFF = "off"


@dataclass(slots=True)
class _Gathered:
    """What has happened since others were told last."""

    changed: dict[UserID, None] = field(default_factory=dict)  # of this server
    repeated: set[UserID] = field(default_factory=set)  # of this server, for other servers alone
    heard: dict[UserID, Status] = field(default_factory=dict)  # of other servers
    heard_of: Counter[ServerName] = field(default_factory=Counter)
    arrived: dict[tuple[RoomID, UserID], None] = field(default_factory=dict)
    parted: dict[UserID, set[UserID]] = field(default_factory=dict)  # who may share no room any more, with whom

    @property
    def is_empty(self) -> bool:
        return not (self.changed or self.repeated or self.heard or self.arrived or self.parted)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is to be found out about who is in rooms with whom."""

    changed: Collection[UserID]
    quiet: Set[UserID]  # those of them who only pause or go on: nobody is woken for that, whoever looks sees it
    outgoing: Collection[UserID]
    rooms: Collection[RoomID]
    parted: Mapping[UserID, Collection[UserID]]


@dataclass(frozen=True, slots=True)
class _Found:
    watchers: Mapping[UserID, Sequence[UserID]]
    servers: Mapping[UserID, Sequence[ServerName]]
    rooms: Mapping[RoomID, RoomPeople]
    together: Mapping[UserID, Collection[UserID]]  # of those who parted, with whom they still share a room


class Presence:
    """Knows who is there, and tells others. On the reactor thread; `presence_since` and `own` answer on any."""

    def __init__(
        self,
        database: Database,
        views: PresenceViews,
        news: News,
        bell: Bell,
        clock: Clock,
        server_name: ServerName,
        scope: Scope = Scope.ON,
        shadow_bans: Container[UserID] = frozenset(),
    ) -> None:
        self._shadow_bans = shadow_bans
        self._database = database
        self._views = views
        self._bell = bell
        self._clock = clock
        self._server_name = server_name
        self._scope = scope
        self._people = PresentPeople(clock, self._note_changed)
        self._gathered = _Gathered()
        self._moved: set[UserID] | None = None  # who left a room while the database is asked
        self._heard_s: OrderedDict[UserID, float] = OrderedDict()  # users of other servers; heard of last is the last
        self._told_servers_s: OrderedDict[UserID, float] = OrderedDict()  # users of this one
        self._telling: Bucket | None = None
        self._loops: Loops | None = None
        self._is_planned = False
        self._listeners: list[Listener] = []
        if scope != Scope.OFF:
            news.listen(self._follow)

    # What clients do

    @contextmanager
    def polling(self, user_id: UserID, device_id: DeviceID | None, presence: PresenceWord | None) -> Iterator[None]:
        """A device waits for news meanwhile; `presence` is what it says about its user, if anything."""
        if not self._is_told_of(user_id) or not self._people.begin_poll(user_id, device_id, presence):
            yield
            return
        try:
            yield
        finally:
            self._people.end_poll(user_id, device_id)

    def set_status(
        self,
        requester: UserID,
        device_id: DeviceID | None,
        user_id: UserID,
        presence: PresenceWord,
        status_msg: str | None,
    ) -> None:
        """Say how present a user is, in which words. Raises Forbidden, InvalidParameter."""
        if requester != user_id:
            raise Forbidden("You can say for yourself only how present you are")
        if status_msg is not None and len(status_msg) > LONGEST_STATUS_MSG:
            raise InvalidParameter(f"status_msg is longer than {LONGEST_STATUS_MSG} characters")
        if self._is_told_of(user_id):
            self._people.say(user_id, device_id, presence, status_msg or None)

    async def status(self, requester: UserID, user_id: UserID) -> dict[str, Any]:
        """What a user may see of another one's presence, as the content of an event.

        Raises Forbidden when they share no room, alike for a user who does not exist.
        """
        if requester != user_id and not await self._database.read(_share_room, requester, user_id):
            raise Forbidden(NOT_SHARED)
        return self._status(user_id).content(self._clock.seconds())

    def note_activity(self, user_id: UserID) -> None:
        """A user does something."""
        if self._is_told_of(user_id):
            self._people.note_activity(user_id)

    def presence_since(self, user_id: UserID, serial: int) -> list[tuple[UserID, dict[str, Any]]]:
        """Of whose presence the user was told after `serial`, the newest first; 0: that of all who are not offline."""
        found = self._views.since(user_id, serial)
        now_s = self._clock.seconds()
        return [(other, status.content(now_s)) for other, status in found]

    def near(self, tx: Transaction, user_id: UserID) -> list[UserID]:
        """Whose presence concerns a user: their own, of this server all who share a room, of others whom they see."""
        if self._scope == Scope.OFF:
            return []
        told = [other for other, _ in self._views.since(user_id, 0)]
        return list(dict.fromkeys([user_id, *told, *local_users_near(tx, user_id, self._server_name, REACH)]))

    def true_of(self, user_ids: Iterable[UserID]) -> list[tuple[UserID, dict[str, Any]]]:
        """How present these users are now, whether others were told of it yet or not."""
        now_s = self._clock.seconds()
        return [(user_id, self._status(user_id).content(now_s)) for user_id in user_ids]

    # Other servers

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with what is for another server."""
        self._listeners.append(listener)

    def take_remote(self, origin: ServerName, said: Iterable[tuple[UserID, Status]]) -> None:
        """What another server says of its users. Of those who share no room with anybody here nothing is kept."""
        if self._scope != Scope.ON:
            return
        gathered = self._gathered
        for user_id, status in said:
            known = gathered.heard.get(user_id) or self._views.find(user_id)
            if known is None and status.presence == OFFLINE:
                continue
            if user_id in self._heard_s:
                self._heard_s[user_id] = self._clock.seconds()
                self._heard_s.move_to_end(user_id)
            if known is not None and status.says_the_same(known):
                if user_id not in gathered.heard:
                    self._views.refresh(user_id, status)
                continue
            is_new = user_id not in gathered.heard
            if is_new and (gathered.heard_of[origin] >= MOST_HEARD or len(gathered.heard) >= MOST_HEARD_TOGETHER):
                continue
            gathered.heard_of[origin] += is_new
            gathered.heard[user_id] = status
        self._plan()

    # Telling

    def start(self, loops: Loops) -> None:
        """Begin to tell."""
        if self._scope != Scope.OFF:
            self._loops = loops
            loops.start(LOOP, self.tell, SWEEP_S)

    async def tell(self) -> None:
        """Tell of what was gathered, and of those who were not heard of for too long."""
        self._is_planned = False
        self._expire()
        gathered = self._take()
        question = self._question(gathered)
        if question is None:
            self._plan()
            return
        self._moved, has_read = set(), False
        try:
            found = await self._database.read(self._read, question)
            has_read = True
        finally:
            moved, self._moved = self._moved, None
            if not has_read:
                self._put_back(gathered)
        self._telling, _ = take(TELLING, self._telling, self._now_ms())
        self._apply(gathered, question, found, moved)
        self._plan()

    def _take(self) -> _Gathered:
        """What is told of now; the rest stays."""
        all_of_it, self._gathered = self._gathered, _Gathered()
        for mine, kept in (
            (all_of_it.changed, self._gathered.changed),
            (all_of_it.heard, self._gathered.heard),
            (all_of_it.parted, self._gathered.parted),
        ):
            _keep_rest(mine, kept)
        return all_of_it

    def _put_back(self, gathered: _Gathered) -> None:
        """It could not be told: what was gathered since counts more."""
        later = self._gathered
        later.changed = {**gathered.changed, **later.changed}
        later.repeated |= gathered.repeated
        later.heard = {**gathered.heard, **later.heard}
        later.arrived = {**gathered.arrived, **later.arrived}
        for user_id, others in gathered.parted.items():
            later.parted.setdefault(user_id, set()).update(others)

    def _question(self, gathered: _Gathered) -> _Question | None:
        """What the database is to be asked; None when nothing is to be told."""
        for user_id in tuple(gathered.changed):
            if self._status(user_id).says_the_same(self._views.find(user_id) or Status()):
                del gathered.changed[user_id]  # there and back again meanwhile
        if gathered.is_empty:
            return None
        outgoing = [*gathered.changed, *gathered.repeated] if self._scope == Scope.ON and self._listeners else ()
        changed = {**dict.fromkeys(gathered.changed), **gathered.heard}
        quiet = {
            user_id
            for user_id, heard in changed.items()
            if (heard or self._status(user_id)).is_only_active(self._views.find(user_id) or Status())
        }
        return _Question(
            changed=tuple(changed),
            quiet=quiet,
            # Other servers are not told each time that somebody pauses, or goes on: there may be many of them.
            outgoing=[user_id for user_id in outgoing if user_id in gathered.repeated or user_id not in quiet],
            rooms={room_id for room_id, _ in gathered.arrived},
            parted=gathered.parted,
        )

    def _read(self, tx: Transaction, question: _Question) -> _Found:
        own = self._server_name
        return _Found(
            {user_id: local_users_near(tx, user_id, own, REACH) for user_id in question.changed},
            {user_id: servers_near(tx, user_id, own, REACH) for user_id in question.outgoing},
            {room_id: people_of_room(tx, room_id, own, REACH) for room_id in question.rooms},
            {user_id: users_near_among(tx, user_id, others, own, REACH) for user_id, others in question.parted.items()},
        )

    def _apply(self, gathered: _Gathered, question: _Question, found: _Found, moved: Set[UserID]) -> None:
        """Tell those who were found, but for those who left a room meanwhile: they are looked at once more."""
        rung: set[UserID] = set()
        outgoing: dict[ServerName, dict[UserID, Status]] = {}
        for user_id in question.changed:
            status = gathered.heard.get(user_id) or self._status(user_id)
            is_local = self._is_local(user_id)
            near = set(found.watchers[user_id])
            for watcher in near & moved - {user_id}:
                self._note_parted(watcher, (user_id,))
            if user_id in moved:
                self._note_parted(user_id, near)
                near = set()
            watchers = near - moved | set(self._local(user_id))
            if watchers or self._views.find(user_id) is not None:
                self._views.show(user_id, status, watchers)
                if user_id not in question.quiet:
                    rung |= watchers
                if watchers and not is_local:
                    self._heard_s[user_id] = self._clock.seconds()
                    self._heard_s.move_to_end(user_id)
        for user_id in question.outgoing:
            if user_id in moved:
                self._gathered.repeated.add(user_id)
                continue
            self._told_servers_s[user_id] = self._clock.seconds()
            self._told_servers_s.move_to_end(user_id)
            for server in found.servers[user_id]:
                outgoing.setdefault(server, {})[user_id] = self._status(user_id)
        for room_id, user_id in gathered.arrived:
            if user_id not in moved:
                rung |= self._welcome(user_id, found.rooms[room_id], moved, outgoing)
        for user_id, others in found.together.items():
            if user_id in moved:
                self._note_parted(user_id, question.parted[user_id])
                continue
            for other in set(others) - moved:
                # Nothing has changed between them: nobody is woken, whoever looks sees it.
                self._views.introduce(user_id, self._local(other))
                self._views.introduce(other, self._local(user_id))
        self._bell.ring(rung)
        for server, statuses in outgoing.items():
            for listener in self._listeners:
                listener(server, statuses)

    def _welcome(
        self,
        user_id: UserID,
        room: RoomPeople,
        moved: Set[UserID],
        outgoing: dict[ServerName, dict[UserID, Status]],
    ) -> set[UserID]:
        """Somebody came into a room: those there and they are told of each other. Who is to be woken."""
        local = [one for one in room.local if one not in moved]
        rung = self._views.introduce(user_id, [one for one in local if one != user_id])
        told: dict[ServerName, Sequence[UserID]]
        if self._is_local(user_id):
            for other in (*local, *room.remote):
                if other != user_id and other not in moved and self._views.introduce(other, (user_id,)):
                    rung.add(user_id)
            told = dict.fromkeys(room.servers, (user_id,))
        else:
            server = server_name_of(user_id)
            told = {} if server is None else {server: local}
        if self._scope == Scope.ON and self._listeners:
            for server, people in told.items():
                for one in people:
                    status = self._status(one)
                    if status.presence != OFFLINE:
                        outgoing.setdefault(server, {})[one] = status
        return rung

    def _expire(self) -> None:
        """Believe no more what was said too long ago; say again what others would not believe much longer."""
        now_s, gathered = self._clock.seconds(), self._gathered
        for user_id in _overdue(self._heard_s, now_s - REMOTE_S):
            known = self._views.find(user_id)
            if known is not None and known.presence != OFFLINE:
                gone = Status(OFFLINE, known.status_msg, last_active_s=known.last_active_s)
                gathered.heard.setdefault(user_id, gone)
        for user_id in _overdue(self._told_servers_s, now_s - REPEAT_S):
            if self._status(user_id).presence != OFFLINE:
                gathered.repeated.add(user_id)

    # What is gathered

    def _is_told_of(self, user_id: UserID) -> bool:
        return self._scope != Scope.OFF and user_id not in self._shadow_bans

    def _note_changed(self, user_id: UserID) -> None:
        self._gathered.changed[user_id] = None
        self._plan()

    def _note_parted(self, user_id: UserID, others: Iterable[UserID]) -> None:
        self._gathered.parted.setdefault(user_id, set()).update(others)

    def _follow(self, change: Change) -> None:
        """Who does something is active; who leaves a room sees those there no more, and who comes is told of them."""
        if isinstance(change, ReceiptWritten):
            self.note_activity(change.user_id)
        elif isinstance(change, RoomWritten):
            for stored in change.events:
                self.note_activity(UserID(stored.event.sender))
            if not len(self._views):
                return
            for moved in change.memberships:
                if moved.membership == "join" and moved.before != "join":
                    if len(self._gathered.arrived) < MOST_ARRIVED:
                        self._gathered.arrived[change.room_id, moved.user_id] = None
                        self._plan()
                elif moved.membership != "join" and moved.before == "join":
                    self._part(moved.user_id)

    def _part(self, user_id: UserID) -> None:
        """Who leaves a room is apart from everybody at once, until it is known with whom they still share one."""
        if self._moved is not None:
            self._moved.add(user_id)
        others = self._views.part(user_id)
        if others:
            self._note_parted(user_id, others)
            self._plan()

    def _plan(self) -> None:
        """Have what is gathered told in a moment."""
        if self._loops is None or self._is_planned or self._moved is not None or self._gathered.is_empty:
            return
        self._is_planned = True
        _, wait_ms = take(TELLING, self._telling, self._now_ms())
        due_s = max(FIRST_S, (wait_ms or 0) / 1000)
        self._clock.call_later(due_s, lambda: self._hurry(self._loops))

    def _now_ms(self) -> int:
        return int(self._clock.seconds() * 1000)

    @staticmethod
    def _hurry(loops: Loops | None) -> None:
        if loops is not None:
            loops.hurry(LOOP)

    def _status(self, user_id: UserID) -> Status:
        """What is true of a user now."""
        known = self._views.find(user_id)
        if not self._is_local(user_id):
            return known or Status()
        return self._people.find(user_id) or Status(last_active_s=None if known is None else known.last_active_s)

    def _is_local(self, user_id: UserID) -> bool:
        return server_name_of(user_id) == self._server_name

    def _local(self, user_id: UserID) -> tuple[UserID, ...]:
        return (user_id,) if self._is_local(user_id) else ()


def _keep_rest(taken: dict[UserID, Any], kept: dict[UserID, Any]) -> None:
    """Leave as much in one as is told of at once, and move the rest to the other."""
    for user_id in tuple(taken)[MOST_CHANGED:]:
        kept[user_id] = taken.pop(user_id)


def _overdue(noted_s: OrderedDict[UserID, float], before_s: float) -> Iterator[UserID]:
    """Those who were noted before a time: they are no longer. The rest of many is left for later."""
    for _ in range(MOST_CHANGED):
        if not noted_s or next(iter(noted_s.values())) > before_s:
            return
        yield noted_s.popitem(last=False)[0]


def _share_room(tx: Transaction, user_id: UserID, other: UserID) -> bool:
    return bool(mutual_rooms(tx, user_id, other, after="", limit=1))
