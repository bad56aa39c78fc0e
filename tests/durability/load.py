"""Users who write without end to a server that comes and goes, and what it acknowledged to them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.connection import Lost, Refused
from tests.users import User, register

TALKERS: Final = 5
PATIENCE_S: Final = 90.0
TRY_AGAIN_S: Final = 0.01
PROGRESS: Final = "org.example.progress"
NOTES: Final = "org.example.notes"


@dataclass(frozen=True, slots=True)
class Said:
    """A message that was acknowledged."""

    user_id: str
    number: int
    room_id: str
    event_id: str

    @property
    def body(self) -> str:
        """What it says: nobody else says it, and nobody says it twice."""
        return body_of(self.user_id, self.number)


def body_of(user_id: str, number: int) -> str:
    """The text of a user's message of this number."""
    return f"{user_id} {number}"


@dataclass
class Talker:
    """A user who says one thing after the other, each until it is acknowledged, and at times writes something else."""

    user: User
    said: list[Said] = field(default_factory=list)
    progress: dict[str, int] = field(default_factory=dict)  # by room: the number in the state that was set last
    notes: int | None = None  # the number in the account data that was set last


class Load:
    """Everybody who writes. What became of a request that was not answered is found out by asking again."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.is_up = asyncio.Event()
        self.talkers: list[Talker] = []
        self.rooms: list[str] = []
        self.membership = ""  # that of the wanderer in the first room, as the server acknowledged it last
        self.acknowledged = 0
        self.asked_again = 0
        self._port = port
        self._chance = chance
        self._is_over = False
        self._goal = 0
        self._is_reached = asyncio.Event()

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Make users and rooms, and let everybody write."""
        self.talkers = [Talker(await register(self._port, f"talker{number}")) for number in range(TALKERS)]
        wanderer = await register(self._port, "wanderer")
        first, *others = (talker.user for talker in self.talkers)
        for version in ("12", "10"):
            levels = {"events": {PROGRESS: 0}}
            room_id = await first.create_room(
                preset="public_chat", room_version=version, power_level_content_override=levels
            )
            self.rooms.append(room_id)
            for user in others:
                await user.join(room_id)
        self.is_up.set()
        for talker in self.talkers:
            tasks.create_task(self._talk(talker))
        tasks.create_task(self._wander(wanderer))

    async def goes_on(self, acknowledgements: int) -> None:
        """Wait until so many more requests were acknowledged. Raises TimeoutError when that takes too long."""
        self._goal = self.acknowledged + acknowledgements
        self._is_reached.clear()
        async with asyncio.timeout(PATIENCE_S):
            await self._is_reached.wait()

    def end(self) -> None:
        """Let everybody finish what is under way."""
        self._is_over = True

    async def _talk(self, talker: Talker) -> None:
        user, number = talker.user, 0
        while not self._is_over:
            number += 1
            room_id = self._chance.choice(self.rooms)
            event_id = await self._insist(user.say, room_id, body_of(user.user_id, number), f"txn{number}")
            talker.said.append(Said(user.user_id, number, room_id, event_id))
            if number % 5 == 0:
                path = ("rooms", room_id, "state", PROGRESS, user.user_id)
                await self._insist(user.call, "PUT", *path, body={"number": number})
                talker.progress[room_id] = number
            if number % 7 == 0:
                await self._insist(user.call, "POST", "rooms", room_id, "receipt", "m.read", event_id, body={})
            if number % 8 == 0:
                await self._insist(
                    user.call, "PUT", "user", user.user_id, "account_data", NOTES, body={"number": number}
                )
                talker.notes = number

    async def _wander(self, user: User) -> None:
        while not self._is_over:
            for step, membership in (("join", "join"), ("leave", "leave")):
                path = ("rooms", self.rooms[0], step)
                # Whoever has left cannot leave.
                await self._insist(user.call, "POST", *path, body={}, done_already=403)
                self.membership = membership

    # Any: what is asked, and what is answered.
    async def _insist(
        self, ask: Callable[..., Awaitable[Any]], *arguments: Any, done_already: int | None = None, **options: Any
    ) -> Any:
        """Ask until there is an answer. When asked again, the status `done_already` is one."""
        is_first = True
        while True:
            await self.is_up.wait()
            try:
                answer = await ask(*arguments, **options)
                break
            except Lost:
                pass
            except Refused as refused:
                if not is_first and refused.status == done_already:
                    answer = None
                    break
                if refused.status < 500:
                    raise
            is_first = False
            self.asked_again += 1
            await asyncio.sleep(TRY_AGAIN_S)
        self.acknowledged += 1
        if self.acknowledged >= self._goal:
            self._is_reached.set()
        return answer
