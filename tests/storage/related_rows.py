"""Rows of relations, each with as much of an event as is read beside it."""

from dataclasses import dataclass

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid
from homeserver.storage.relations import StoredRelation, insert_relation
from homeserver.storage.threads import note_thread_event

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
EVENT = """
    INSERT INTO events (event_nid, event_id, room_id, type, sender, state_key, origin_server_ts, verdict, form, pdu)
    VALUES (:nid, :event_id, :room_id, :type, :sender, :state_key, :ts, 0, 0, :pdu)"""


@dataclass(frozen=True, slots=True)
class Child:
    """An event that relates to another, shown at the place that is its number."""

    number: int
    parent: str
    rel_type: str = "m.thread"
    sender: UserID = ALICE
    type: str = "m.room.message"
    state_key: str | None = None
    ts: int = 0
    room_id: RoomID = ROOM
    key: str | None = None

    @property
    def event_id(self) -> EventID:
        return EventID(f"${self.number}")


def insert_event(
    tx: Transaction,
    nid: int,
    event_id: str,
    *,
    sender: str = ALICE,
    event_type: str = "m.room.message",
    state_key: str | None = None,
    ts: int = 0,
    room_id: RoomID = ROOM,
) -> None:
    """An event that relates to nothing."""
    tx.run(
        EVENT,
        nid=nid,
        event_id=event_id,
        room_id=room_id,
        type=event_type,
        sender=sender,
        state_key=state_key,
        ts=ts,
        pdu=b"{}",
    )


def insert_children(tx: Transaction, *children: Child) -> None:
    """Events that relate to others, as they are kept."""
    for child in children:
        insert_event(
            tx,
            child.number,
            child.event_id,
            sender=child.sender,
            event_type=child.type,
            state_key=child.state_key,
            ts=child.ts,
            room_id=child.room_id,
        )
        parent = EventID(child.parent)
        insert_relation(
            tx,
            StoredRelation(
                EventNid(child.number),
                child.room_id,
                parent,
                child.rel_type,
                child.key,
                child.type,
                child.sender,
                child.number,
            ),
        )
        if child.rel_type == "m.thread":
            note_thread_event(tx, child.room_id, parent, child.number)
