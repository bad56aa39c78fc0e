"""Users by the words of their names: kept with memberships and profiles, so that nobody is looked for among all.

A word here may be one that not everybody may see, as a name in a private room is: the rows say whom to look at. Who is
found is decided in services/rooms/user_directory.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import UserID, server_name_of
from homeserver.core.search_words import tokens_of, words_of
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

MOST_WORDS: Final = 100  # of one name
MOST_LOOKED_AT: Final = 5_000  # rows of one search
AFTER_ALL: Final = chr(0x10FFFF)  # what is sorted after whatever a word may go on with

INSERT = """
    INSERT INTO user_words (word, user_id) VALUES (:word, :user_id) ON CONFLICT (word, user_id) DO NOTHING"""


def note_names(tx: Transaction, names: Mapping[UserID, str | None]) -> None:
    """These users are known by these names now, beside those by which they were."""
    rows = [
        {"word": word, "user_id": user_id}
        for user_id, name in names.items()
        for word in sorted({*name_words(name or ""), *name_words(_localpart(user_id))})
    ]
    if rows:
        tx.insert_many(INSERT, rows)


NAMES = """
    SELECT user_id, display_name FROM memberships WHERE user_id IN :user_ids[text] AND membership = 'join'
    UNION
    SELECT u.user_id, p.display_name FROM users u LEFT JOIN profiles p ON p.user_id = u.user_id
     WHERE u.user_id IN :user_ids[text] AND NOT u.is_deactivated"""
WORDS = "SELECT word, user_id FROM user_words WHERE user_id IN :user_ids[text]"
REMOVE = "DELETE FROM user_words WHERE user_id = :user_id AND word IN :words[text]"


def renew_names(tx: Transaction, user_ids: Iterable[str]) -> None:
    """Let these users be found by the names that they have now, and by no others."""
    asked = sorted(user_ids)
    if not asked:
        return
    wanted: dict[str, set[str]] = {user_id: set() for user_id in asked}
    for user_id, name in tx.all(NAMES, user_ids=asked):
        wanted[user_id].update(name_words(name or ""), name_words(_localpart(user_id)))
    known: dict[str, set[str]] = {user_id: set() for user_id in asked}
    for word, user_id in tx.all(WORDS, user_ids=asked):
        known[user_id].add(word)
    for user_id in asked:
        if gone := known[user_id] - wanted[user_id]:
            tx.run(REMOVE, user_id=user_id, words=sorted(gone))
    rows = [
        {"word": word, "user_id": user_id} for user_id in asked for word in sorted(wanted[user_id] - known[user_id])
    ]
    if rows:
        tx.insert_many(INSERT, rows)


def name_words(name: str) -> list[str]:
    """The words by which somebody of this name is found."""
    return tokens_of(words_of(name))[:MOST_WORDS]


USERS_AFTER = "SELECT users_after FROM search_progress"
NEXT_USERS = """
    SELECT user_id FROM (
        SELECT user_id FROM memberships WHERE user_id > :after AND membership = 'join'
        UNION SELECT user_id FROM users WHERE user_id > :after) AS known
     ORDER BY user_id LIMIT :limit"""
NOTE_PROGRESS = "UPDATE search_progress SET users_after = :after"


def add_older_users(tx: Transaction, *, count: int) -> bool:
    """Put some of the users into the directory who were here before it; whether there are more."""
    row = tx.one(USERS_AFTER)
    if row is None or row[0] is None:
        return False
    user_ids = [one[0] for one in tx.all(NEXT_USERS, after=row[0], limit=count)]
    renew_names(tx, user_ids)
    tx.run(NOTE_PROGRESS, after=user_ids[-1] if user_ids else None)
    return bool(user_ids)


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user as somebody may know them: by the names that others have seen them under, and by their own profile."""

    user_id: UserID
    names: Sequence[tuple[str | None, str | None]]  # and avatars, those of the latest changes first
    profile: tuple[str | None, str | None] | None  # name and avatar of an account here


# Inside: by the index of words alone, as far as is bearable. A user who can be seen is in a room with the asker, or in
# one that is open to all, or has an account here and the operator wants all of those to be found. The asker is found
# where others would find them: who looks for somebody to talk to means no one of their private rooms by themselves.
# Who is in a room that everybody here has left is not known any more, nor whether it is still open.
FIND = """
    SELECT w.user_id, MIN(w.word) FROM (
        SELECT word, user_id FROM user_words WHERE word >= :begin AND word <= :end ORDER BY word LIMIT :most) AS w
     WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = w.user_id AND u.is_deactivated)
       AND (EXISTS (SELECT 1 FROM memberships t JOIN memberships m ON m.room_id = t.room_id
                     WHERE t.user_id = w.user_id AND t.membership = 'join' AND t.user_id <> :asker
                       AND m.user_id = :asker AND m.membership = 'join')
         OR EXISTS (SELECT 1 FROM memberships t
                      JOIN rooms r ON r.room_id = t.room_id JOIN room_index x ON x.room_id = t.room_id
                     WHERE t.user_id = w.user_id AND t.membership = 'join'
                       AND NOT r.is_blocked AND (r.is_published OR x.is_public)
                       AND EXISTS (SELECT 1 FROM room_servers s WHERE s.server = :server
                                      AND s.room_id = t.room_id AND s.until_position IS NULL))
         OR (:finds_all AND EXISTS (SELECT 1 FROM users u WHERE u.user_id = w.user_id)))
       AND NOT w.user_id IN :hidden[text]
     GROUP BY w.user_id ORDER BY 2, 1 LIMIT :limit"""


@dataclass(frozen=True, slots=True)
class Seeker:
    """Who looks for users: whom they do not want to see, and whether all accounts of this server are shown to them."""

    user_id: UserID
    hidden: Sequence[str]
    finds_all: bool


def find_users(tx: Transaction, seeker: Seeker, word: str, *, is_prefix: bool, limit: int) -> list[UserID]:
    """Users known by this word, or one that begins so, whom the seeker may know of, in the order of their words."""
    rows = tx.all(
        FIND,
        begin=word,
        end=word + AFTER_ALL if is_prefix else word,
        most=MOST_LOOKED_AT,
        asker=seeker.user_id,
        server=server_name_of(seeker.user_id),
        finds_all=seeker.finds_all,
        hidden=list(seeker.hidden),
        limit=limit,
    )
    return [UserID(row[0]) for row in rows]


SEEN_NAMES = """
    SELECT t.user_id, t.display_name, t.avatar_url, MAX(t.log_position)
      FROM memberships t JOIN rooms r ON r.room_id = t.room_id JOIN room_index x ON x.room_id = t.room_id
     WHERE t.user_id IN :user_ids[text] AND t.membership = 'join' AND NOT r.is_blocked
       AND ((r.is_published OR x.is_public)
             AND EXISTS (SELECT 1 FROM room_servers s
                          WHERE s.server = :server AND s.room_id = t.room_id AND s.until_position IS NULL)
         OR EXISTS (SELECT 1 FROM memberships m
                     WHERE m.room_id = t.room_id AND m.user_id = :asker AND m.membership = 'join'))
     GROUP BY t.user_id, t.display_name, t.avatar_url ORDER BY 4 DESC"""
PROFILES = """
    SELECT u.user_id, p.display_name, p.avatar_url FROM users u LEFT JOIN profiles p ON p.user_id = u.user_id
     WHERE u.user_id IN :user_ids[text]"""


def known_users(tx: Transaction, seeker: Seeker, user_ids: Sequence[UserID]) -> list[KnownUser]:
    """How these users are known to the seeker, in this order."""
    if not user_ids:
        return []
    names: dict[str, list[tuple[str | None, str | None]]] = {}
    asker, server = seeker.user_id, server_name_of(seeker.user_id)
    for user_id, name, avatar, _ in tx.all(SEEN_NAMES, user_ids=list(user_ids), asker=asker, server=server):
        names.setdefault(user_id, []).append((name, avatar))
    profiles = {row[0]: (row[1], row[2]) for row in tx.all(PROFILES, user_ids=list(user_ids))}
    return [KnownUser(user_id, names.get(user_id, ()), profiles.get(user_id)) for user_id in user_ids]


def _localpart(user_id: str) -> str:
    return user_id[1:].partition(":")[0]


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "user_words",
        owners={Owner.USER: "user_id"},
        retention=Retention.bounded("the words of the names that the user has now"),
    ),
)
