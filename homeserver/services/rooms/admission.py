"""How many invites and joins there may be, of whom and to what, besides what the rules of rooms say.

Of users of this server. What comes from other servers is counted where it comes in: services/federation/.
"""

from collections.abc import Sequence
from functools import partial

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.services.rooms.probation import Probation
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Transaction


class Admission:
    """Counts what users of this server do within the write in which they do it: what is refused then counts nothing."""

    def __init__(self, limits: RateLimits, probation: Probation) -> None:
        self._limits = limits
        self._probation = probation

    def count_invites(self, tx: Transaction, sender: UserID, room_id: RoomID, targets: Sequence[UserID]) -> None:
        """Some invites to a room, by a user of this server. Raises LimitExceeded: then none of them may be.

        Raises Forbidden for strangers whom somebody new may not invite.
        """
        account = find_account(tx, sender)
        if targets and (account is None or account.is_rate_limited):
            own = None if account is None else account.rate_limit
            draws = [Draw(Counted.INVITES_BY_USER, sender, len(targets), own=own), *invite_draws(room_id, targets)]
            self._count(tx, [*draws, *self._probation.invite_draws(tx, account, targets)])

    def count_join(self, tx: Transaction, user_id: UserID, room_id: RoomID) -> None:
        """A user of this server comes into a room that it is in. Raises LimitExceeded."""
        account = find_account(tx, user_id)
        if account is None or account.is_rate_limited:
            self._count(tx, [Draw(Counted.JOINS_TO_ROOM, room_id)])

    def _count(self, tx: Transaction, draws: Sequence[Draw]) -> None:
        self._limits.check(*draws)
        tx.after_commit(partial(self._limits.note, *draws))


def invite_draws(room_id: RoomID, targets: Sequence[UserID]) -> list[Draw]:
    """What invites to a room draw, whoever sends them."""
    return [
        Draw(Counted.INVITES_TO_ROOM, room_id, len(targets)),
        *(Draw(Counted.INVITES_TO_USER, target) for target in targets),
    ]
