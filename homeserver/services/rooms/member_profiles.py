"""Profiles of joined members, in their member events: every room shows its members as they were when they last changed.

Where profiles themselves are kept and changed: services/accounts/profiles.py.
"""

from collections.abc import Callable, Sequence
from typing import Concatenate, Final, ParamSpec, TypeVar

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import NotRecommended
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.storage.database import Transaction
from homeserver.storage.profiles import member_profile

P = ParamSpec("P")
T = TypeVar("T")

PROFILE_KEYS: Final = ("displayname", "avatar_url")


class MemberProfiles:
    """Brings profiles into rooms."""

    def __init__(self, creation: EventCreation) -> None:
        self._creation = creation

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function on the database's writer that calls `update`; no other may."""
        return await self._creation.write(fn, *args, **kwargs)

    def update(self, tx: Transaction, user_id: UserID, room_ids: Sequence[RoomID]) -> None:
        """Show a user in these rooms as the stored profile says. Rooms that the user is not in are left out."""
        if self._creation.reaches_nobody(user_id):
            return
        content = {"membership": "join", **member_profile(tx, user_id)}
        for room_id in room_ids:
            write = self._creation.writer.open(tx, room_id)
            if write is None:
                continue
            key = ("m.room.member", user_id)
            member = write.state((key,)).get(key)
            if member is None or member.content.get("membership") != "join":
                continue
            if all(member.content.get(name) == content.get(name) for name in PROFILE_KEYS):
                continue
            try:
                self._creation.add(write, Draft(key[0], user_id, content, state_key=user_id))
            except (AuthRejected, NotRecommended):
                continue
            write.finish()
