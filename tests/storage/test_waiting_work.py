"""How much waits."""

from homeserver.core.identifiers import RoomID
from homeserver.storage.admin_jobs import Job, insert_job
from homeserver.storage.collectable_rooms import note_collectable
from homeserver.storage.waiting_work import log_readers, queue_lengths
from tests.databases import SyncDatabase


def test_what_waits_is_counted_up_to_a_bound(db: SyncDatabase) -> None:
    nothing = db.read(queue_lengths)
    for number in range(5):
        db.write(note_collectable, RoomID(f"!{number}:example.org"), 0)
    db.write(insert_job, Job("a", "kind", "!0:example.org", {}, None, 0, 0))

    some = db.read(queue_lengths)
    bounded = db.read(queue_lengths, 3)

    assert set(nothing.values()) == {0}
    assert (some["rooms_with_states_to_collect"], some["jobs"]) == (5, 1)
    assert (bounded["rooms_with_states_to_collect"], bounded["jobs"]) == (3, 1)


def test_the_log_and_its_readers_are_told(db: SyncDatabase) -> None:
    readers = db.read(log_readers)

    assert readers.log == db.read(lambda tx: tx.log_position)
    assert readers.federation <= readers.log
