"""Following moderation policy lists: which ones, what each does, and what it would do.

A list's rules are in the state of its room, which is here as long as one of this server's users is in the room. So
whoever subscribes names a user who joins it, or somebody of this server is in it already. When all have left, the rules
stay as they were. What is done because of lists is done by policy_watch.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import (
    RoomID,
    UserID,
    parse_room_alias,
    parse_room_id,
    parse_server_name,
    parse_user_id,
    server_name_of,
    server_name_of_user,
)
from homeserver.core.policy_rules import PolicyKind, PolicyRule
from homeserver.runtime.clock import Clock
from homeserver.services.admin.policy_planning import PolicyPlanning, Step
from homeserver.services.admin.policy_watch import Applied, PolicyWatch
from homeserver.services.admin.room_recovery import RoomRecovery
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.services.rooms.known_rooms import check_known
from homeserver.services.rooms.policy_lists import NOT_FOLLOWED, Followed, PolicyLists, Verdict
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import local_members
from homeserver.storage.policy_lists import MOST_GIVEN_ROOMS, DeedKind, OnRooms, PolicyList, count_deeds

MOST_LISTS: Final = 50
MOST_PER_PAGE: Final = 500
STEPS_PER_REQUEST: Final = 200
MOST_LOOKED_AT: Final = 20_000  # by a dry run
NOBODY_READS: Final = "No user of this server is in the room of the list: name one who is to join it"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a list is to do: nothing, but be looked at, with neither."""

    on_server: bool = False
    on_rooms: OnRooms = OnRooms.NONE
    rooms: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ListStatus:
    """A list as it stands. `members` are this server's users in its room; `deeds` what it did that was not undone."""

    followed: Followed
    members: Sequence[UserID]
    deeds: Mapping[DeedKind, int]
    is_busy: bool
    obstacles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a list would do: some of the steps, and how many there are of each kind, with those that are not possible.

    `is_whole` is False where there was more than could be looked at.
    """

    steps: Sequence[Step]
    counts: Mapping[DeedKind, int]
    impossible: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the lists say of an entity: as what it was understood, and the rules about it, each with its list."""

    kind: PolicyKind
    verdicts: Sequence[Verdict]


class PolicySubscriptions:
    """Subscribes to lists."""

    def __init__(
        self,
        database: Database,
        lists: PolicyLists,
        planning: PolicyPlanning,
        watch: PolicyWatch,
        recovery: RoomRecovery,
        clock: Clock,
    ) -> None:
        self._database = database
        self._lists = lists
        self._planning = planning
        self._watch = watch
        self._recovery = recovery
        self._clock = clock

    async def subscribe(
        self,
        room: str,
        purpose: Purpose,
        *,
        joins: UserID | None,
        via: Sequence[str],
        subscribed_by: UserID | None,
    ) -> ListStatus:
        """Follow the list in the room of this ID (or alias, if a user joins), or change what it does.

        Raises NotFound, InvalidParameter, Forbidden, RemoteFailed.
        """
        wanted = await self._database.read(self._check, purpose)
        room_id = parse_room_id(room) if joins is None else await self._recovery.join(joins, room, via=via)
        if not await self._database.read(local_members, room_id):
            raise Forbidden(NOBODY_READS)
        before = self._lists.find(room_id)
        if before is None and len(self._lists.all) >= MOST_LISTS:
            raise InvalidParameter(f"At most {MOST_LISTS} lists can be followed")
        now_ms = self._clock.now_ms() if before is None else before.list.subscribed_ms
        on_rooms = purpose.on_rooms
        await self._lists.follow(PolicyList(room_id, purpose.on_server, on_rooms, wanted, subscribed_by, now_ms))
        self._watch.begin(room_id)
        return await self.status(room_id)

    async def unsubscribe(self, list_id: RoomID, *, undo: bool) -> Applied:
        """Follow a list no more. What it has done stays, or is undone: as far as that is not done yet, it goes on.

        Raises NotFound.
        """
        followed = self._followed(list_id)
        if not undo:
            await self._watch.forget(list_id)
            return Applied(0, 0, is_complete=True)
        await self._lists.follow(replace(followed.list, ends=True))
        return await self._watch.undo(list_id, limit=STEPS_PER_REQUEST)

    async def apply(self, list_id: RoomID) -> Applied:
        """Carry a list out as far as it goes in one request; call again for the rest. Raises NotFound."""
        return await self._watch.apply(list_id, limit=STEPS_PER_REQUEST)

    async def all(self) -> list[ListStatus]:
        """All lists, the oldest first."""
        return [await self.status(followed.list.room_id) for followed in self._lists.all]

    async def status(self, list_id: RoomID) -> ListStatus:
        """How a list stands. Raises NotFound."""
        followed = self._followed(list_id)
        members, deeds = await self._database.read(_look_at, list_id)
        return ListStatus(followed, members, deeds, self._watch.is_busy_with(list_id), self._watch.obstacles(list_id))

    async def rules(self, list_id: RoomID, *, after: int, limit: int) -> tuple[Sequence[PolicyRule], Followed]:
        """Some rules of a list, those that weigh most first, from the number `after`. Raises NotFound."""
        if not 1 <= limit <= MOST_PER_PAGE or after < 0:
            raise InvalidParameter(f"A page has between 1 and {MOST_PER_PAGE} rules")
        followed = self._followed(list_id)
        return followed.book.rules[after : after + limit], followed

    async def forecast(self, room_id: RoomID, purpose: Purpose | None, *, limit: int) -> Forecast:
        """What a list would do that is not done: with this purpose, or that for which it is followed.

        The list need not be followed, but its room must be known here. Raises NotFound, InvalidParameter.
        """
        if not 1 <= limit <= MOST_PER_PAGE:
            raise InvalidParameter(f"At most {MOST_PER_PAGE} steps can be told")
        if purpose is None:
            followed = self._followed(room_id)
        else:
            rooms = await self._database.read(self._check, purpose)
            imagined = PolicyList(room_id, purpose.on_server, purpose.on_rooms, rooms, None, self._clock.now_ms())
            followed = Followed(imagined, await self._lists.book_of(room_id))
        steps: list[Step] = []
        counts: dict[DeedKind, int] = {}
        impossible = looked_at = 0
        async for step in self._planning.wanted(followed):
            looked_at += 1
            if looked_at > MOST_LOOKED_AT:
                break
            counts[step.deed.kind] = counts.get(step.deed.kind, 0) + 1
            impossible += step.obstacle is not None
            if len(steps) < limit:
                steps.append(step)
        return Forecast(steps, counts, impossible, is_whole=looked_at <= MOST_LOOKED_AT)

    def opinion(self, entity: str) -> Opinion:
        """What the lists say of a user, a room or a server; of a user's server, too. Raises BadIdentifier."""
        if entity.startswith("@"):
            user_id = parse_user_id(entity)
            verdicts = self._lists.about(PolicyKind.USER, user_id)
            verdicts += self._lists.about(PolicyKind.SERVER, server_name_of_user(user_id))
            return Opinion(PolicyKind.USER, verdicts)
        if entity.startswith(("!", "#")):
            room = parse_room_id(entity) if entity.startswith("!") else parse_room_alias(entity)
            server = server_name_of(room)
            verdicts = self._lists.about(PolicyKind.ROOM, room)
            verdicts += [] if server is None else self._lists.about(PolicyKind.SERVER, server)
            return Opinion(PolicyKind.ROOM, verdicts)
        return Opinion(PolicyKind.SERVER, self._lists.about(PolicyKind.SERVER, parse_server_name(entity)))

    def _followed(self, list_id: RoomID) -> Followed:
        followed = self._lists.find(list_id)
        if followed is None:
            raise NotFound(NOT_FOLLOWED)
        return followed

    @staticmethod
    def _check(tx: Transaction, purpose: Purpose) -> frozenset[RoomID]:
        """The rooms that are given, which must be known here."""
        if (purpose.on_rooms is OnRooms.GIVEN) != bool(purpose.rooms):
            raise InvalidParameter("Rooms are named exactly where a list is for given rooms")
        if len(purpose.rooms) > MOST_GIVEN_ROOMS:
            raise InvalidParameter(f"A list is for {MOST_GIVEN_ROOMS} given rooms at most")
        rooms = frozenset(_room_id(each) for each in purpose.rooms)
        check_known(tx, rooms)
        return rooms


def _room_id(name: str) -> RoomID:
    try:
        return parse_room_id(name)
    except BadIdentifier as bad:
        raise InvalidParameter(bad.reason) from bad


def _look_at(tx: Transaction, list_id: RoomID) -> tuple[list[UserID], Mapping[DeedKind, int]]:
    return sorted(islice(local_members(tx, list_id), 10)), count_deeds(tx).get(list_id, {})
