"""Which rooms are large."""

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import room_version
from homeserver.storage.large_rooms import LargeRoom, largest_rooms
from homeserver.storage.rooms import PLACE_STEP, RoomHead, insert_room
from tests.databases import SyncDatabase

SMALL, LARGE = RoomID("!a:example.org"), RoomID("!b:example.org")
EVENT = """
    INSERT INTO events (event_nid, event_id, room_id, place, type, sender, origin_server_ts, verdict, form, pdu)
    VALUES (:nid, :event_id, :room_id, :place, 'm', '@a:b', 0, 0, 0, :pdu)"""


def test_rooms_are_sorted_by_their_events_and_estimated_by_the_newest(db: SyncDatabase) -> None:
    for room_id, events in ((SMALL, 3), (LARGE, 100)):
        heads, place = (EventID("$head"),), events * PLACE_STEP
        head = RoomHead(room_id, room_version("11"), 0, b"root", heads, 1, place, is_blocked=False)
        db.write(insert_room, head, created_ms=0)
    rows = [
        {"nid": number + 1, "event_id": f"${number}", "room_id": LARGE, "place": number, "pdu": b"x" * 300}
        for number in range(5)
    ]
    db.write(lambda tx: tx.run_many(EVENT, rows))

    both = db.read(largest_rooms, limit=5)
    looked_at = db.read(largest_rooms, limit=5, most=1)

    assert both == [LargeRoom(LARGE, None, 0, 100, 30_000), LargeRoom(SMALL, None, 0, 3, 0)]
    assert [room.room_id for room in looked_at] == [SMALL]
