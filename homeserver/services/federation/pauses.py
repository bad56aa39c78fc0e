"""When something that failed may be tried again: later and later, as long as it fails."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from homeserver.runtime.clock import Clock

FIRST_PAUSE_S: Final = 60.0
PAUSE_FACTOR: Final = 4
LONGEST_PAUSE_S: Final = 24 * 3600.0
MOST_REMEMBERED: Final = 10_000

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Pause:
    attempts: int
    until_s: float


class Pauses(Generic[K]):
    """What rests, and for how long; of very many things the first are forgotten."""

    def __init__(self, clock: Clock, most_remembered: int = MOST_REMEMBERED) -> None:
        self._clock = clock
        self._most_remembered = most_remembered
        self._pauses: OrderedDict[K, _Pause] = OrderedDict()

    def __len__(self) -> int:
        """How many things are remembered."""
        return len(self._pauses)

    def rests(self, key: K) -> bool:
        """Whether it is too early to try this again."""
        pause = self._pauses.get(key)
        return pause is not None and pause.until_s > self._clock.seconds()

    def resting(self) -> Iterator[tuple[K, float]]:
        """What rests, with when that ends, on the clock's `seconds`."""
        now_s = self._clock.seconds()
        return ((key, pause.until_s) for key, pause in self._pauses.items() if pause.until_s > now_s)

    def put_off(self, key: K) -> None:
        """Let it rest: four times as long as the last time, a day at most."""
        pause = self._pauses.pop(key, None)
        attempts = 0 if pause is None else pause.attempts
        pause_s = min(FIRST_PAUSE_S * PAUSE_FACTOR ** min(attempts, 16), LONGEST_PAUSE_S)
        self._pauses[key] = _Pause(attempts + 1, self._clock.seconds() + pause_s)
        while len(self._pauses) > self._most_remembered:
            self._pauses.popitem(last=False)

    def cut_short(self, key: K) -> None:
        """Let it rest no longer; should that be too early, it rests the longer afterwards."""
        pause = self._pauses.get(key)
        if pause is not None:
            self._pauses[key] = replace(pause, until_s=self._clock.seconds())

    def forget(self, key: K) -> None:
        """It went well."""
        self._pauses.pop(key, None)
