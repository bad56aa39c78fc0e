"""The audit of relations: what events are said to relate to, and in which threads they are, against what they say.

What relates to an event of a thread in another way is in that thread too, if the event was here before it: when it came
is not always known. What was redacted says nothing any more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.event_audit import Kept, Unsound
from homeserver.core.relations import Relation, relation_of, thread_id_of
from homeserver.services.admin.audit_reading import Reading
from homeserver.storage.events import as_column
from homeserver.storage.relation_audit import Noted, RelationRow, noted_relations, stray_relation, wrong_threads
from homeserver.storage.room_audit import EventRow

NOTHING: Final = Noted(None, None)


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to be noted of an event instead, and why."""

    nid: int
    right: Noted
    reason: str


class PageOfRelations:
    """What is noted of some events."""

    def __init__(self, reading: Reading, page: Sequence[EventRow]) -> None:
        self._reading = reading
        self._noted = noted_relations(reading.tx, [row.nid for row in page])

    def check(self, kept: Kept) -> None:
        """Raise Unsound unless what is noted of an event is what it says."""
        for correction in self.corrections(kept):
            raise Unsound(correction.reason)

    def corrections(self, kept: Kept) -> Iterator[Correction]:
        """What is to be noted of an event instead."""
        noted = self._noted.get(kept.nid, NOTHING)
        relation = relation_of(kept.event.content)
        if not kept.is_whole and relation is not None:
            return  # a redaction left it, and took what was noted of it
        row = _row_of(kept, relation)
        thread_id = self._thread_of(kept, relation, noted)
        right = Noted(thread_id, row)
        if noted.relation != row:
            yield Correction(kept.nid, right, f"it is said to relate to {_told(noted.relation)}, not to {_told(row)}")
        elif noted.thread_id != thread_id:
            yield Correction(kept.nid, right, f"it is said to be in the thread {noted.thread_id}, not in {thread_id}")

    def _thread_of(self, kept: Kept, relation: Relation | None, noted: Noted) -> str | None:
        """The thread that an event is in: what is noted of it, where that may be."""
        if not kept.is_whole:
            return noted.thread_id
        thread_id = thread_id_of(kept.event)
        if thread_id is not None or relation is None or noted.thread_id is None:
            return thread_id
        target = self._reading.find(relation.event_id)
        if target is None:
            return noted.thread_id  # it may have been deleted since
        return noted_relations(self._reading.tx, [target.nid]).get(target.nid, NOTHING).thread_id


def check_threads(reading: Reading) -> None:
    """Raise Unsound when something relates that is not here, or the newest event of a thread is somewhere else."""
    stray = stray_relation(reading.tx, reading.room_id)
    if stray is not None:
        raise Unsound(f"the event number {stray} is said to relate to another one, and is not here")
    for thread in wrong_threads(reading.tx, reading.room_id, limit=1):
        raise Unsound(f"the newest event of {thread.root_id} is said to be at {thread.noted}, and is at {thread.right}")


def _row_of(kept: Kept, relation: Relation | None) -> RelationRow | None:
    event = kept.event
    if relation is None or not kept.is_accepted or kept.place is None:
        return None
    return RelationRow(
        room_id=event.room_id,
        relates_to=relation.event_id,
        rel_type=relation.rel_type,
        aggregation_key=relation.key,
        type=as_column(event.type),
        sender=event.sender,
        place=kept.place,
    )


def _told(row: RelationRow | None) -> str:
    return "nothing" if row is None else f"{row.relates_to} as {row.rel_type} ({row.aggregation_key}) at {row.place}"
