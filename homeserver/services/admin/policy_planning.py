"""What moderation policy lists want done that is not done yet, and what they do not want any more.

Everything is found by comparing what the rules say with how things are. So it may be looked for at any time, from the
beginning again after a restart, and what is done already is not found. Who does it is policy_deeds.py; when it is
looked for is policy_watch.py.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.identifiers import RoomAlias, RoomID, ServerName, UserID, server_name_of
from homeserver.core.policy_rules import PolicyKind, PolicyRule, names_of_server
from homeserver.core.power_levels import Level, PowerLevels, read_power_levels
from homeserver.core.slices import slices
from homeserver.services.admin.local_powers import NOBODY_HERE, NOT_ALLOWED
from homeserver.services.admin.room_acls import LARGEST_BYTES, SERVER_ACL, TOO_LARGE, denied_by, size_of
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.destinations import Destinations
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.services.rooms.policy_lists import Followed, PolicyLists, Verdict
from homeserver.storage.accounts import find_account
from homeserver.storage.aliases import aliases_of_room, find_alias
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import find_membership, local_members
from homeserver.storage.policy_lists import (
    Deed,
    DeedKind,
    OnRooms,
    blocked_among,
    deeds_after,
    known_rooms,
    present_users,
    rooms_of_server,
)
from homeserver.storage.rooms import find_head

ROOMS_AT_ONCE: Final = 200
USERS_AT_ONCE: Final = 1_000
DEEDS_AT_ONCE: Final = 500
MOST_KNOWN: Final = 50_000  # users, of whom it is remembered what a list says while it is gone through
AS_POWERFUL: Final = "The user has as much power in the room as anybody of this server there"
ACL: Final = (SERVER_ACL, "")
PRESENT: Final = ("join", "invite", "knock")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be done or, if it `undoes`, taken back. `rule` says why; `obstacle` why it is not possible."""

    deed: Deed
    rule: PolicyRule | None = None
    undoes: bool = False
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class _Standing:
    """What this server can do in a room."""

    levels: PowerLevels | None
    strongest: Level | None  # of this server's users who are there
    denied: Mapping[str, Any] | None  # the content of the room's m.room.server_acl. Any: JSON

    def obstacle_to_ban(self, user_id: UserID) -> str | None:
        """Why somebody cannot be banned."""
        if self.levels is None or self.strongest is None:
            return NO_ROOM if self.levels is None else NOBODY_HERE
        if self.strongest < self.levels.ban:
            return NOT_ALLOWED
        return AS_POWERFUL if self.levels.user_level(user_id) >= self.strongest else None

    def obstacle_to_deny(self) -> str | None:
        """Why servers cannot be shut out."""
        if self.levels is None or self.strongest is None:
            return NO_ROOM if self.levels is None else NOBODY_HERE
        return None if self.strongest >= self.levels.event_level(SERVER_ACL, is_state=True) else NOT_ALLOWED


class PolicyPlanning:
    """Finds what is to be done."""

    def __init__(
        self,
        database: Database,
        states: RoomStates,
        lists: PolicyLists,
        destinations: Destinations,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._states = states
        self._lists = lists
        self._destinations = destinations
        self._server_name = server_name

    async def whole(self, followed: Followed) -> AsyncIterator[Step]:
        """All that a list wants done, then all that it has done and that nobody wants any more."""
        async for step in self.wanted(followed):
            yield step
        async for step in self._unwanted(followed.list.room_id):
            yield step

    async def wanted(self, followed: Followed) -> AsyncIterator[Step]:
        """All that a list wants done that is not done yet."""
        if not followed.list.acts:
            return
        if followed.list.on_server:
            for step in self._refusals(followed):
                yield step
            async for step in self._blocks(followed):
                yield step
        known: dict[UserID, PolicyRule | None] = {}
        async for room_id in self._rooms(followed):
            async for step in self._in_room(followed, room_id, known):
                yield step

    async def in_room(self, room_id: RoomID) -> AsyncIterator[Step]:
        """What the lists want done in a room into which this server has just come."""
        for followed in self._lists.all:
            if followed.list.protects(room_id):
                async for step in self._in_room(followed, room_id, {}):
                    yield step

    async def of_users(self, pairs: Sequence[tuple[RoomID, UserID]]) -> list[Step]:
        """What the lists want done about users who came into rooms."""
        steps = []
        for room_id, user_id in pairs:
            verdict = self._lists.find_ban(room_id, user_id)
            if verdict is not None:
                steps += await self._database.read(self._bans, room_id, {user_id: verdict})
        return steps

    # The server

    def _refusals(self, followed: Followed) -> list[Step]:
        known = {rule.pattern for rule in self._destinations.rules}
        return [
            Step(Deed(DeedKind.REFUSE, None, pattern, followed.list.room_id), rule)
            for pattern, rule in followed.book.servers.items()
            if pattern not in known and pattern not in names_of_server(self._server_name)
        ]

    async def _blocks(self, followed: Followed) -> AsyncIterator[Step]:
        rules = [rule for rule in followed.book.active if rule.kind is PolicyKind.ROOM]
        named = [rule for rule in rules if rule.entity is not None and not rule.is_glob]
        for some in slices(named, ROOMS_AT_ONCE):
            found = await self._database.read(self._named_rooms, some)
            for room_id, rule in found.items():
                yield self._block(followed, room_id, rule)
        if len(named) == len(rules):
            return
        after = ""
        while page := await self._database.read(known_rooms, after=after, limit=ROOMS_AT_ONCE):
            for room_id, is_blocked in page.items():
                after = room_id
                matching = None if is_blocked else followed.book.find(PolicyKind.ROOM, room_id)
                if matching is not None and self._lists.find(room_id) is None:
                    yield self._block(followed, room_id, matching)

    @staticmethod
    def _block(followed: Followed, room_id: RoomID, rule: PolicyRule) -> Step:
        return Step(Deed(DeedKind.BLOCK, None, room_id, followed.list.room_id), rule)

    def _named_rooms(self, tx: Transaction, rules: Sequence[PolicyRule]) -> dict[RoomID, PolicyRule]:
        """The rooms that these rules name, by ID or by an alias of this server, and that are not blocked."""
        found: dict[RoomID, PolicyRule] = {}
        for rule in rules:
            name = rule.entity or ""
            if name.startswith("!"):
                found.setdefault(RoomID(name), rule)
            elif name.startswith("#") and (alias := find_alias(tx, RoomAlias(name))) is not None:
                found.setdefault(alias.room_id, rule)
        blocked = blocked_among(tx, found)
        return {
            room_id: rule
            for room_id, rule in found.items()
            if room_id not in blocked and self._lists.find(room_id) is None
        }

    # Rooms

    async def _rooms(self, followed: Followed) -> AsyncIterator[RoomID]:
        """The rooms in which a list is carried out."""
        if not followed.list.on_server and followed.list.on_rooms is not OnRooms.ALL:
            for room_id in sorted(followed.list.rooms):
                yield room_id
            return
        after = ""
        while page := await self._database.read(rooms_of_server, self._server_name, after=after, limit=ROOMS_AT_ONCE):
            for room_id in page:
                yield room_id
            after = page[-1]

    async def _in_room(
        self, followed: Followed, room_id: RoomID, known: dict[UserID, PolicyRule | None]
    ) -> AsyncIterator[Step]:
        """What a list wants done in a room. `known` are the rules about users that were found before."""
        for step in await self._database.read(self._denials, followed, room_id):
            yield step
        after: str | None = ""
        while after is not None:
            after, steps = await self._database.read(self._named, followed, room_id, after, known)
            for step in steps:
                yield step

    def _named(
        self, tx: Transaction, followed: Followed, room_id: RoomID, after: str, known: dict[UserID, PolicyRule | None]
    ) -> tuple[str | None, list[Step]]:
        """The bans of some of those who are in a room, and after whom to go on: None after the last."""
        page = present_users(tx, room_id, after=after, limit=USERS_AT_ONCE)
        if len(known) > MOST_KNOWN:
            known.clear()
        for user_id in page:
            if user_id not in known:
                known[user_id] = followed.book.find(PolicyKind.USER, user_id)
        named = {user_id: Verdict(followed.list, rule) for user_id in page if (rule := known[user_id]) is not None}
        steps = self._bans(tx, room_id, named) if named else []
        return (page[-1] if len(page) == USERS_AT_ONCE else None), steps

    def _bans(self, tx: Transaction, room_id: RoomID, named: Mapping[UserID, Verdict]) -> list[Step]:
        """The bans of those who are still in a room and are not administrators here."""
        standing = self._standing(tx, room_id)
        steps = []
        for user_id, verdict in named.items():
            membership = find_membership(tx, room_id, user_id)
            if membership is None or membership.membership not in PRESENT or self._is_spared(tx, user_id):
                continue
            obstacle = standing.obstacle_to_ban(user_id)
            deed = Deed(DeedKind.BAN, room_id, user_id, verdict.list.room_id)
            steps.append(Step(deed, verdict.rule, obstacle=obstacle))
        return steps

    def _denials(self, tx: Transaction, followed: Followed, room_id: RoomID) -> list[Step]:
        """The servers to be shut out of a room."""
        if not denies_in(followed, room_id):
            return []
        standing = self._standing(tx, room_id)
        denied = denied_by(standing.denied)
        known = {each.lower() for each in denied}
        missing = {pattern: rule for pattern, rule in followed.book.hosts.items() if pattern not in known}
        obstacle = standing.obstacle_to_deny()
        left = LARGEST_BYTES - size_of(standing.denied or {"allow": ["*"], "deny": []})
        steps = []
        for pattern, rule in missing.items():
            left -= len(pattern) + 3
            deed = Deed(DeedKind.ACL, room_id, pattern, followed.list.room_id)
            why_not = obstacle if obstacle is not None else TOO_LARGE if left < 0 else None
            steps.append(Step(deed, rule, obstacle=why_not))
        return steps

    def _standing(self, tx: Transaction, room_id: RoomID) -> _Standing:
        head = find_head(tx, room_id)
        keys = (CREATE, POWER_LEVELS, ACL)
        state = {} if head is None else self._states.select(tx, room_id, head.current_root, keys)
        if head is None or CREATE not in state:
            return _Standing(None, None, None)
        levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), head.version)
        strongest = max((levels.user_level(user_id) for user_id in local_members(tx, room_id)), default=None)
        return _Standing(levels, strongest, state[ACL].content if ACL in state else None)

    def _is_spared(self, tx: Transaction, user_id: UserID) -> bool:
        """Whoever writes a list cannot have this server's administrators banned by it."""
        if server_name_of(user_id) != self._server_name:
            return False
        account = find_account(tx, user_id)
        return account is not None and account.is_admin

    # What nobody wants any more

    async def _unwanted(self, list_id: RoomID) -> AsyncIterator[Step]:
        """What a list has done, and no list wants any more; what another wants is that one's from now on."""
        after: Deed | None = None
        while page := await self._database.read(deeds_after, after, limit=DEEDS_AT_ONCE):
            after = page[-1]
            for deed in page:
                if deed.list_id == list_id:
                    wanted_by = await self._wanted_by(deed)
                    if wanted_by is None:
                        yield Step(deed, undoes=True)
                    elif wanted_by != list_id:
                        yield Step(replace(deed, list_id=wanted_by))

    async def _wanted_by(self, deed: Deed) -> RoomID | None:
        """The list that wants what was done, first of all the one that did it."""
        acting = [each for each in self._lists.all if each.list.acts]
        acting.sort(key=lambda each: each.list.room_id != deed.list_id)
        names: Sequence[str] = ()
        if deed.kind is DeedKind.BLOCK:
            names = [deed.entity, *await self._database.read(aliases_of_room, RoomID(deed.entity))]
        return next((each.list.room_id for each in acting if _wants(each, deed, names)), None)


def denies_in(followed: Followed, room_id: RoomID) -> bool:
    """Whether servers that a list names are shut out of a room by the room's own list."""
    wanted = followed.list
    return wanted.on_rooms is OnRooms.ALL or (wanted.on_rooms is OnRooms.GIVEN and room_id in wanted.rooms)


def _wants(followed: Followed, deed: Deed, names: Sequence[str]) -> bool:
    match deed.kind:
        case DeedKind.BAN:
            is_there = deed.room_id is not None and followed.list.protects(deed.room_id)
            return is_there and followed.book.find(PolicyKind.USER, deed.entity) is not None
        case DeedKind.ACL:
            is_there = deed.room_id is not None and denies_in(followed, deed.room_id)
            return is_there and deed.entity in followed.book.hosts
        case DeedKind.BLOCK:
            return followed.list.on_server and any(
                followed.book.find(PolicyKind.ROOM, name) is not None for name in names
            )
        case DeedKind.REFUSE:
            return followed.list.on_server and deed.entity in followed.book.servers
