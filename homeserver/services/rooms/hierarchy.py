"""Walking through a space for a user: its rooms, those of the spaces in it, and so on, a page at a time.

An administrator walks through what this server knows, whoever may see it, and no further: nobody else is asked.

What rooms are shown as is in spaces.py; rooms that this server is not in are described by others, see
remote_spaces.py. For other servers, which walk by themselves: services/federation/hierarchy.py.
Spec: client-server-api/#get_matrixclientv1roomsroomidhierarchy
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.services.rooms.announced_rooms import announced_room
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.services.rooms.remote_spaces import RemoteSpaces, ToldRoom, ToldSpace
from homeserver.services.rooms.several_servers import candidates
from homeserver.services.rooms.spaces import Child, Spaces, children_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.remote_memberships import find_remote_membership
from homeserver.storage.rooms import find_head

MOST_ROOMS: Final = 50  # of a page
DEEPEST: Final = 50
MOST_WALKED: Final = 5_000  # rooms, in all pages
MOST_AHEAD: Final = 20_000  # children of all spaces on the way that were not looked at yet
MOST_ASKED: Final = 20  # rooms of a page that others are asked about
PATIENCE_S: Final = 20.0  # then a page ends with what it has
KEPT_S: Final = 600.0
NO_ACCESS: Final = "There is no such room, or you may not look into it"
NO_TOKEN: Final = "This token is not known any more, or not of this walk"  # noqa: S105 - a sentence


@dataclass(frozen=True, slots=True)
class WalkWish:
    """Who wants to walk (None: an administrator), from where, and how far. It stays the same on all pages."""

    user_id: UserID | None
    room_id: RoomID
    suggested_only: bool = False
    max_depth: int | None = None

    def check(self) -> None:
        """Raises InvalidParameter."""
        if self.max_depth is not None and self.max_depth < 0:
            raise InvalidParameter("max_depth is not negative")

    @property
    def deepest(self) -> int:
        """Below which no room is shown; the one where the walk begins is at 0."""
        return DEEPEST if self.max_depth is None else min(self.max_depth, DEEPEST)


@dataclass(frozen=True, slots=True)
class HierarchyPage:
    """Some of the rooms, each after the space that holds it."""

    rooms: Sequence[Mapping[str, Any]]  # Any: JSON
    next_batch: str | None


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A room that is still to be looked at."""

    child: Child
    depth: int
    told: ToldRoom | None = None  # what the server said that described the space it is in
    is_closed: bool = False  # that server says that nobody here can get in: it is not asked about
    is_asked: bool = False
    answer: ToldSpace | None = None


@dataclass(frozen=True, slots=True)
class _Walk:
    """How far somebody has come. Never changed: a page can be asked for twice."""

    wish: WalkWish
    ahead: tuple[_Ahead, ...]  # the next one last
    seen: frozenset[RoomID]
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Step:
    """How far a walk came by what is known here."""

    walk: _Walk
    rooms: Sequence[Mapping[str, Any]]  # Any: JSON
    wanted: _Ahead | None = None  # what others have to be asked about before it goes on,
    servers: Sequence[ServerName] = ()  # and whom


class Hierarchy:
    """Walks through spaces."""

    def __init__(
        self,
        database: Database,
        spaces: Spaces,
        remote: RemoteSpaces,
        budget: CacheBudget,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._spaces = spaces
        self._remote = remote
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._walks: BoundedCache[str, _Walk] = BoundedCache(
            "walks through spaces", budget, lambda walk: 400 * len(walk.ahead) + 100 * len(walk.seen)
        )

    async def page(self, wish: WalkWish, *, limit: int | None = None, token: str | None = None) -> HierarchyPage:
        """The first rooms of a walk, or those after the page that gave the token.

        A page may be short, and have another one behind it, when other servers take their time.
        Raises Forbidden for a room that the user may not look into, NotFound for one that an administrator cannot
        find here, InvalidParameter for a token that is not of this walk.
        """
        wish.check()
        if limit is not None and limit < 1:
            raise InvalidParameter("limit is at least 1")
        walk = self._resumed(wish, token)
        most = MOST_ROOMS if limit is None else min(limit, MOST_ROOMS)
        rooms: list[Mapping[str, Any]] = []
        ends_s = self._clock.seconds() + PATIENCE_S
        for asked in range(MOST_ASKED + 1):
            step = await self._database.read(self._go_on, walk, most - len(rooms), is_first=asked == 0)
            walk = step.walk
            rooms += step.rooms
            if step.wanted is None:
                break
            if asked == MOST_ASKED or self._clock.seconds() >= ends_s:
                walk = replace(walk, ahead=(*walk.ahead, step.wanted))
                break
            answer = await self._remote.find(
                step.wanted.child.room_id, step.servers, suggested_only=wish.suggested_only
            )
            walk = replace(walk, ahead=(*walk.ahead, replace(step.wanted, is_asked=True, answer=answer)))
        return HierarchyPage(rooms, self._kept(walk))

    def _resumed(self, wish: WalkWish, token: str | None) -> _Walk:
        if token is None:
            return _Walk(wish, (_Ahead(Child(wish.room_id, ()), 0),), frozenset())
        walk = self._walks.get(token)
        if walk is None or walk.wish != wish or self._clock.seconds() >= walk.until_s:
            raise InvalidParameter(NO_TOKEN)
        return walk

    def _kept(self, walk: _Walk) -> str | None:
        """The token of what is left; None if nothing is."""
        if not walk.ahead:
            return None
        token = self._randomness.token(18)
        self._walks.put(token, replace(walk, until_s=self._clock.seconds() + KEPT_S))
        return token

    def _go_on(self, tx: Transaction, walk: _Walk, most: int, *, is_first: bool) -> _Step:
        """Go on until there are so many rooms, or nothing is left, or others have to be asked. Raises Forbidden."""
        wish = walk.wish
        if is_first:
            self._check_root(tx, wish)
        ahead, seen = list(walk.ahead), set(walk.seen)
        rooms: list[Mapping[str, Any]] = []
        while True:
            while ahead and ahead[-1].child.room_id in seen:
                ahead.pop()
            if len(seen) >= MOST_WALKED:
                ahead.clear()
            if not ahead or len(rooms) >= most:
                return _Step(replace(walk, ahead=tuple(ahead), seen=frozenset(seen)), rooms)
            one = ahead.pop()
            room_id = one.child.room_id
            servers = self._to_ask(tx, wish.user_id, one)
            if servers:
                return _Step(replace(walk, ahead=tuple(ahead), seen=frozenset(seen)), rooms, one, servers)
            seen.add(room_id)
            summary = self._summary(tx, wish, one)
            if summary is not None:
                rooms.append(summary)
                if one.depth < wish.deepest:
                    ahead += reversed(_below(one, summary)[: max(0, MOST_AHEAD - len(ahead))])
            elif one.depth == 0:
                raise NotFound(NO_ROOM) if wish.user_id is None else Forbidden(NO_ACCESS)

    def _check_root(self, tx: Transaction, wish: WalkWish) -> None:
        """Whoever was thrown out of a space is not shown the rest of it."""
        if wish.user_id is None:
            return
        head = self._spaces.find_here(tx, wish.room_id)
        if head is not None and not self._spaces.entrance(tx, head).lets_in(tx, wish.room_id, wish.user_id):
            raise Forbidden(NO_ACCESS)

    def _to_ask(self, tx: Transaction, user_id: UserID | None, one: _Ahead) -> Sequence[ServerName]:
        """The servers that have to be asked about a room before it can be shown; none if none can say more."""
        if user_id is None:
            return ()
        room_id = one.child.room_id
        head = find_head(tx, room_id)
        is_told = one.told is not None and not one.told.is_space
        if one.is_asked or one.is_closed or is_told or (head is not None and head.is_blocked):
            return ()
        if self._spaces.find_here(tx, room_id) is not None:
            return ()
        invite = find_remote_membership(tx, room_id, user_id)
        inviting = () if invite is None else (invite.told_by,)
        home = (room_id.partition(":")[2],) if one.depth == 0 else ()
        return candidates(self._server_name, inviting, one.child.via, home)

    def _summary(self, tx: Transaction, wish: WalkWish, one: _Ahead) -> Mapping[str, Any] | None:
        """A room as the user is shown it; None if the user may not see it, or nobody says what it is."""
        room_id = one.child.room_id
        head = find_head(tx, room_id)
        if wish.user_id is None:
            return None if head is None else self._spaces.summary(tx, head, suggested_only=wish.suggested_only)
        if head is not None and head.is_blocked:
            return None
        here = self._spaces.find_here(tx, room_id)
        if here is not None:
            entrance = self._spaces.entrance(tx, here)
            is_shown = entrance.lets_in(tx, room_id, wish.user_id)
            return self._spaces.summary(tx, here, suggested_only=wish.suggested_only) if is_shown else None
        told = one.told if one.answer is None else one.answer.room
        if told is None:
            return announced_room(tx, room_id, wish.user_id)
        return told.summary if told.entrance.lets_in(tx, room_id, wish.user_id) else None


def _below(one: _Ahead, summary: Mapping[str, Any]) -> list[_Ahead]:
    """The rooms in a space, and what the server that described it said of them."""
    told = {} if one.answer is None else one.answer.children
    closed = frozenset[RoomID]() if one.answer is None else one.answer.inaccessible
    return [
        _Ahead(child, one.depth + 1, told.get(child.room_id), is_closed=child.room_id in closed)
        for child in children_of(summary)
    ]
