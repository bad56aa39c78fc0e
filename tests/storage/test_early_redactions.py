"""Redactions that came first: taken once, all of them, by the event that they are about."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.early_redactions import note_early_redaction, take_early_redactions
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

ROOMS = (RoomID("!room:example.org"), RoomID("!other:example.org"))
ROOM_IDS = st.sampled_from(ROOMS)
TARGETS = st.sampled_from([EventID(f"$target{number}") for number in range(4)])
# Among them such as sort otherwise by a language's rules than by their bytes.
REDACTIONS = st.sampled_from([EventID(name) for name in ("$a", "$B", "$b", "$_", "$-", "$9", "$é")])
Noted = tuple[RoomID, EventID, EventID]
NOTES = st.tuples(ROOM_IDS, TARGETS, REDACTIONS)
TAKES = st.tuples(ROOM_IDS, TARGETS, st.none())


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(NOTES, NOTES, TAKES), max_size=30))
def test_an_event_takes_the_redactions_that_were_noted_since_it_last_did(
    db: SyncDatabase, steps: list[tuple[RoomID, EventID, EventID | None]]
) -> None:
    db.write(empty, ("early_redactions",))
    noted: set[Noted] = set()

    for room_id, target_id, redaction_id in steps:
        if redaction_id is not None:
            db.write(note_early_redaction, room_id, target_id=target_id, redaction_id=redaction_id)
            noted.add((room_id, target_id, redaction_id))
            continue

        taken = db.write(take_early_redactions, room_id, target_id)

        of_target = {one for one in noted if one[:2] == (room_id, target_id)}
        assert taken == sorted(redaction for _, _, redaction in of_target)
        noted -= of_target
    assert db.read(all_noted) == sorted(noted)


def all_noted(tx: Transaction) -> list[Noted]:
    rows = tx.all("SELECT room_id, target_id, redaction_id FROM early_redactions ORDER BY 1, 2, 3")
    return [(RoomID(row[0]), EventID(row[1]), EventID(row[2])) for row in rows]


def test_what_is_noted_and_taken_in_one_write_leaves_nothing(db: SyncDatabase) -> None:
    target_id, redaction_id = EventID("$target"), EventID("$redaction")

    def write(tx: Transaction) -> list[EventID]:
        note_early_redaction(tx, ROOMS[0], target_id=target_id, redaction_id=redaction_id)
        return take_early_redactions(tx, ROOMS[0], target_id)

    assert db.write(write) == [redaction_id]
    assert db.read(all_noted) == []
