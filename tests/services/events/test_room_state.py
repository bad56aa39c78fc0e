"""Events from memory and from the database: an answer shows what its own snapshot has."""

from dataclasses import replace

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, StoredEvent, events_by_id
from tests.services.world import ALICE, World, now


def two_newest(world: World, states: RoomStates, room_id: RoomID) -> list[StoredEvent]:
    """The two newest events of the room as they are read with these states at hand."""

    def read(tx: Transaction) -> list[StoredEvent]:
        return states.news(tx, room_id, after=0, upto=tx.log_position, limit=2)

    return now(world.database.read(read))


def test_an_event_that_memory_has_in_an_older_form_is_read_as_it_was_redacted(world: World) -> None:
    room_id = world.create_room(ALICE)
    said = world.send(ALICE, room_id, "regretted")
    whole = now(world.database.read(events_by_id, [said]))[said]
    behind = RoomStates(world.budget, EventCache(world.budget))
    behind.events.put(whole)
    now(world.sending.redact(ALICE, room_id, said, {}, None))

    redaction, redacted = two_newest(world, behind, room_id)

    assert redacted.event.event_id == said
    assert "body" not in redacted.event.content
    assert redacted.redacted_by == redaction.event.event_id


def test_an_event_that_memory_has_in_a_newer_form_is_read_as_the_snapshot_has_it_and_stays(world: World) -> None:
    room_id = world.create_room(ALICE)
    said = world.send(ALICE, room_id, "regretted")
    whole = now(world.database.read(events_by_id, [said]))[said]
    ahead = RoomStates(world.budget, EventCache(world.budget))
    newer = replace(whole, form=Form.REDACTED, redacted_by=EventID("$redaction"))
    ahead.events.replace(newer)

    newest, _ = two_newest(world, ahead, room_id)

    assert newest == whole
    assert ahead.events.get(said) is newer


def test_an_event_that_was_read_is_at_hand_the_next_time(world: World) -> None:
    room_id = world.create_room(ALICE)
    world.send(ALICE, room_id)
    states = RoomStates(world.budget, EventCache(world.budget))

    first, again = two_newest(world, states, room_id), two_newest(world, states, room_id)

    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]
