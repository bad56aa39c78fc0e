"""What this process takes up, and what it is busy with: for administrators who ask how their server is.

Figures over time are in metrics.py.
"""

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops

MOST_NAMES: Final = 1_000
PROC: Final = Path("/proc/self")


@dataclass(slots=True)
class Cost:
    """What was asked about one thing, so far."""

    name: str
    requests: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0


class Costs:
    """What things cost, by their names: of many names those are remembered that cost most."""

    def __init__(self, most_names: int = MOST_NAMES) -> None:
        self._most_names = most_names
        self._costs: dict[str, Cost] = {}

    def note(self, name: str, *, cpu_s: float, wall_s: float) -> None:
        """Add what one request cost."""
        cost = self._costs.get(name)
        if cost is None:
            if len(self._costs) >= self._most_names:
                kept = self.most_costly(self._most_names // 2)
                self._costs = {one.name: one for one in kept}
            cost = self._costs[name] = Cost(name)
        cost.requests += 1
        cost.cpu_s += cpu_s
        cost.wall_s += wall_s

    def most_costly(self, limit: int) -> list[Cost]:
        """Those on which most time was spent, the costliest first."""
        return sorted(self._costs.values(), key=lambda cost: -cost.wall_s)[:limit]


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """The process as the system sees it. None where the system does not say."""

    uptime_s: float
    cpu_s: float
    memory_bytes: int | None
    most_memory_bytes: int  # that it ever had
    open_files: int | None
    open_files_limit: int


class OwnFigures:
    """What is known of this process. Used on the reactor thread."""

    def __init__(self, clock: Clock, loops: Loops) -> None:
        self._clock = clock
        self._started_s = clock.seconds()
        self.loops: Final = loops
        self.room_costs: Final = Costs()
        # (connections, requests that are being answered)
        self.count_traffic: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def process(self) -> ProcessFigures:
        """How it is now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return ProcessFigures(
            uptime_s=self._clock.seconds() - self._started_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            memory_bytes=_resident_bytes(),
            most_memory_bytes=usage.ru_maxrss * 1024,
            open_files=_open_files(),
            open_files_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )


def _resident_bytes() -> int | None:
    try:
        return int((PROC / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _open_files() -> int | None:
    try:
        return len(os.listdir(PROC / "fd"))
    except OSError:
        return None
