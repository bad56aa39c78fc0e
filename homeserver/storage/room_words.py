"""Rooms by the words of their names, topics and aliases, and the pages of the public directory.

Every room has its words here, so that nothing changes when it is put into the directory; only what is in the directory
is found. What is shown of a room is in services/rooms/directory.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.core.room_versions import room_version
from homeserver.core.search_words import WordSearch, is_unspaced, tokens_of, words_of
from homeserver.storage.database import Transaction
from homeserver.storage.room_index import RoomFacts
from homeserver.storage.rooms import PublishedRoom
from homeserver.storage.tables import Owner, Retention, Table

MOST_WORDS: Final = 200  # of one room
MOST_ROOMS_BY_WORD: Final = 5_000
AFTER_ALL: Final = chr(0x10FFFF)

WORDS = "SELECT word FROM room_words WHERE room_id = :room_id"
REMOVE = "DELETE FROM room_words WHERE room_id = :room_id AND word IN :words[text]"
INSERT = """
    INSERT INTO room_words (word, room_id) VALUES (:word, :room_id) ON CONFLICT (word, room_id) DO NOTHING"""


def renew_room_words(tx: Transaction, room_id: RoomID, texts: Sequence[str]) -> None:
    """Let a room be found by the words of these texts, and by no others."""
    wanted = set(tokens_of([word for text in texts for word in words_of(text)])[:MOST_WORDS])
    known = {row[0] for row in tx.all(WORDS, room_id=room_id)}
    if gone := known - wanted:
        tx.run(REMOVE, room_id=room_id, words=sorted(gone))
    if new := wanted - known:
        tx.insert_many(INSERT, [{"word": word, "room_id": room_id} for word in sorted(new)])


NEXT_ROOMS = "SELECT room_id FROM rooms WHERE room_id > :after ORDER BY room_id LIMIT :limit"
ROOMS_AFTER = "SELECT rooms_after FROM search_progress"
NOTE_PROGRESS = "UPDATE search_progress SET rooms_after = :after"


def next_older_rooms(tx: Transaction, *, limit: int) -> list[RoomID]:
    """Some of the rooms that were here before this index, and are to be looked at next; they count as looked at."""
    row = tx.one(ROOMS_AFTER)
    if row is None or row[0] is None:
        return []
    room_ids = [RoomID(one[0]) for one in tx.all(NEXT_ROOMS, after=row[0], limit=limit)]
    tx.run(NOTE_PROGRESS, after=room_ids[-1] if room_ids else None)
    return room_ids


SET_FACTS = """
    UPDATE room_index SET room_type = :room_type, name = :name, is_encrypted = :is_encrypted, is_public = :is_public
     WHERE room_id = :room_id"""


def set_facts(tx: Transaction, room_id: RoomID, facts: RoomFacts) -> None:
    """Keep what was found out of a room that has been here for long."""
    tx.run(
        SET_FACTS,
        room_id=room_id,
        room_type=facts.room_type,
        name=facts.name,
        is_encrypted=facts.is_encrypted,
        is_public=facts.is_public,
    )


@dataclass(frozen=True, slots=True)
class DirectoryWish:
    """Which rooms of the directory: with these words, of these types. None: any; a type of None: rooms without one."""

    search: WordSearch | None
    room_types: Sequence[str | None] | None


BY_WORD = """
    SELECT DISTINCT w.room_id FROM room_words w JOIN rooms r ON r.room_id = w.room_id
     WHERE w.word >= :begin AND w.word <= :end AND r.is_published LIMIT :limit"""
CONDITIONS: Final = """
      FROM rooms r JOIN room_index x ON x.room_id = r.room_id
     WHERE r.is_published AND NOT r.is_blocked AND NOT r.is_partial
       AND (:any_type OR x.room_type IN :types[text] OR (:without_type AND NULLIF(x.room_type, '') IS NULL))
       AND (:any_words OR r.room_id IN :room_ids[text])"""
COUNT = "SELECT COUNT(*)" + CONDITIONS
PAGE = (
    "SELECT r.room_id, r.version, r.current_root, x.joined_members"
    + CONDITIONS
    + " ORDER BY x.joined_members DESC, r.room_id LIMIT :limit OFFSET :offset"
)


def directory_page(tx: Transaction, wish: DirectoryWish, *, offset: int, limit: int) -> tuple[list[PublishedRoom], int]:
    """Rooms of the directory, those with most members first, and how many there are in all.

    Those are left out of which it is not known how many are in them.
    """
    types = wish.room_types
    room_ids = None if wish.search is None else _with_words(tx, wish.search)
    given = {
        "any_type": types is None,
        "types": [one for one in types or () if one is not None],
        "without_type": types is not None and None in types,
        "any_words": room_ids is None,
        "room_ids": sorted(room_ids or ()),
    }
    counted = tx.one(COUNT, **given)
    rows = tx.all(PAGE, **given, limit=limit, offset=offset)
    rooms = [PublishedRoom(RoomID(row[0]), room_version(row[1]), bytes(row[2]), row[3]) for row in rows]
    return rooms, 0 if counted is None else int(counted[0])


def _with_words(tx: Transaction, search: WordSearch) -> set[str]:
    """The rooms of the directory that have a word for each that is looked for: one that begins so."""
    found: set[str] | None = None
    for word in search.words:
        is_run = is_unspaced(word)
        tokens = WordSearch((word,)).tokens if is_run else [word]
        for token in tokens:
            end = token if is_run else token + AFTER_ALL
            rooms = {row[0] for row in tx.all(BY_WORD, begin=token, end=end, limit=MOST_ROOMS_BY_WORD)}
            found = rooms if found is None else found & rooms
            if not found:
                return set()
    return found or set()


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "room_words",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("the words of the room's name, topic and alias"),
    ),
)
