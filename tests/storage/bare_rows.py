"""Rows of `events` and `rooms` that say no more than an index beside them needs, and a way to begin with none."""

from collections.abc import Iterable
from typing import Final

from homeserver.storage.database import Transaction

# As the schema was at revision 10, and is since.
INSERT_EVENT: Final = """
    INSERT INTO events (event_nid, event_id, room_id, type, sender, state_key, origin_server_ts, verdict, form,
                        root_before, root_after, pdu)
    VALUES (:nid, :event_id, :room_id, 'm.test', '@alice:example.org', :state_key, 0, 0, 0,
            :root_before, :root_after, :pdu)"""
INSERT_ROOM: Final = """
    INSERT INTO rooms (room_id, version, created_ms, generation, current_root, heads, depth, last_place,
                       is_published, is_blocked, is_partial)
    VALUES (:room_id, :version, 0, 0, :root, :heads, 0, 0, :no, :no, :no)"""


def insert_bare_event(
    tx: Transaction,
    nid: int,
    event_id: str,
    room_id: str,
    *,
    state_key: str | None = None,
    root_before: bytes | None = None,
    root_after: bytes | None = None,
    pdu: bytes = b"{}",
) -> None:
    """An event that was accepted and is nowhere in its room's order."""
    tx.run(
        INSERT_EVENT,
        nid=nid,
        event_id=event_id,
        room_id=room_id,
        state_key=state_key,
        root_before=root_before,
        root_after=root_after,
        pdu=pdu,
    )


def insert_bare_room(tx: Transaction, room_id: str, *, root: bytes, version: str = "11") -> None:
    """A room without heads."""
    tx.run(INSERT_ROOM, room_id=room_id, version=version, root=root, heads=b"[]", no=False)


def empty(tx: Transaction, tables: Iterable[str]) -> None:
    """Leave nothing in some tables: for the next example of a property."""
    for table in tables:
        tx.run(f"DELETE FROM {table}")
