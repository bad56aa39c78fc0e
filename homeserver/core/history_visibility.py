"""Who may see an event, by the room's history visibility at that event.

Spec: client-server-api/#room-history-visibility. Loading the state at an event is the services' work.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from homeserver.core.event import Event


class Visibility(Enum):
    """The values of m.room.history_visibility."""

    WORLD_READABLE = "world_readable"
    SHARED = "shared"
    INVITED = "invited"
    JOINED = "joined"


_BY_NAME: Final = {visibility.value: visibility for visibility in Visibility}
_FROM_OPEN_TO_CLOSED: Final = tuple(Visibility)


def read_visibility(event: Event | None) -> Visibility:
    """The visibility that an m.room.history_visibility event sets; `shared` for none, and for a value not known."""
    if event is None:
        return Visibility.SHARED
    value = event.content.get("history_visibility")
    return _BY_NAME.get(value, Visibility.SHARED) if isinstance(value, str) else Visibility.SHARED


def more_permissive(one: Visibility, other: Visibility) -> Visibility:
    """The one that shows more. It is what a room shows to servers of an m.room.history_visibility event itself."""
    return min(one, other, key=_FROM_OPEN_TO_CLOSED.index)


def may_see_event(
    *,
    visibility_before: Visibility,
    membership_before: str | None,
    joined_since: bool,
    visibility_after: Visibility | None = None,
    membership_after: str | None = None,
) -> bool:
    """True when a user may see an event.

    `visibility_before` and `membership_before` are those of the room state before the event, None for a user who never
    was a member. `joined_since` says that the user was joined at any point after the event. For an
    m.room.history_visibility event give also the visibility that it sets, for the user's own m.room.member event also
    the membership that it sets: what would be seen with either is seen.
    """
    visibilities = (visibility_before, visibility_before if visibility_after is None else visibility_after)
    if Visibility.WORLD_READABLE in visibilities:
        return True
    memberships = (membership_before, membership_after)
    if "join" in memberships:
        return True
    if joined_since and Visibility.SHARED in visibilities:
        return True
    return "invite" in memberships and Visibility.INVITED in visibilities


def may_server_see(
    *,
    visibility_before: Visibility,
    memberships: Iterable[str],
    visibility_after: Visibility | None = None,
) -> bool:
    """True when a server that takes part in the room now may see an event.

    `memberships` are those of the server's users in the room state before the event, and after it if the event is an
    m.room.member of one of them. With `shared` the server may: a user of it may join, and may then see the event.
    """
    visibility = visibility_before
    if visibility_after is not None:
        visibility = more_permissive(visibility_before, visibility_after)
    if visibility in (Visibility.WORLD_READABLE, Visibility.SHARED):
        return True
    enough = ("join", "invite") if visibility is Visibility.INVITED else ("join",)
    return any(membership in enough for membership in memberships)
