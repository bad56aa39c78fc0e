"""What is said of a user's presence: online or not, doing something or not, and in what words.

Who is told of it is in services/rooms/presence.py. Spec: client-server-api/#presence
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

PresenceWord = Literal["offline", "online", "unavailable"]

OFFLINE: Final = "offline"
ONLINE: Final = "online"
PRESENCES: Final[tuple[PresenceWord, ...]] = (OFFLINE, "unavailable", ONLINE)  # the more present, the later


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a user. `last_active_s` is by the clock that never runs backwards; None if nothing was seen."""

    presence: PresenceWord = "offline"
    status_msg: str | None = None
    currently_active: bool = False
    last_active_s: float | None = None

    def says_the_same(self, other: "Status") -> bool:
        """Whether nobody needs to be told of the one who knows the other."""
        return self._told == other._told

    def is_only_active(self, other: "Status") -> bool:
        """Whether it differs from the other, if at all, in whether the user does something just now."""
        return self._told[:2] == other._told[:2]

    @property
    def _told(self) -> tuple[str, str | None, bool]:
        return self.presence, self.status_msg, self.currently_active

    def content(self, now_s: float) -> dict[str, Any]:
        """The content of an m.presence event; of an EDU, without the user."""
        content: dict[str, Any] = {"presence": self.presence}
        if self.last_active_s is not None:
            content["last_active_ago"] = max(round((now_s - self.last_active_s) * 1000), 0)
        if self.status_msg is not None:
            content["status_msg"] = self.status_msg
        if self.presence != OFFLINE:
            content["currently_active"] = self.currently_active
        return content


def most_present(presences: Iterable[PresenceWord]) -> PresenceWord:
    """What holds for a user whose devices say these: offline if there are none."""
    return max(presences, key=PRESENCES.index, default="offline")
