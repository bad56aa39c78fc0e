"""Keeps what is done in step with the moderation policy lists: as their rules change, and as users come into rooms.

Whoever comes is held against the rules in memory as soon as the event is written. What the rules of a list want as a
whole is looked for when they are others than those that were carried out, a piece at a time, and from the beginning
after a restart; who came while nobody watched is found by the log. Nothing is looked for while no list is followed.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from homeserver.core.auth_selection import POWER_LEVELS
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of_user
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.runtime.loops import Loops
from homeserver.services.admin.policy_deeds import Carried, PolicyDeeds
from homeserver.services.admin.policy_planning import PRESENT, PolicyPlanning, Step
from homeserver.services.errors import NotFound
from homeserver.services.events.news import Change, News, RoomBecameWhole, RoomWritten
from homeserver.services.rooms.policy_lists import NOT_FOLLOWED, PolicyLists
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import local_members, room_ids_of_user
from homeserver.storage.policy_lists import came_since, note_watched, set_applied, watched_position

LOOP: Final = "policy lists"
IDLE_S: Final = 60.0
STEPS_AT_ONCE: Final = 50
USERS_AT_ONCE: Final = 50
MOST_AT_ONCE: Final = 100  # users who are held against the lists where their coming is heard of
MOST_ADDED: Final = 200  # users who are looked for one by one
MOST_OBSTACLES: Final = 100  # remembered of a list
MOST_HINDERED: Final = 10_000
EVERYTHING: Final = "everything"


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a list was carried out: how much was done, and not possible, and whether nothing is left."""

    done: int
    failed: int
    is_complete: bool


@dataclass(slots=True)
class _Pass:
    """A list being carried out."""

    steps: AsyncIterator[Step]
    digest: bytes  # of the rules with which it began


class PolicyWatch:
    """The one that watches. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        lists: PolicyLists,
        planning: PolicyPlanning,
        deeds: PolicyDeeds,
        news: News,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._lists = lists
        self._planning = planning
        self._deeds = deeds
        self._news = news
        self._clock = clock
        self._server_name = server_name
        self._loops: Loops | None = None
        self._is_stopping = False
        self._has_caught_up = False
        self._position = 0  # of what was heard last
        self._noted = 0
        self._suspects: dict[tuple[RoomID, UserID], None] = {}
        # Rooms into which a user of this server came, or (True) in which more is known or possible than before.
        self._entered: dict[RoomID, bool] = {}
        self._passes: dict[RoomID, _Pass] = {}
        self._settled: dict[RoomID, bytes] = {}  # lists whose rules are carried out once the suspects are seen to
        self._obstacles: dict[RoomID, dict[str, str]] = {}
        self._hindered: set[RoomID] = set()  # rooms in which something was not possible
        self._locks: KeyedLocks[str] = KeyedLocks()

    def start(self, loops: Loops) -> None:
        """Begin to watch, with what happened while nobody did."""
        self._loops = loops
        self._news.listen(self._hear)
        loops.start(LOOP, self.run, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin nothing further."""
        self._is_stopping = True

    def begin(self, list_id: RoomID) -> None:
        """Carry a list out, from the beginning."""
        self._begin(list_id)
        self._wake()

    async def forget(self, list_id: RoomID) -> None:
        """Follow a list no more, and leave what it has done as it is."""
        async with self._locks(EVERYTHING):
            await self._forget(list_id)

    def is_busy_with(self, list_id: RoomID) -> bool:
        """Whether a list is being carried out."""
        return list_id in self._passes or list_id in self._settled

    def obstacles(self, list_id: RoomID) -> dict[str, str]:
        """What was not possible when a list was last carried out, and why: some of it."""
        return dict(self._obstacles.get(list_id, {}))

    async def apply(self, list_id: RoomID, *, limit: int) -> Applied:
        """Carry a list out as far as so many steps go; call again for the rest. Raises NotFound."""
        async with self._locks(EVERYTHING):
            await self._renew()
            if self._lists.find(list_id) is None:
                raise NotFound(NOT_FOLLOWED)
            if list_id not in self._passes:
                self._begin(list_id)
            return await self._advance(list_id, limit)

    async def undo(self, list_id: RoomID, *, limit: int) -> Applied:
        """Undo what a list that ends has done, as far as so many steps go; the rest is done by and by."""
        async with self._locks(EVERYTHING):
            self._begin(list_id)
            undone = await self._advance(list_id, limit) if list_id in self._passes else Applied(0, 0, is_complete=True)
        self._wake()
        return undone

    async def run(self) -> None:
        """Do all that there is to do."""
        if not self._has_caught_up and not self._lists.is_empty:
            await self._catch_up()
            self._has_caught_up = True
        while not self._is_stopping and await self._turn():
            pass
        if self._position > self._noted and not self._lists.is_empty:
            position = self._position
            await self._database.write(note_watched, position)
            self._noted = position

    # What is heard

    def _hear(self, change: Change) -> None:
        if self._lists.is_empty:
            return
        if isinstance(change, RoomBecameWhole):
            self._entered[change.room_id] = True
            self._wake()
        if not isinstance(change, RoomWritten):
            return
        self._position = max(self._position, change.position)
        is_due = self._lists.hear(change)
        if change.room_id in self._hindered and any(each.event.type == POWER_LEVELS[0] for each in change.events):
            self._entered[change.room_id] = True
            is_due = True
        if len(change.memberships) > MOST_AT_ONCE:
            self._entered[change.room_id] = True
            self._wake()
            return
        for moved in change.memberships:
            if moved.membership not in PRESENT:
                continue
            if self._lists.find_ban(moved.room_id, moved.user_id) is not None:
                self._suspects[moved.room_id, moved.user_id] = None
                is_due = True
            has_come = moved.membership == "join" and moved.before != "join"
            if has_come and self._lists.act and server_name_of_user(moved.user_id) == self._server_name:
                self._entered.setdefault(moved.room_id, False)
                is_due = True
        if is_due:
            self._wake()

    def _begin(self, list_id: RoomID) -> None:
        followed = self._lists.find(list_id)
        if followed is not None:
            self._obstacles.pop(list_id, None)
            self._passes[list_id] = _Pass(self._planning.whole(followed), followed.book.digest)

    def _wake(self) -> None:
        if self._loops is not None:
            self._loops.hurry(LOOP)

    # What is done

    async def _catch_up(self) -> None:
        """Find out what happened since somebody last watched."""
        for followed in self._lists.all:
            if followed.list.ends or (followed.list.acts and followed.list.applied != followed.book.digest):
                self._begin(followed.list.room_id)
        newest, position = await self._database.read(_positions)
        if position is not None:
            for room_id, user_id in await self._database.read(came_since, position):
                if self._lists.find_ban(room_id, user_id) is not None:
                    self._suspects[room_id, user_id] = None
        self._position = max(self._position, newest)

    async def _turn(self) -> bool:
        """Do the next piece; False when there is nothing to do."""
        async with self._locks(EVERYTHING):
            await self._renew()
            if self._suspects:
                pairs = list(self._suspects)[:USERS_AT_ONCE]
                await self._carry_out(await self._planning.of_users(pairs))
                for pair in pairs:
                    self._suspects.pop(pair, None)
                return True
            if self._settled:
                list_id, digest = self._settled.popitem()
                await self._finish(list_id, digest)
                return True
            if self._entered:
                room_id, is_new_here = next(iter(self._entered.items()))
                # Where others of this server were before, everybody was looked at when they came.
                self._hindered.discard(room_id)
                if is_new_here or len(await self._database.read(local_members, room_id)) == 1:
                    await self._carry_out([step async for step in self._planning.in_room(room_id)])
                self._entered.pop(room_id, None)
                return True
            if self._passes:
                list_id, current = next(iter(self._passes.items()))
                self._passes[list_id] = self._passes.pop(list_id, current)  # each list in its turn
                await self._advance(list_id, STEPS_AT_ONCE)
                return True
        return False

    async def _renew(self) -> None:
        """Take up what has changed in lists. Who was only added, as in a raid, is looked for alone."""
        for renewed in await self._lists.renew():
            list_id, book = renewed.followed.list.room_id, renewed.followed.book
            added = book.new_users(renewed.before)
            current = self._passes.get(list_id)
            is_in_step = current is not None or renewed.followed.list.applied == renewed.before.digest
            is_in_step = is_in_step or self._settled.get(list_id) == renewed.before.digest
            if added is None or len(added) > MOST_ADDED or not is_in_step or renewed.followed.list.ends:
                self._settled.pop(list_id, None)
                self._begin(list_id)
                continue
            for user_id in map(UserID, added):
                for room_id in await self._database.read(room_ids_of_user, user_id, PRESENT):
                    if renewed.followed.list.protects(room_id):
                        self._suspects[room_id, user_id] = None
            if current is not None:
                current.digest = book.digest
            else:
                self._settled[list_id] = book.digest

    async def _advance(self, list_id: RoomID, limit: int) -> Applied:
        """Carry a list out further."""
        current = self._passes[list_id]
        steps: list[Step] = []
        is_complete = True
        carried: Carried | None = None
        try:
            async for step in current.steps:
                steps.append(step)
                if len(steps) >= limit:
                    is_complete = False
                    break
            carried = await self._carry_out(steps)
        finally:
            if carried is None:
                self._begin(list_id)  # what failed is looked for again
        if is_complete and self._passes.get(list_id) is current:
            del self._passes[list_id]
            await self._finish(list_id, current.digest)
        return Applied(carried.done, len(carried.failed), is_complete)

    async def _carry_out(self, steps: list[Step]) -> Carried:
        carried = await self._deeds.carry_out(steps, now_ms=self._clock.now_ms())
        for step, why_not in carried.failed:
            if step.deed.room_id is not None and len(self._hindered) < MOST_HINDERED:
                self._hindered.add(step.deed.room_id)
            known = self._obstacles.setdefault(step.deed.list_id, {})
            if len(known) < MOST_OBSTACLES:
                known[f"{step.deed.entity} in {step.deed.room_id}" if step.deed.room_id else step.deed.entity] = why_not
        return carried

    async def _forget(self, list_id: RoomID) -> None:
        await self._lists.forget(list_id)
        for kept in (self._passes, self._settled, self._obstacles):
            kept.pop(list_id, None)

    async def _finish(self, list_id: RoomID, digest: bytes) -> None:
        followed = self._lists.find(list_id)
        if followed is None:
            return
        if followed.list.ends:
            await self._forget(list_id)
        else:
            await self._database.write(set_applied, list_id, digest)
            self._lists.note_applied(list_id, digest)


def _positions(tx: Transaction) -> tuple[int, int | None]:
    return tx.log_position, watched_position(tx)
