"""All rooms, listed, searched and sorted."""

import pytest

from homeserver.core.identifiers import EventID, RoomAlias, RoomID, UserID
from homeserver.storage.aliases import Alias, insert_alias
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, store_memberships
from homeserver.storage.room_index import RoomFacts, count_joined, note_activity
from homeserver.storage.room_listing import (
    RoomWanted,
    count_rooms,
    is_remembered,
    joined_user_ids,
    listed_rooms,
    sorted_room_ids,
    wanted_roots,
)
from homeserver.storage.rooms import set_published
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event, insert_bare_room

GARDEN, KITCHEN, NAMELESS = RoomID("!garden:example.org"), RoomID("!kitchen:example.org"), RoomID("!other:example.org")
ALICE, EVE = UserID("@alice:example.org"), UserID("@eve:elsewhere.example")


def member(room_id: RoomID, user_id: UserID, *, is_local: bool) -> Membership:
    return Membership(
        room_id=room_id,
        user_id=user_id,
        membership="join",
        event_id=EventID("$join"),
        sender=user_id,
        place=1,
        log_position=1,
        display_name=None,
        avatar_url=None,
        is_local=is_local,
        is_forgotten=False,
        stripped_state=None,
        joined_place=1,
    )


def facts(name: str | None, *, is_encrypted: bool = False) -> RoomFacts:
    return RoomFacts(room_type=None, name=name, is_encrypted=is_encrypted)


def fill(tx: Transaction) -> None:
    """Three rooms: each is the first by something."""
    for room_id, version in ((GARDEN, "11"), (KITCHEN, "10"), (NAMELESS, "12")):
        insert_bare_room(tx, room_id, root=room_id.encode(), version=version)
    note_activity(tx, GARDEN, position=1, bump_position=None, facts=facts("The 100% Garden"))
    note_activity(tx, KITCHEN, position=1, bump_position=None, facts=facts("a kitchen", is_encrypted=True))
    note_activity(tx, NAMELESS, position=1, bump_position=None, facts=facts(None))
    set_published(tx, GARDEN, is_published=True)
    insert_alias(tx, Alias(RoomAlias("#Potatoes:example.org"), KITCHEN, ALICE), created_ms=0)
    store_memberships(tx, [member(GARDEN, ALICE, is_local=True), member(NAMELESS, EVE, is_local=False)])
    store_memberships(tx, [member(NAMELESS, UserID("@ede:elsewhere.example"), is_local=False)])
    count_joined(tx, GARDEN, 1, position=1)
    count_joined(tx, NAMELESS, 2, position=1)
    insert_bare_event(tx, 1, "$one", KITCHEN, pdu=b"{}" * 50)
    insert_bare_event(tx, 2, "$two", GARDEN)


@pytest.fixture
def rooms(db: SyncDatabase) -> SyncDatabase:
    """A database with three rooms."""
    db.write(fill)
    return db


def test_rooms_are_sorted_both_ways_and_read_a_page_at_a_time(rooms: SyncDatabase) -> None:
    def by(order: str, *, descends: bool = False, skipped: int = 0, limit: int = 9) -> list[RoomID]:
        return rooms.read(sorted_room_ids, RoomWanted(), by=order, descends=descends, skipped=skipped, limit=limit)

    assert by("name") == [KITCHEN, GARDEN, NAMELESS]
    assert by("name", descends=True) == [GARDEN, KITCHEN, NAMELESS]
    assert by("version") == [KITCHEN, GARDEN, NAMELESS]
    assert by("version", descends=True) == [NAMELESS, GARDEN, KITCHEN]
    assert by("joined_members", descends=True) == [NAMELESS, GARDEN, KITCHEN]
    assert by("joined_members") == [KITCHEN, GARDEN, NAMELESS]
    assert by("joined_local_members", descends=True) == [GARDEN, KITCHEN, NAMELESS]
    assert by("size_bytes", descends=True) == [KITCHEN, GARDEN, NAMELESS]
    assert by("public", descends=True)[0] == GARDEN
    assert by("encryption", descends=True)[0] == KITCHEN
    assert by("name", skipped=1, limit=1) == [GARDEN]


def test_rooms_are_found_by_a_part_of_their_names_or_aliases_by_their_ids_and_by_what_they_are(
    rooms: SyncDatabase,
) -> None:
    def found(wanted: RoomWanted) -> set[RoomID]:
        room_ids = rooms.read(sorted_room_ids, wanted, by="name", descends=False, skipped=0, limit=9)
        assert len(room_ids) == rooms.read(count_rooms, wanted)
        assert set(room_ids) == rooms.read(wanted_roots, wanted).keys()
        return set(room_ids)

    assert found(RoomWanted("GARD")) == {GARDEN}
    assert found(RoomWanted("0% g")) == {GARDEN}
    assert found(RoomWanted("%")) == {GARDEN}
    assert found(RoomWanted("potato")) == {KITCHEN}
    assert found(RoomWanted("example.org")) == set()
    assert found(RoomWanted(NAMELESS)) == {NAMELESS}
    assert found(RoomWanted("!")) == set()
    assert found(RoomWanted(is_public=True)) == {GARDEN}
    assert found(RoomWanted(is_public=False)) == {KITCHEN, NAMELESS}
    assert found(RoomWanted(is_empty=True)) == {KITCHEN, NAMELESS}
    assert found(RoomWanted(is_empty=False)) == {GARDEN}


def test_what_is_kept_of_rooms_is_counted(rooms: SyncDatabase) -> None:
    garden, nameless = rooms.read(listed_rooms, [GARDEN, RoomID("!none:example.org"), NAMELESS])

    assert (garden.joined_members, garden.joined_local_members, garden.size_bytes, garden.is_public) == (1, 1, 2, True)
    assert (nameless.joined_members, nameless.joined_local_members, nameless.events) == (2, 0, 0)
    assert rooms.read(joined_user_ids, NAMELESS) == ["@ede:elsewhere.example", EVE]
    assert rooms.read(is_remembered, GARDEN)
    assert not rooms.read(is_remembered, NAMELESS)
