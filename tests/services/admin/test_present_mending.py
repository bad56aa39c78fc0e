"""Where a room stands is put right from its events: its last events, its current state, the log of its states."""

import pytest

from homeserver.core.identifiers import RoomID
from tests.services.admin.mended import mended_after
from tests.services.world import ALICE, BOB, World, now

NEWEST = "(SELECT MAX(log_position) FROM room_roots)"
OLDEST_ROOT = "(SELECT root FROM room_roots ORDER BY log_position LIMIT 1)"


@pytest.fixture(scope="module")
def room_id(shared_world: World) -> RoomID:
    room_id = shared_world.create_room(ALICE, preset="public_chat")
    shared_world.join(BOB, room_id)
    now(shared_world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "of this"}))
    shared_world.send(BOB, room_id, "the last word")
    return room_id


@pytest.mark.parametrize(
    ("table", "statements", "reason"),
    [
        ("rooms", ["UPDATE rooms SET heads = CAST('[]' AS BYTES)"], "is not among the heads []"),
        ("rooms", ["UPDATE rooms SET heads = CAST('7' AS BYTES)"], "its heads are not a list of events"),
        (
            "rooms",
            [
                "UPDATE rooms SET heads = (SELECT CAST('[\"' || event_id || '\"]' AS BYTES) FROM events"
                " WHERE type = 'm.room.topic')"
            ],
            "which is said to be a head",
        ),
        ("rooms", [f"UPDATE rooms SET current_root = {OLDEST_ROOT}"], "it is not the one after the room's last events"),
        ("room_roots", [f"DELETE FROM room_roots WHERE log_position = {NEWEST}"], "the newest row of room_roots"),
        (
            "room_roots",
            [f"UPDATE room_roots SET root = {OLDEST_ROOT} WHERE log_position = {NEWEST}"],
            "room_roots has another state at its position",
        ),
        (
            "rooms",
            [
                f"UPDATE rooms SET current_root = {OLDEST_ROOT}",
                f"DELETE FROM room_roots WHERE log_position = {NEWEST}",
            ],
            "it is not the one after the room's last events",
        ),
        (
            "room_roots",
            [
                "INSERT INTO room_roots (room_id, log_position, root, written_ms)"
                f" SELECT room_id, log_position + 1000, root, written_ms FROM room_roots WHERE log_position = {NEWEST}"
            ],
            "room_roots has a position that is no event's",
        ),
    ],
)
def test_where_a_room_stands_is_put_right(
    shared_world: World, room_id: RoomID, table: str, statements: list[str], reason: str
) -> None:
    is_sqlite = shared_world.sync_database.dialect.name == "sqlite"
    spelt = [one.replace("BYTES", "BLOB" if is_sqlite else "BYTEA") for one in statements]

    mended = mended_after(shared_world, room_id, table, *spelt)

    assert reason in (mended.found or "")
    assert (mended.left, mended.refused) == (None, None)
    assert mended.is_as_before
