"""PDUs as bytes, with the auth events that they name."""

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.pdus import AuthEvents, Pdu, auth_events_by_id, joined_json, pdus_by_id
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")


@pytest.mark.parametrize(
    ("pdu", "sender", "named"),
    [
        (b'{"auth_events":["$a","$b"],"content":{"deep":[1,{"x":null}]},"sender":"@a:x"}', "@a:x", ("$a", "$b")),
        (b'{"auth_events":[["$a:x",{"sha256":"abc"}]],"content":{}}', "", ("$a:x",)),
        (b'{"auth_events":[]}', "", ()),
    ],
)
def test_a_pdu_comes_as_it_is_stored_with_what_it_names(
    db: SyncDatabase, pdu: bytes, sender: str, named: tuple[str, ...]
) -> None:
    db.write(insert_bare_event, 1, "$one", ROOM, pdu=pdu)

    assert db.read(pdus_by_id, ROOM, [EventID("$one")]) == {"$one": Pdu(pdu, sender, tuple(map(EventID, named)))}
    assert db.read(auth_events_by_id, ROOM, [EventID("$one")]) == {"$one": AuthEvents(tuple(map(EventID, named)))}


def test_events_of_other_rooms_and_unknown_ones_are_left_out(db: SyncDatabase) -> None:
    db.write(insert_bare_event, 1, "$one", ROOM, pdu=b'{"auth_events":[]}')
    db.write(insert_bare_event, 2, "$two", OTHER, pdu=b'{"auth_events":[]}')

    assert set(db.read(pdus_by_id, ROOM, [EventID("$one"), EventID("$two"), EventID("$three")])) == {"$one"}
    assert db.read(pdus_by_id, ROOM, []) == {}


def test_many_are_one_list() -> None:
    assert joined_json([]) == b"[]"
    assert joined_json([b"{}", b'{"a":1}']) == b'[{},{"a":1}]'
