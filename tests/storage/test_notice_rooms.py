"""Where the server speaks to whom."""

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.notice_rooms import find_notice_room, store_notice_room
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def test_each_user_has_one_room_which_may_become_another(db: SyncDatabase) -> None:
    db.write(store_notice_room, ALICE, RoomID("!first:example.org"))
    db.write(store_notice_room, BOB, RoomID("!bob:example.org"))
    db.write(store_notice_room, ALICE, RoomID("!second:example.org"))

    found = [db.read(find_notice_room, user_id) for user_id in (ALICE, BOB, UserID("@carol:example.org"))]

    assert found == ["!second:example.org", "!bob:example.org", None]
