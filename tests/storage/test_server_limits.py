"""Limits of single servers."""

from homeserver.core.identifiers import ServerName
from homeserver.storage.server_limits import ServerLimit, delete_server_limit, server_limits, store_server_limit
from tests.databases import SyncDatabase

A, B = ServerName("a.example"), ServerName("b.example")


def test_a_limit_takes_the_place_of_one_of_the_same_server_and_name(db: SyncDatabase) -> None:
    db.write(store_server_limit, ServerLimit(B, "federation", 0.0001, 1, 1))
    db.write(store_server_limit, ServerLimit(A, "federation", 1.5, 10, 2))
    db.write(store_server_limit, ServerLimit(B, "federation", 1_000_000.0, 1_000_000, 3))
    db.write(store_server_limit, ServerLimit(B, "events_by_server", 2.0, 3, 3))

    stored = [
        ServerLimit(A, "federation", 1.5, 10, 2),
        ServerLimit(B, "events_by_server", 2.0, 3, 3),
        ServerLimit(B, "federation", 1_000_000.0, 1_000_000, 3),
    ]
    assert db.read(server_limits) == stored
    assert db.write(delete_server_limit, B, "federation")
    assert not db.write(delete_server_limit, B, "federation")
    assert db.read(server_limits) == stored[:2]
