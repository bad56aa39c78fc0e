"""Messages for devices of other servers' users, until those servers have them."""

from homeserver.core.identifiers import ServerName, UserID
from homeserver.storage.to_device_outbox import (
    KEPT_MS,
    OutboxPlace,
    OutgoingMessage,
    delete_delivered,
    destinations_with_messages,
    first_messages,
    insert_outgoing,
    sweep_outbox,
    trim_outbox,
)
from tests.databases import SyncDatabase

A, B = ServerName("a.example"), ServerName("b.example")
ALICE = UserID("@alice:example.org")


def put(db: SyncDatabase, server: ServerName, position: int, *message_ids: str, now_ms: int = 0) -> None:
    messages = [OutgoingMessage(server, message_id, ALICE, message_id.encode()) for message_id in message_ids]
    db.write(insert_outgoing, messages, position=position, now_ms=now_ms)


def ids(db: SyncDatabase, server: ServerName, limit: int = 100) -> list[str]:
    found = db.read(first_messages, [server], limit=limit).get(server, [])
    assert [edu for _, edu in found] == [place.message_id.encode() for place, _ in found]
    return [place.message_id for place, _ in found]


def test_the_oldest_messages_come_first_for_each_server(db: SyncDatabase) -> None:
    put(db, A, 2, "c", "d")
    put(db, A, 1, "x", "b")
    put(db, B, 3, "e")

    assert ids(db, A) == ["b", "x", "c", "d"]
    assert ids(db, A, limit=3) == ["b", "x", "c"]
    found = db.read(first_messages, [A, B], limit=1)
    assert {server: [place for place, _ in messages] for server, messages in found.items()} == {
        A: [OutboxPlace(1, "b")],
        B: [OutboxPlace(3, "e")],
    }
    assert db.read(first_messages, [], limit=1) == {}


def test_what_was_delivered_goes_and_the_rest_stays(db: SyncDatabase) -> None:
    put(db, A, 1, "a", "b")
    put(db, A, 2, "a", "b", "c")
    put(db, B, 1, "a")

    assert db.write(delete_delivered, A, OutboxPlace(2, "a")) == 3

    assert ids(db, A) == ["b", "c"]
    assert ids(db, B) == ["a"]


def test_servers_are_found_for_which_something_was_written_lately(db: SyncDatabase) -> None:
    put(db, A, 1, "a")
    put(db, B, 2, "b")

    assert db.read(destinations_with_messages, after=0, upto=5) == {A, B}
    assert db.read(destinations_with_messages, after=1, upto=5) == {B}
    assert db.read(destinations_with_messages, after=0, upto=1) == {A}


def test_an_outbox_that_is_too_full_loses_its_oldest_messages(db: SyncDatabase) -> None:
    put(db, A, 1, *"abc")
    put(db, A, 2, *"de")
    put(db, B, 1, *"abc")

    assert db.write(trim_outbox, A, most=3) == 2
    assert db.write(trim_outbox, B, most=3) == 0

    assert ids(db, A) == ["c", "d", "e"]


def test_messages_that_nobody_fetched_for_long_are_swept(db: SyncDatabase) -> None:
    put(db, A, 1, "old", now_ms=0)
    put(db, A, 2, "new", now_ms=2_000)

    assert db.write(sweep_outbox, KEPT_MS + 1_000, 10) == 1

    assert ids(db, A) == ["new"]
