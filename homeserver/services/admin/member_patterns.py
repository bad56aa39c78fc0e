"""Kicking, banning and unbanning users, one or all whose IDs a pattern matches: in some rooms, or in all of the server.

It is done in steps, each of bounded length: whoever asks goes on from where a step ended, and can look beforehand at
whom it would befall. Of all rooms those are left out in which nobody of this server is, for nothing can be done there.
Administrators of this server are spared by patterns, which are easily too wide; a user who is named is meant.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.slices import slices
from homeserver.core.unpadded_base64 import decode_base64_urlsafe, encode_base64_urlsafe
from homeserver.services.admin.room_moderation import BEFALLS, Removal, RoomModeration
from homeserver.services.admin.user_patterns import StepBounds, Users
from homeserver.services.errors import InvalidParameter, ServiceError
from homeserver.services.rooms.known_rooms import check_known
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import (
    MemberKey,
    members_after,
    members_after_in,
    members_after_of,
    rooms_with_local_members,
)

MOST_ROOMS: Final = 500  # that are named
LEFT: Final = "leave"
BOUNDS: Final = StepBounds()
SPARED: Final = "An administrator of this server"


@dataclass(frozen=True, slots=True)
class Aim:
    """Whom something is to befall: these users, in these rooms, or in all (None).

    `includes_left`: a ban is also for those who have left.
    """

    removal: Removal
    users: Users
    rooms: Sequence[RoomID] | None
    includes_left: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A user in a room whom it befalls, or who is spared."""

    room_id: RoomID
    user_id: UserID
    membership: str
    is_spared: bool = False


@dataclass(frozen=True, slots=True)
class Hits:
    """A step of looking: who was found, and where to go on; None at the end."""

    found: Sequence[Hit]
    next: str | None


@dataclass(frozen=True, slots=True)
class Miss:
    """A user in a room whom it did not befall, and why."""

    room_id: RoomID
    user_id: UserID
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """A step of doing it."""

    done: Sequence[Hit]
    failed: Sequence[Miss]
    next: str | None


class MemberPatterns:
    """Finds users by patterns, and removes them."""

    def __init__(self, database: Database, moderation: RoomModeration, bounds: StepBounds = BOUNDS) -> None:
        self._database = database
        self._moderation = moderation
        self._bounds = bounds

    async def find(self, aim: Aim, begin: str | None) -> Hits:
        """Whom it would befall: a step, from the beginning or from the end of the one before.

        Raises InvalidParameter, NotFound for a room that is named and not known here.
        """
        if aim.rooms is not None and not 0 < len(aim.rooms) <= MOST_ROOMS:
            raise InvalidParameter(f"One to {MOST_ROOMS} rooms can be named")
        if aim.includes_left and aim.removal is not Removal.BAN:
            raise InvalidParameter("Who has left can only be banned")
        after = MemberKey(RoomID(""), UserID("")) if begin is None else _position(begin)
        if aim.rooms is not None:
            await self._database.read(check_known, aim.rooms)
        found: list[Hit] = []
        for _ in range(self._bounds.most_reads):
            some, rest = await self._database.read(self._some, aim, after, self._bounds.most_found - len(found))
            found += some
            if rest is None:
                return Hits(found, None)
            after = rest
            if len(found) >= self._bounds.most_found:
                break
        return Hits(found, _token(after))

    async def remove(self, aim: Aim, reason: str | None, begin: str | None) -> Done:
        """Do it: a step. Raises as `find` does."""
        check_reason(reason)
        hits = await self.find(aim, begin)
        done: list[Hit] = []
        failed = [Miss(one.room_id, one.user_id, SPARED) for one in hits.found if one.is_spared]
        for some in _of_a_write((one for one in hits.found if not one.is_spared), self._bounds.per_write):
            user_ids = [one.user_id for one in some]
            try:
                refused = await self._moderation.remove_some(aim.removal, some[0].room_id, user_ids, reason)
            except ServiceError as refusal:
                refused = dict.fromkeys(user_ids, refusal.reason)
            done += [one for one in some if one.user_id not in refused]
            failed += [Miss(one.room_id, one.user_id, refused[one.user_id]) for one in some if one.user_id in refused]
        return Done(done, failed, hits.next)

    def _some(self, tx: Transaction, aim: Aim, after: MemberKey, limit: int) -> tuple[Sequence[Hit], MemberKey | None]:
        """Some of whom it would befall, and where to go on; None at the end."""
        rows = self._rows(tx, aim, after)
        wanted = (*BEFALLS[aim.removal], LEFT) if aim.includes_left else BEFALLS[aim.removal]
        fitting = [one for one in rows if one.membership in wanted and aim.users.include(one.user_id)]
        if aim.rooms is None:
            within_reach = rooms_with_local_members(tx, sorted({one.room_id for one in fitting}))
            fitting = [one for one in fitting if one.room_id in within_reach]
        if len(fitting) > limit:
            fitting = fitting[:limit]
            rest: MemberKey | None = fitting[-1]
        else:
            rest = rows[-1] if len(rows) == self._bounds.rows_per_read else None
        # Whoever names somebody means them.
        found = [
            Hit(one.room_id, one.user_id, one.membership, aim.users.named is None and _is_spared(tx, one.user_id))
            for one in fitting
        ]
        return found, rest

    def _rows(self, tx: Transaction, aim: Aim, after: MemberKey) -> Sequence[MemberKey]:
        """The memberships that come next in these rooms, or in all."""
        if aim.rooms is None and aim.users.named is not None:
            of_user = MemberKey(after.room_id, aim.users.named)
            return members_after_of(tx, of_user, limit=self._bounds.rows_per_read)
        if aim.rooms is None:
            return members_after(tx, after, limit=self._bounds.rows_per_read)
        rows: list[MemberKey] = []
        for room_id in sorted(set(aim.rooms)):
            lacking = self._bounds.rows_per_read - len(rows)
            if room_id >= after.room_id and lacking:
                user_id = after.user_id if room_id == after.room_id else UserID("")
                rows += members_after_in(tx, MemberKey(room_id, user_id), limit=lacking)
        return rows


def _of_a_write(hits: Iterable[Hit], most: int) -> Iterator[Sequence[Hit]]:
    for _, of_room in groupby(hits, key=lambda one: one.room_id):
        yield from slices(list(of_room), most)


def _is_spared(tx: Transaction, user_id: UserID) -> bool:
    account = find_account(tx, user_id)
    return account is not None and account.is_admin


def _token(after: MemberKey) -> str:
    return encode_base64_urlsafe(f"{after.room_id}\0{after.user_id}".encode())


def _position(token: str) -> MemberKey:
    try:
        room_id, separator, user_id = (decode_base64_urlsafe(token) or b"").decode().partition("\0")
    except UnicodeDecodeError:
        separator = ""
    if not separator or "\0" in user_id:
        raise InvalidParameter("This is not where a step ended")
    return MemberKey(RoomID(room_id), UserID(user_id))
