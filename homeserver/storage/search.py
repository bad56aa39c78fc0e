"""The index of words: which events are found by which, newest first.

SQLite has FTS5 for it, PostgreSQL a tsvector with GIN; what is a word is decided in core/search_words.py for both, and
the texts stay in the events alone. Who finds what is decided in services/rooms/search.py.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.search_words import SEARCHED, searched_text, tokens_of, words_of
from homeserver.storage.database import Transaction
from homeserver.storage.events import SELECT_EVENT, EventNid, stored_of
from homeserver.storage.tables import Owner, Retention, Table

SQLITE: Final = "sqlite"
NEWEST: Final = 2**62  # more than any number of an event
# No word has such a character: nobody can write these marks into a message.
MARK: Final = "§"
STATE_MARKS: Final[Mapping[str, str]] = {"m.room.name": f"{MARK}name", "m.room.topic": f"{MARK}topic"}

INSERT_FTS5 = "INSERT OR REPLACE INTO search_index (rowid, room_id, words) VALUES (:rowid, :room_id, :words)"
INSERT_TSVECTOR = """
    INSERT INTO search_index (rowid, room_id, words)
    VALUES (:rowid, :room_id, array_to_tsvector(string_to_array(:words, ' '))) ON CONFLICT (rowid) DO NOTHING"""


def index_event(tx: Transaction, nid: EventNid, event: Event, *, is_history: bool) -> None:
    """Let an event be found by what it says, if it says anything that is searched."""
    text = searched_text(event)
    words = tokens_of(words_of(text)) if text is not None else []
    if not words:
        return
    marks = [room_mark(event.room_id), sender_mark(event.sender)]
    if (mark := STATE_MARKS.get(event.type)) is not None:
        marks.append(mark)
    row = {"rowid": -nid if is_history else nid, "room_id": event.room_id, "words": " ".join((*words, *marks))}
    if tx.dialect.name == SQLITE:
        tx.insert_many(INSERT_FTS5, [row])
    else:
        tx.insert_many(INSERT_TSVECTOR, [row])


REMOVE = "DELETE FROM search_index WHERE rowid IN :rowids[bigint]"


def remove_events(tx: Transaction, nids: Sequence[EventNid]) -> None:
    """These events are not found any more."""
    tx.run(REMOVE, rowids=[*nids, *(-nid for nid in nids)])  # below zero: history that came later


def remove_event(tx: Transaction, nid: EventNid, event: Event) -> None:
    """The event, as it was until now, was redacted: it is not found any more."""
    if searched_text(event) is not None:
        remove_events(tx, [nid])


@dataclass(frozen=True, slots=True)
class IndexSearch:
    """Tokens, all of which an event must have; the rooms, senders and types of which it is one. None: any."""

    tokens: Sequence[str]
    room_ids: Sequence[str]
    senders: Collection[str] | None = None
    types: Collection[str] | None = None

    @property
    def alternatives(self) -> list[list[str]]:
        """Sets of tokens and marks, of each of which an event must have one."""
        wanted = [*([token] for token in self.tokens), [room_mark(room_id) for room_id in self.room_ids]]
        if self.senders is not None:
            wanted.append([sender_mark(sender) for sender in self.senders])
        if self.types is not None and "m.room.message" not in self.types:
            wanted.append([STATE_MARKS[one] for one in self.types if one in STATE_MARKS])
        return wanted


# CROSS JOIN: the index is read first.
FIND_FTS5 = """
    SELECT search_index.rowid, e.event_id FROM search_index CROSS JOIN events e ON e.event_nid = ABS(search_index.rowid)
     WHERE search_index MATCH :wanted AND search_index.rowid < :before ORDER BY search_index.rowid DESC LIMIT :limit"""
# MATERIALIZED: not by walking through all events until enough have the words.
FIND_TSVECTOR = """
    WITH found AS MATERIALIZED (
        SELECT rowid FROM search_index WHERE words @@ CAST(:wanted AS tsquery) AND rowid < :before)
    SELECT f.rowid, e.event_id
      FROM (SELECT rowid FROM found ORDER BY rowid DESC LIMIT :limit) AS f JOIN events e ON e.event_nid = ABS(f.rowid)
     ORDER BY f.rowid DESC"""


def find_events(tx: Transaction, search: IndexSearch, *, before: int, limit: int) -> list[tuple[int, EventID]]:
    """Events that have the tokens, newest first, each with its number in the index: the first below `before`."""
    alternatives = search.alternatives
    if not all(alternatives):
        return []
    if tx.dialect.name == SQLITE:
        rows = tx.all(FIND_FTS5, wanted=_as_fts5(alternatives), before=before, limit=limit)
    else:
        rows = tx.all(FIND_TSVECTOR, wanted=_as_tsquery(alternatives), before=before, limit=limit)
    return [(row[0], EventID(row[1])) for row in rows]


BELOW = "SELECT below_nid FROM search_progress"
NOTE_PROGRESS = "UPDATE search_progress SET below_nid = :below"
TO_INDEX = (
    SELECT_EVENT
    + """
     WHERE e.event_nid >= :begin AND e.event_nid < :below AND e.verdict = 0 AND e.place IS NOT NULL
       AND e.type IN :types[text]"""
)


def index_older(tx: Transaction, *, count: int) -> bool:
    """Put some of the events into the index that were here before it, newest first; whether there are more."""
    row = tx.one(BELOW)
    below = 0 if row is None else int(row[0])
    if below <= 1:
        return False
    begin = max(1, below - count)
    for stored in map(stored_of, tx.all(TO_INDEX, begin=begin, below=below, types=list(SEARCHED))):
        index_event(tx, stored.nid, stored.event, is_history=stored.log_position is None)
    tx.run(NOTE_PROGRESS, below=begin)
    return begin > 1


# What a database is filled with (whole_tables.py) that had events already: all of them are still to be indexed.
INDEX_ALL: Final = "UPDATE search_progress SET below_nid = (SELECT COALESCE(MAX(event_nid), 0) + 1 FROM events)"


def room_mark(room_id: str) -> str:
    """By what the events of a room are found among those that have the same words."""
    return f"{MARK}r{_digest(room_id)}"


def sender_mark(user_id: str) -> str:
    """By what the events of a user are found."""
    return f"{MARK}u{_digest(user_id)}"


def _digest(identifier: str) -> str:
    """Short, so that it costs little: whoever finds an event looks again whose it is."""
    return base64.b32encode(hashlib.blake2b(identifier.encode(), digest_size=5).digest()).decode().lower()


def _as_fts5(alternatives: Iterable[Iterable[str]]) -> str:
    return " AND ".join(f"({' OR '.join(_quoted(one) for one in some)})" for some in alternatives)


def _quoted(token: str) -> str:
    return f'"{token}"'


def _as_tsquery(alternatives: Iterable[Iterable[str]]) -> str:
    return " & ".join("(" + " | ".join(f"'{token}'" for token in some) + ")" for some in alternatives)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "search_index",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("one row per event of the room that has words"),
    ),
    Table("search_progress", retention=Retention.bounded("one row")),
)
