"""Users whom something is to befall: one, or many by one pattern, in which `*` stands for any characters, `?` for one.

Case counts, as in user IDs.

What is done with them is in member_patterns.py and sent_events.py, in steps of bounded length.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.globs import Glob
from homeserver.core.identifiers import ID_LIMIT_BYTES, UserID
from homeserver.services.errors import InvalidParameter

BEGINNINGS: Final = ("@", "*", "?")
SAYS_NOTHING: Final = frozenset("@:*?")


@dataclass(frozen=True, slots=True)
class StepBounds:
    """How much is done before whoever asks has to ask on."""

    most_found: int = 200
    rows_per_read: int = 5_000
    most_reads: int = 20  # in a step that finds little
    per_write: int = 50  # of a room


@dataclass(frozen=True, slots=True)
class Users:
    """The one user who is `named`, whatever characters that ID has, or those whom a pattern matches."""

    named: UserID | None
    pattern: Glob | None = None

    def include(self, user_id: str) -> bool:
        """Whether this is one of them."""
        return user_id == self.named if self.pattern is None else self.pattern.matches(user_id)


def users_by_pattern(pattern: str) -> Users:
    """Those whose whole IDs match. Raises InvalidParameter, also for a pattern that is everybody's."""
    if len(pattern.encode()) > ID_LIMIT_BYTES or "\0" in pattern or not pattern.startswith(BEGINNINGS):
        raise InvalidParameter("A pattern is a user ID, in which * and ? stand for other characters")
    if SAYS_NOTHING.issuperset(pattern):
        raise InvalidParameter("This pattern is that of everybody: name a part of the user IDs")
    glob = Glob(pattern)
    return Users(None, glob) if glob.literal is None else Users(UserID(glob.literal))
