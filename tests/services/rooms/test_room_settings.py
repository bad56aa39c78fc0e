"""What members set for a room is there in the room that replaces it."""

from typing import Any

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.rooms.room_settings import DIRECT
from homeserver.storage.account_data import MOST_PIECES, AccountData, all_account_data, store_account_data
from homeserver.storage.database import Transaction
from tests.services.world import ALICE, BOB, CAROL, World, now


def shared_room(world: World) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    return room_id


def upgrade(world: World, room_id: RoomID, user_id: UserID = ALICE) -> RoomID:
    return now(world.upgrades.upgrade(user_id, room_id, "11"))


def put(world: World, user_id: UserID, room_id: RoomID | None, data_type: str, content: dict[str, Any]) -> None:
    now(world.account_data.put(user_id, user_id, room_id, data_type, content))


def kept(world: World, user_id: UserID) -> dict[tuple[str | None, str], Any]:
    """All account data of a user."""
    found = world.sync_database.read(all_account_data, user_id)
    return {(one.room_id, one.type): orjson.loads(one.content) for one in found}


def test_tags_and_account_data_are_repeated_for_every_member_here(world: World) -> None:
    room_id = shared_room(world)
    now(world.account_data.put_tag(BOB, BOB, room_id, "m.favourite", {"order": 0.5}))
    put(world, ALICE, room_id, "org.example.colour", {"colour": "dove grey"})
    put(world, CAROL, room_id, "org.example.colour", {"colour": "not in the room"})

    replacement = upgrade(world, room_id)

    assert kept(world, BOB)[replacement, "m.tag"] == {"tags": {"m.favourite": {"order": 0.5}}}
    assert kept(world, ALICE)[replacement, "org.example.colour"] == {"colour": "dove grey"}
    assert kept(world, ALICE)[room_id, "org.example.colour"] == {"colour": "dove grey"}
    assert replacement not in {where for where, _ in kept(world, CAROL)}


def test_how_far_the_old_room_was_read_is_not_repeated(world: World) -> None:
    room_id = shared_room(world)
    put(world, BOB, room_id, "m.marked_unread", {"unread": True})

    replacement = upgrade(world, room_id)

    assert replacement not in {where for where, _ in kept(world, BOB)}


def test_push_rules_for_the_room_are_repeated(world: World) -> None:
    room_id = shared_room(world)
    now(world.push_rules.put(BOB, "room", room_id, {"actions": []}, before=None, after=None))
    about = {"kind": "event_match", "key": "room_id", "pattern": room_id}
    quiet = {"actions": [], "conditions": [about]}
    now(world.push_rules.put(BOB, "override", "quiet", quiet, before=None, after=None))

    replacement = upgrade(world, room_id)

    assert now(world.push_rules.rule(BOB, "room", replacement)).actions == ()
    copied = now(world.push_rules.rule(BOB, "override", f"quiet_{replacement}"))
    assert copied.conditions == ({**about, "pattern": replacement},)
    assert now(world.push_rules.rule(BOB, "room", room_id)).actions == ()


def test_a_direct_chat_stays_one(world: World) -> None:
    room_id = shared_room(world)
    put(world, ALICE, None, DIRECT, {BOB: [room_id, "!other:example.org"], CAROL: ["!third:example.org"], "odd": 1})
    put(world, BOB, None, DIRECT, {CAROL: ["!third:example.org"]})

    replacement = upgrade(world, room_id)

    assert kept(world, ALICE)[None, DIRECT] == {
        BOB: [room_id, "!other:example.org", replacement],
        CAROL: ["!third:example.org"],
        "odd": 1,
    }
    assert kept(world, BOB)[None, DIRECT] == {CAROL: ["!third:example.org"]}


def test_asking_again_changes_nothing_that_the_user_changed_since(world: World) -> None:
    room_id = shared_room(world)
    now(world.account_data.put_tag(ALICE, ALICE, room_id, "m.favourite", {}))
    put(world, ALICE, None, DIRECT, {BOB: [room_id]})
    replacement = upgrade(world, room_id)
    now(world.account_data.delete_tag(ALICE, ALICE, replacement, "m.favourite"))
    before = kept(world, ALICE)

    assert upgrade(world, room_id) == replacement

    assert kept(world, ALICE) == before
    assert kept(world, ALICE)[replacement, "m.tag"] == {"tags": {}}


def test_nobody_s_account_data_grows_beyond_what_one_may_have(world: World) -> None:
    room_id = shared_room(world)

    def fill(tx: Transaction) -> None:
        for number in range(MOST_PIECES):
            store_account_data(tx, BOB, AccountData(room_id, f"org.example.{number}", b"{}"), log_position=1)

    world.sync_database.write(fill)

    replacement = upgrade(world, room_id)

    assert replacement not in {where for where, _ in kept(world, BOB)}
