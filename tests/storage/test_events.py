"""Events by their place. What is written of them is tested where it is written, in tests/services/events/."""

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, judged_events, known_events, place_below_newest, stream_news
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event, insert_bare_room

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
PDU = (
    b'{"auth_events":[],"content":{},"depth":1,"hashes":{"sha256":""},"origin_server_ts":0,"prev_events":[],'
    b'"room_id":"!room:example.org","sender":"@alice:example.org","signatures":{},"type":"m.test"}'
)
STATE = "UPDATE events SET root_before = :root WHERE event_nid = :nid"
FORM = "UPDATE events SET form = :form WHERE event_nid = :nid"
POSITION = "UPDATE events SET log_position = :position, verdict = :verdict WHERE event_nid = :nid"
PLACE = "UPDATE events SET place = :place, verdict = :verdict WHERE event_nid = :nid"


def test_the_place_below_the_newest_events_is_that_of_one_that_is_shown(db: SyncDatabase) -> None:
    def fill(tx: Transaction) -> None:
        for nid, (place, verdict) in enumerate([(-5, 0), (10, 0), (15, 1), (20, 0), (30, 0)], start=1):
            insert_bare_event(tx, nid, f"${nid}", ROOM)
            tx.run(PLACE, nid=nid, place=place, verdict=verdict)
        insert_bare_event(tx, 6, "$placeless", ROOM)

    db.write(fill)

    assert [db.read(place_below_newest, ROOM, number=number) for number in range(5)] == [30, 20, 10, -5, None]
    assert db.read(place_below_newest, OTHER, number=0) is None


def test_what_is_known_of_a_room_is_told_with_whether_its_state_is(db: SyncDatabase) -> None:
    def fill(tx: Transaction) -> None:
        insert_bare_event(tx, 1, "$outlier", ROOM)
        insert_bare_event(tx, 2, "$judged", ROOM)
        insert_bare_event(tx, 3, "$elsewhere", OTHER)
        tx.run(STATE, nid=2, root=b"root")

    db.write(fill)

    asked = [EventID(name) for name in ("$outlier", "$judged", "$elsewhere", "$nowhere")]
    assert db.read(known_events, ROOM, asked) == {"$outlier": False, "$judged": True}
    assert db.read(known_events, ROOM, []) == {}


def test_the_first_news_of_several_rooms_come_in_the_order_of_the_log(db: SyncDatabase) -> None:
    def fill(tx: Transaction) -> None:
        insert_bare_room(tx, ROOM, root=b"root")
        insert_bare_room(tx, OTHER, root=b"root")
        for nid, (room_id, position, verdict) in enumerate(
            [(ROOM, 40, 0), (OTHER, 30, 0), (ROOM, 20, 0), (ROOM, 25, 1), ("!third:example.org", 22, 0)], start=1
        ):
            insert_bare_event(tx, nid, f"${nid}", room_id, pdu=PDU)
            tx.run(POSITION, nid=nid, position=position, verdict=verdict)

    db.write(fill)

    def ids(*, after: int, upto: int, limit: int) -> list[str]:
        found = db.read(stream_news, [ROOM, OTHER], after=after, upto=upto, limit=limit)
        return [stored.event.event_id for stored in found]

    assert ids(after=0, upto=100, limit=10) == ["$3", "$2", "$1"]
    assert ids(after=0, upto=100, limit=2) == ["$3", "$2"]
    assert ids(after=20, upto=39, limit=10) == ["$2"]
    assert db.read(stream_news, [], after=0, upto=100, limit=10) == []


def test_of_what_was_judged_in_a_room_what_lacks_its_content_is_left_out(db: SyncDatabase) -> None:
    def fill(tx: Transaction) -> None:
        for nid, name in enumerate(("$outlier", "$judged", "$bare"), start=1):
            insert_bare_event(tx, nid, name, ROOM)
        insert_bare_event(tx, 4, "$elsewhere", OTHER)
        for nid in (2, 3, 4):
            tx.run(STATE, nid=nid, root=b"root")
        tx.run(FORM, nid=3, form=Form.WRONG_HASH)

    db.write(fill)

    asked = [EventID(name) for name in ("$outlier", "$judged", "$bare", "$elsewhere", "$nowhere")]
    assert db.read(judged_events, ROOM, asked) == {"$judged"}
    assert db.read(judged_events, ROOM, []) == set()
