"""What an event relates to, and the thread that it is in.

Spec: client-server-api/#relationship-types, client-server-api/#threading
"""

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.relations import THREAD, relation_of, thread_id_of
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.relations import StoredRelation, insert_relation, remove_relation
from homeserver.storage.threads import note_thread_event, renew_thread


def thread_of(at_hand: EventsAtHand, event: Event) -> EventID | None:
    """The thread that an event is in, by its root."""
    thread_id = thread_id_of(event)
    relation = relation_of(event.content)
    if thread_id is not None or relation is None:
        return thread_id
    # What relates to an event of a thread in another way is in the thread too; that event knows which.
    target = at_hand.find(relation.event_id)
    return target.thread_id if target is not None and target.event.room_id == at_hand.room_id else None


def relate(tx: Transaction, stored: StoredEvent) -> None:
    """Keep what an event that was accepted relates to."""
    event, place = stored.event, stored.place or 0
    relation = relation_of(event.content)
    if relation is None:
        return
    insert_relation(
        tx,
        StoredRelation(
            stored.nid,
            event.room_id,
            relation.event_id,
            relation.rel_type,
            relation.key,
            event.type,
            event.sender,
            place,
        ),
    )
    if relation.rel_type == THREAD:
        note_thread_event(tx, event.room_id, relation.event_id, place)


def part(tx: Transaction, target: StoredEvent) -> None:
    """Let an event that is redacted relate to nothing any more."""
    remove_relation(tx, target.nid)
    relation = relation_of(target.event.content)
    if relation is not None and relation.rel_type == THREAD:
        renew_thread(tx, target.event.room_id, relation.event_id)
