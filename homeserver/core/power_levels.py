"""Power levels: what an m.room.power_levels event's content means in each room version.

Whether such an event may be sent is decided in auth_rules.py.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from homeserver.core.event import Event
from homeserver.core.identifiers import UserID
from homeserver.core.room_versions import RoomVersion

Level: TypeAlias = int | float  # a float is CREATOR_LEVEL and nothing else

CREATOR_LEVEL: Final[Level] = math.inf  # v12: above every integer, and not above another creator
LONE_CREATOR_LEVEL: Final = 100  # v1-11: the creator's, while there is no m.room.power_levels event

LEVEL_DEFAULTS: Final[Mapping[str, int]] = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "redact": 50,
    "kick": 50,
    "invite": 0,
}
NOTIFICATION_DEFAULT: Final = 50

# More digits than this are no level: Python's own conversion gives up at a limit that depends on the process.
_MAX_DIGITS: Final = 1000
_DECIMAL: Final = re.compile(r"([+-]?)0*([0-9]+)")


def read_level(value: object, version: RoomVersion) -> int | None:
    """The integer that `value` stands for as a power level, or None when it stands for none.

    Version 10 and later know integers only. Before, a string of a decimal number counts, with a sign, leading zeroes
    and white space around it; before version 6 also a finite float, cut off at the point.
    Spec: rooms/v1/#mroompower_levels-events-accept-values-as-strings, …-as-floats
    """
    if type(value) is int:  # True and False are no levels
        return value
    if version.integer_power_levels:
        return None
    if isinstance(value, str):
        number = _DECIMAL.fullmatch(value.strip())
        if number is None or len(number[2]) > _MAX_DIGITS:
            return None
        return int(number[1] + number[2])
    if isinstance(value, float) and not version.strict_canonical_json and math.isfinite(value):
        return int(value)
    return None


def creators(create: Event) -> frozenset[UserID]:
    """The room's creators: the creator, and from version 12 also the additional ones. Spec: rooms/v12"""
    named: list[object] = [creator(create)]
    if create.version.privileged_creators:
        additional = create.content.get("additional_creators")
        named += additional if isinstance(additional, list) else []
    return frozenset(UserID(user) for user in named if isinstance(user, str))


def creator(create: Event) -> UserID | None:
    """The one who created the room: the sender, before version 11 whom the content names; None when that is garbage."""
    if create.version.implicit_creator:
        return create.sender
    named = create.content.get("creator")
    return UserID(named) if isinstance(named, str) else None


def is_creator(create: Event, user_id: str) -> bool:
    """True for one of the `creators`, without building their set."""
    if user_id == creator(create):
        return True
    if not create.version.privileged_creators:
        return False
    additional = create.content.get("additional_creators")
    return isinstance(additional, list) and user_id in additional


@dataclass(frozen=True, slots=True)
class PowerLevels:
    """Who may do what in a room. A value that is no power level counts as absent.

    Levels are read when asked for: a room may list thousands of users, and a message asks for one of them.
    """

    version: RoomVersion
    create: Event
    content: Mapping[str, Any] | None  # of the m.room.power_levels event; None where there is none

    def user_level(self, user_id: str) -> Level:
        """The level of a user, member of the room or not."""
        if self.version.privileged_creators and is_creator(self.create, user_id):
            return CREATOR_LEVEL
        if self.content is None:
            return LONE_CREATOR_LEVEL if user_id == creator(self.create) else 0
        level = self._entry("users", user_id)
        return self._level("users_default") if level is None else level

    def event_level(self, event_type: str, *, is_state: bool) -> int:
        """The level required to send an event of this type; membership and redaction have levels of their own."""
        level = self._entry("events", event_type)
        if level is not None:
            return level
        return self._level("state_default" if is_state else "events_default")

    def notification_level(self, key: str) -> int:
        """The level required to notify by this key ("room": everybody)."""
        level = self._entry("notifications", key)
        return NOTIFICATION_DEFAULT if level is None else level

    def may_send(self, user_id: str, event_type: str, *, is_state: bool) -> bool:
        """True when the user's level suffices for this type of event; membership is another matter."""
        return self.user_level(user_id) >= self.event_level(event_type, is_state=is_state)

    @property
    def invite(self) -> int:
        """The level required to invite a user."""
        return self._level("invite")

    @property
    def kick(self) -> int:
        """The level required to remove a user of a lower level."""
        return self._level("kick")

    @property
    def ban(self) -> int:
        """The level required to ban a user of a lower level."""
        return self._level("ban")

    @property
    def redact(self) -> int:
        """The level required to redact another server's event."""
        return self._level("redact")

    @property
    def users_default(self) -> int:
        """The level of users who are not listed."""
        return self._level("users_default")

    @property
    def events_default(self) -> int:
        """The level required for message events whose type is not listed."""
        return self._level("events_default")

    @property
    def least_to_send(self) -> int:
        """The lowest level at which an event of some type may be sent."""
        named = self.content.get("events") if self.content is not None else None
        levels = [read_level(value, self.version) for value in named.values()] if isinstance(named, dict) else []
        return min([self.events_default, self.state_default, *(level for level in levels if level is not None)])

    @property
    def state_default(self) -> int:
        """The level required for state events whose type is not listed."""
        return self._level("state_default")

    def _level(self, key: str) -> int:
        if self.content is not None:
            level = read_level(self.content.get(key), self.version)
            if level is not None:
                return level
        return LEVEL_DEFAULTS[key]

    def _entry(self, key: str, name: str) -> int | None:
        if self.content is None:
            return None
        entries = self.content.get(key)
        return read_level(entries.get(name), self.version) if isinstance(entries, dict) else None


def read_power_levels(create: Event, power_levels_event: Event | None, version: RoomVersion) -> PowerLevels:
    """The power levels of a room with this m.room.create and this m.room.power_levels event, if it has one."""
    return PowerLevels(version, create, None if power_levels_event is None else power_levels_event.content)
