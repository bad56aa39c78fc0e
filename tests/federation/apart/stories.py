"""What happens in a room of several servers while links are cut, drawn with a seed; whether all agree in the end."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final

from homeserver.storage.events import Verdict
from tests.connection import Refused
from tests.federation.apart.islands import Islands
from tests.federation.apart.links import CUTS
from tests.federation.apart.witnesses import Witness, stored_verdicts, witness
from tests.federation.people import PATIENCE_S, Person
from tests.federation.scenes import shared_room

# Any: JSON, throughout.

GUESTS: Final = 2  # on each server, besides its keeper
VERSIONS: Final = ("12", "11", "10", "6", "1")
POLL_MS: Final = 300
LEVELS: Final = (0, 0, 50)
SETTINGS: Final = ("events_default", "state_default", "ban", "kick")


@dataclass
class Story:
    """A room, who is in it, and what was acknowledged to them.

    Each server has a keeper, who may everything and stays, and guests, who come and go.
    """

    islands: Islands
    chance: Random
    room_id: str
    keepers: Sequence[Person]
    guests: Sequence[Person]
    witnesses: list[Witness]
    prologue: frozenset[str]  # events of before: whoever changes nothing is answered with the event that did
    acknowledged: dict[str, str] = field(default_factory=dict)  # what was done, by event ID
    refused: Counter[str] = field(default_factory=Counter)
    _numbers: "count[int]" = field(default_factory=count)

    async def go_on(self, steps: int) -> None:
        """Let everybody do something, so many times, all at once."""
        await asyncio.gather(*(self._act(person, steps) for person in (*self.keepers, *self.guests)))
        await self.look()

    async def look(self) -> None:
        """Let the witnesses hear what there is."""
        await asyncio.gather(*(one.look() for one in self.witnesses))

    async def part(self) -> str:
        """Cut links as chance will have it; in which way."""
        everybody = range(len(self.keepers))
        way = self.chance.choice(CUTS)
        shape = self.chance.choice(("two", "one and the rest", "all", "one way"))
        one, other = self.chance.sample(everybody, 2)
        if shape == "two":
            pairs = self.islands.between([one], [other])
        elif shape == "one and the rest":
            pairs = self.islands.between([one], [number for number in everybody if number != one])
        elif shape == "all":
            pairs = list(self.islands.links)
        else:
            pairs = [(one, other)]
        await self.islands.cut(pairs, way)
        return f"{shape}, {way.value}: {sorted(set(pairs))}"

    # What people do

    async def _act(self, person: Person, steps: int) -> None:
        for _ in range(steps):
            act = self.chance.choice(KEEPING if person in self.keepers else BEING_THERE)
            try:
                event_id = await act(self, person)
            except Refused as refused:
                # What a server forgot that was put back to a backup it cannot redact, until it has heard of it again.
                is_forgotten = act is Story.redact and refused.status == 404
                if refused.status != 403 and not is_forgotten:
                    raise
                self.refused[act.__name__] += 1
            else:
                if event_id is not None and event_id not in self.prologue:
                    self.acknowledged[event_id] = f"{act.__name__} by {person.user_id}"

    async def say(self, person: Person) -> str:
        """Say something that nobody says twice."""
        return await person.say(self.room_id, f"{person.localpart} {self._next}")

    async def name_topic(self, person: Person) -> str:
        """Change the topic."""
        return await person.set_state(self.room_id, "m.room.topic", {"topic": f"{person.localpart} {self._next}"})

    async def note(self, person: Person) -> str:
        """Change one of a few pieces of state."""
        content = {"number": self._next}
        return await person.set_state(self.room_id, "org.example.note", content, f"{self.chance.randrange(4)}")

    async def redact(self, person: Person) -> str | None:
        """Redact something that they said."""
        mine = [event_id for event_id, what in self.acknowledged.items() if what == f"say by {person.user_id}"]
        return await person.redact(self.room_id, self.chance.choice(mine)) if mine else None

    async def ban(self, person: Person) -> str:
        """Ban a guest."""
        return await self._move(person, self.chance.choice(self.guests), "ban")

    async def kick_or_pardon(self, person: Person) -> str:
        """Kick a guest, or take back that they are banned."""
        return await self._move(person, self.chance.choice(self.guests), "leave")

    async def leave(self, person: Person) -> str:
        """Leave."""
        return await self._move(person, person, "leave")

    async def join(self, person: Person) -> str:
        """Join, for the first time or not."""
        return await self._move(person, person, "join")

    async def _move(self, person: Person, whom: Person, membership: str) -> str:
        # As state, for the event's ID is answered then.
        return await person.set_state(self.room_id, "m.room.member", {"membership": membership}, whom.user_id)

    async def empower(self, person: Person) -> str:
        """Give somebody another power level, or change what power is needed for."""
        levels: dict[str, Any] = await person.get("rooms", self.room_id, "state", "m.room.power_levels", "")
        if self.chance.random() < 0.5:
            levels["users"] = {**levels["users"], self.chance.choice(self.guests).user_id: self.chance.choice(LEVELS)}
        else:
            levels[self.chance.choice(SETTINGS)] = self.chance.choice(LEVELS)
        return await person.set_state(self.room_id, "m.room.power_levels", levels)

    @property
    def _next(self) -> int:
        return next(self._numbers)

    # How it ends

    async def settle(self) -> None:
        """Heal everything, and wait until all have the same. Raises AssertionError."""
        await self.islands.heal()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await self._has_converged():
                    await asyncio.gather(*(one.look(POLL_MS) for one in self.witnesses))
        except TimeoutError:
            raise AssertionError(await self._difference()) from None

    async def end(self) -> None:
        """Settle, and judge what all servers have and told. Raises AssertionError."""
        await self.settle()
        await self.look()
        self._check_what_was_told()
        await asyncio.gather(*(self._verify(number) for number in range(len(self.keepers))))

    async def _has_converged(self) -> bool:
        if not all(not self._lacking(number) for number in range(len(self.keepers))):
            return False
        first, *others = [await keeper.current_state(self.room_id) for keeper in self.keepers]
        if all(other == first for other in others):
            return True
        # They have the same events, but not all the same heads: an event on top of them joins those.
        for keeper in self.keepers:
            self.acknowledged[await self.say(keeper)] = f"say by {keeper.user_id}"
        return False

    def verdicts(self, number: int) -> dict[str, Verdict]:
        """What a server thinks of the events that it has."""
        return stored_verdicts(self.islands.server(number).sqlite_file, self.room_id)

    def _lacking(self, number: int) -> dict[str, str]:
        """What was acknowledged, and a server does not have, or has rejected."""
        verdicts = self.verdicts(number)
        return {
            event_id: f"{what} {verdicts.get(event_id)}"
            for event_id, what in self.acknowledged.items()
            if verdicts.get(event_id, Verdict.REJECTED) is Verdict.REJECTED
        }

    async def _difference(self) -> str:
        states = [await keeper.current_state(self.room_id) for keeper in self.keepers]
        keys = {key for state in states for key in state}
        differing = {key: [state.get(key) for state in states] for key in keys}
        lines = [f"{self.room_id}: the servers did not come to agree"]
        lines += [f"server {number} lacks {self._lacking(number)}" for number in range(len(self.keepers))]
        lines += [f"{key}: {values}" for key, values in differing.items() if len(set(values)) > 1]
        return "\n".join(lines)

    def _check_what_was_told(self) -> None:
        """Each device was told once of each event that its server accepted, and never of another."""
        for number, one in enumerate(self.witnesses):
            verdicts = self.verdicts(number)
            told_twice = {event_id: times for event_id, times in one.told.items() if times > 1}
            assert not told_twice, f"server {number} told twice: {told_twice}"
            wrong = {event_id for event_id in one.told if verdicts.get(event_id) is not Verdict.ACCEPTED}
            assert not wrong, f"server {number} told of what it did not accept: {wrong}"
            accepted = {event_id for event_id in self.acknowledged if verdicts.get(event_id) is Verdict.ACCEPTED}
            untold = {event_id: self.acknowledged[event_id] for event_id in accepted - one.told.keys()}
            assert one.was_limited or not untold, f"server {number} did not tell of {untold}"

    async def _verify(self, number: int) -> None:
        server = self.islands.server(number)
        done = await asyncio.to_thread(server.command, "admin", "room", "verify", self.room_id)
        assert done.returncode == 0, f"server {number}: {done.stdout} {done.stderr}"


Act = Callable[[Story, Person], Awaitable[str | None]]
# What keepers and guests do, often or not.
KEEPING: Final[Sequence[Act]] = (
    Story.say,
    Story.say,
    Story.name_topic,
    Story.note,
    Story.empower,
    Story.ban,
    Story.kick_or_pardon,
    Story.kick_or_pardon,
)
BEING_THERE: Final[Sequence[Act]] = (
    Story.say,
    Story.say,
    Story.say,
    Story.name_topic,
    Story.note,
    Story.redact,
    Story.leave,
    Story.join,
    Story.join,
    Story.ban,
)


async def begin(islands: Islands, chance: Random, version: str) -> Story:
    """Make a room that everybody is in."""
    keepers = [await peer.person("keeper") for peer in islands.peers]
    guests = [await peer.person("guest") for peer in islands.peers for _ in range(GUESTS)]
    first, *others = keepers
    named = others if version == "12" else keepers  # who makes a room of that version need not be named, and must not
    levels = {
        "users": {**{one.user_id: 100 for one in named}, **{one.user_id: chance.choice(LEVELS) for one in guests}},
        "state_default": 0,
    }
    room_id = await shared_room(first, *others, *guests, room_version=version, power_level_content_override=levels)
    witnesses = [await witness(keeper, room_id) for keeper in keepers]
    prologue = frozenset((await first.current_state(room_id)).values())
    return Story(islands, chance, room_id, keepers, guests, witnesses, prologue)


async def tell(story: Story, chapters: int, steps: int) -> None:
    """Part the servers again and again, in other ways, with something going on all the time; let them agree then."""
    for _ in range(chapters):
        print(await story.part())
        await story.go_on(steps)
        if story.chance.random() < 0.5:
            await story.islands.heal()
            await story.go_on(1)
    await story.end()
    print(f"{len(story.acknowledged)} events were acknowledged; refused: {dict(story.refused)}")
