"""For how long a room keeps what is said in it: m.room.retention. Spec: MSC1763"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.state_map import StateKey

RETENTION: Final[StateKey] = ("m.room.retention", "")
LONGEST_MS: Final = 2**53 - 1


def max_lifetime_of(content: Mapping[str, Any]) -> int | None:  # Any: JSON
    """After how many milliseconds an event has expired; None if the content does not say, or makes no sense."""
    longest, shortest = content.get("max_lifetime"), content.get("min_lifetime")
    if type(longest) is not int or not 0 < longest <= LONGEST_MS:
        return None
    if type(shortest) is int and shortest > longest:
        return None
    return longest


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What a server makes of that. `default_ms` is for rooms that do not say (None: for ever)."""

    is_enabled: bool = False
    default_ms: int | None = None
    shortest_ms: int = 0
    longest_ms: int | None = None

    def lifetime(self, room_ms: int | None) -> int | None:
        """How long the events of a room live here that says so, or nothing (None); None: for ever."""
        wanted = self.default_ms if room_ms is None else room_ms
        if not self.is_enabled or wanted is None:
            return None
        wanted = max(wanted, self.shortest_ms)
        return wanted if self.longest_ms is None else min(wanted, self.longest_ms)
