"""Finding users by their names: those in a room with whoever asks, or in one that is open to all.

Spec: client-server-api/#user-directory. By what words users are found is in storage/user_directory.py; here each of
them is looked at again, for the asker must not find anybody by a name that only others may see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.core.search_words import WordSearch, folded, is_unspaced, search_for, words_of
from homeserver.services.errors import InvalidParameter, RefusedAsSpam
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.spam_checks import SpamChecks
from homeserver.storage.database import Database, Transaction
from homeserver.storage.user_directory import (
    KnownUser,
    Seeker,
    find_users,
    known_users,
)

LONGEST_TERM: Final = 255
MOST_USERS: Final = 50
DEFAULT_USERS: Final = 10
MOST_CANDIDATES: Final = 200  # who may be known to the asker, and is looked at more closely


@dataclass(frozen=True, slots=True)
class FoundUser:
    """A user as the asker may see them."""

    user_id: UserID
    display_name: str | None
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class FoundUsers:
    """Users, those that answer most exactly first; and whether there are more."""

    users: Sequence[FoundUser]
    is_limited: bool


class UserDirectory:
    """Finds users for users."""

    def __init__(self, database: Database, checks: SpamChecks, *, finds_all: bool) -> None:
        """`finds_all`: everybody with an account here is found, whatever rooms they are in."""
        self._database = database
        self._checks = checks
        self._finds_all = finds_all

    async def search(self, user_id: UserID, term: str, limit: int | None) -> FoundUsers:
        """Users whose names have words that begin with those of the term. Raises InvalidParameter."""
        if len(term) > LONGEST_TERM:
            raise InvalidParameter(f"A search term has at most {LONGEST_TERM} characters")
        wanted = search_for(_name_in(term))
        if wanted is None:
            return FoundUsers((), is_limited=False)
        most = DEFAULT_USERS if limit is None else min(limit, MOST_USERS)
        found = await self._database.read(self._search, user_id, term, wanted, most)
        if not self._checks.has("may_be_found"):
            return found
        return FoundUsers([one for one in found.users if await self._may_be_found(one, user_id)], found.is_limited)

    async def _may_be_found(self, found: FoundUser, seeker: UserID) -> bool:
        try:
            await self._checks.ask("may_be_found", found.user_id, found.display_name, found.avatar_url, seeker)
        except RefusedAsSpam:
            return False
        return True

    def _search(self, tx: Transaction, user_id: UserID, term: str, wanted: WordSearch, limit: int) -> FoundUsers:
        seeker = Seeker(user_id, sorted(ignored_users(tx, user_id)), self._finds_all)
        # The longest word leaves the fewest to look at.
        longest = max(wanted.words, key=len)
        word = longest[:2] if is_unspaced(longest) else longest
        candidates = find_users(tx, seeker, word, is_prefix=not is_unspaced(longest), limit=MOST_CANDIDATES)
        ranked = []
        for known in known_users(tx, seeker, candidates):
            names = _seen_names(known)
            localpart = known.user_id[1:].partition(":")[0]
            fitting = [name for name in names if _fits(wanted, f"{localpart} {name or ''}")]
            if not fitting or not folded(known.user_id).startswith(_id_in(term)):
                continue
            shown = known.profile or next((seen for seen in known.names if seen[0] == fitting[0]), (None, None))
            rank = min(_distance(term, wanted, known.user_id, name) for name in fitting)
            ranked.append((rank, shown[0] is None, known.user_id, shown))
        ranked.sort(key=lambda one: one[:3])
        users = [FoundUser(found, *shown) for _, _, found, shown in ranked[:limit]]
        return FoundUsers(users, is_limited=len(ranked) > limit)


def _seen_names(known: KnownUser) -> list[str | None]:
    """The names that the asker may see: those in rooms, and that of an account here."""
    names = [name for name, _ in known.names]
    return [*([] if known.profile is None else [known.profile[0]]), *names]


def _fits(wanted: WordSearch, name: str) -> bool:
    """Whether each wanted word begins one of a name, or stands in a run of a script without spaces."""
    words = words_of(name)
    return all(
        any(wanted_word in word if is_unspaced(wanted_word) else word.startswith(wanted_word) for word in words)
        for wanted_word in wanted.words
    )


def _distance(term: str, wanted: WordSearch, user_id: UserID, name: str | None) -> int:
    """How far a user is from what was typed: 0 for one who is called just so."""
    typed, localpart = folded(term.strip()), folded(user_id[1:].partition(":")[0])
    if typed in (folded(user_id), localpart, f"@{localpart}", folded(name or "")):
        return 0
    words = {*words_of(name or ""), *words_of(localpart)}
    return 1 if words.issuperset(wanted.words) else 2


def _name_in(term: str) -> str:
    """The part of what was typed that may be a name: of a user ID, what stands before the server."""
    return term.strip().partition(":")[0] if _id_in(term) else term


def _id_in(term: str) -> str:
    """What was typed, if it is the beginning of a user ID with a server; else nothing."""
    typed = folded(term.strip())
    return typed if typed.startswith("@") and ":" in typed else ""
