"""The pages of the public directory, on both databases."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.room_versions import V12
from homeserver.core.search_words import search_for
from homeserver.storage.database import Transaction
from homeserver.storage.room_index import RoomFacts, count_joined, note_activity
from homeserver.storage.room_words import (
    DirectoryWish,
    directory_page,
    next_older_rooms,
    renew_room_words,
    set_facts,
)
from homeserver.storage.rooms import RoomHead, insert_room, set_published
from tests.databases import SyncDatabase

GARDEN, SPACE, TOKYO, HIDDEN = (RoomID(f"!{name}:example.org") for name in ("garden", "space", "tokyo", "hidden"))


def make_room(
    tx: Transaction,
    room_id: RoomID,
    members: int,
    *texts: str,
    room_type: str | None = None,
    is_partial: bool = False,
) -> None:
    insert_room(tx, RoomHead(room_id, V12, 0, b"root", (), 0, 0, is_blocked=False, is_partial=is_partial), created_ms=0)
    count_joined(tx, room_id, members + 1, position=1)
    count_joined(tx, room_id, -1, position=2)
    facts = RoomFacts(room_type, None, is_encrypted=False)
    note_activity(tx, room_id, position=2, bump_position=None, facts=facts)
    renew_room_words(tx, room_id, texts)
    set_published(tx, room_id, is_published=True)


@pytest.fixture(autouse=True)
def rooms(db: SyncDatabase) -> None:
    db.write(make_room, GARDEN, 3, "Garden party", "All about flowers")
    db.write(make_room, SPACE, 5, "Gardens of the world", room_type="m.space")
    db.write(make_room, TOKYO, 1, "東京の庭", room_type="")
    db.write(make_room, HIDDEN, 9, "Garden, hidden")
    db.write(set_published, HIDDEN, is_published=False)


def listed(
    db: SyncDatabase, term: str | None = None, types: list[str | None] | None = None, **page: int
) -> tuple[list[str], int]:
    wish = DirectoryWish(None if term is None else search_for(term), types)
    found, total = db.read(directory_page, wish, **{"offset": 0, "limit": 9, **page})
    return [room.room_id for room in found], total


def test_rooms_are_listed_by_their_members_page_by_page(db: SyncDatabase) -> None:
    assert listed(db) == ([SPACE, GARDEN, TOKYO], 3)
    assert listed(db, limit=1, offset=1) == ([GARDEN], 3)
    assert listed(db, offset=3) == ([], 3)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("garden", [SPACE, GARDEN]),
        ("GARD part", [GARDEN]),
        ("flow", [GARDEN]),
        ("東京", [TOKYO]),
        ("庭", [TOKYO]),
        ("京東", []),
        ("arden", []),
        ("garden 東京", []),
    ],
)
def test_rooms_are_found_by_the_beginnings_of_words(db: SyncDatabase, term: str, expected: list[RoomID]) -> None:
    assert listed(db, term) == (expected, len(expected))


def test_rooms_are_listed_by_their_types(db: SyncDatabase) -> None:
    assert listed(db, types=["m.space"]) == ([SPACE], 1)
    assert listed(db, types=[None]) == ([GARDEN, TOKYO], 2)
    assert listed(db, types=[None, "m.space"], term="garden") == ([SPACE, GARDEN], 2)
    assert listed(db, types=[]) == ([], 0)


def test_blocked_and_partly_known_rooms_are_left_out(db: SyncDatabase) -> None:
    db.write(make_room, RoomID("!blocked:example.org"), 9)
    db.write(lambda tx: tx.run(BLOCK, yes=True))
    db.write(make_room, RoomID("!partial:example.org"), 9, is_partial=True)

    assert listed(db)[1] == 3


BLOCK = "UPDATE rooms SET is_blocked = :yes WHERE room_id = '!blocked:example.org'"


def test_a_room_is_found_by_what_it_is_called_now(db: SyncDatabase) -> None:
    db.write(renew_room_words, GARDEN, ["Kitchen party"])

    assert listed(db, "garden") == ([SPACE], 1)
    assert listed(db, "kitchen party") == ([GARDEN], 1)


def test_rooms_from_before_are_looked_at_once(db: SyncDatabase) -> None:
    db.write(lambda tx: tx.run("UPDATE search_progress SET rooms_after = ''"))

    steps = [db.write(next_older_rooms, limit=3) for _ in range(4)]
    db.write(set_facts, GARDEN, RoomFacts("m.space", "Garden", is_encrypted=False, is_public=True))

    assert steps == [[GARDEN, HIDDEN, SPACE], [TOKYO], [], []]
    assert listed(db, types=["m.space"]) == ([SPACE, GARDEN], 2)
