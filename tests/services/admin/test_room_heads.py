"""A room's heads made one: nothing of the room is lost by it, here or elsewhere."""

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.admin.room_heads import RoomHeads
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events.joining_heads import DUMMY_EVENT, MOST_HEADS
from homeserver.storage.events import find_event
from homeserver.storage.outgoing_events import outgoing_events
from homeserver.storage.rooms import RoomHead, find_head
from tests.services.federation.others import FAY, join_remotely, remote_event, take
from tests.services.world import ALICE, SERVER, World, now


@pytest.fixture
def heads(world: World) -> RoomHeads:
    return RoomHeads(world.event_creation)


@pytest.fixture
def forked(world: World) -> RoomID:
    """A room of Alice and Fay with three heads, of which two are state that Fay's server set side by side."""
    room_id = world.create_room(ALICE, preset="public_chat", alias_localpart="forked")
    join_remotely(world, FAY, room_id)
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", {"users": {FAY: 50}}))
    beside = [
        remote_event(world, FAY, room_id, "m.room.name", {"name": "Fork"}, ""),
        remote_event(world, FAY, room_id, "m.room.topic", {"topic": "Ends"}, ""),
        remote_event(world, FAY, room_id, "m.room.message", {"body": "beside"}),
    ]
    for encoded in beside:
        take(world, encoded)
    return room_id


def head_of(world: World, room_id: RoomID) -> RoomHead:
    found = world.sync_database.read(find_head, room_id)
    assert found is not None
    return found


def prev_event_ids(world: World, event_id: EventID) -> set[EventID]:
    stored = world.sync_database.read(find_event, event_id)
    assert stored is not None
    return set(stored.event.prev_event_ids)


def test_all_heads_are_built_on_by_one_event_and_the_state_stays(
    world: World, heads: RoomHeads, forked: RoomID
) -> None:
    before = head_of(world, forked)

    fewer = now(heads.join(f"#forked:{SERVER}"))

    after = head_of(world, forked)
    (joined,) = after.heads
    assert (len(before.heads), fewer) == (3, 2)
    assert prev_event_ids(world, joined) == set(before.heads)
    assert after.current_root == before.current_root
    for event_type, content in (("m.room.name", {"name": "Fork"}), ("m.room.topic", {"topic": "Ends"})):
        found = now(world.timeline.state_event(world.viewer(ALICE), forked, event_type, "", whole_event=False))
        assert found == content


def test_the_event_that_joins_them_goes_to_the_other_servers_and_notifies_nobody(
    world: World, heads: RoomHeads, forked: RoomID
) -> None:
    now(heads.join(forked))

    (joined,) = head_of(world, forked).heads
    newest = world.sync_database.read(outgoing_events, after=0, upto=2**62, limit=100)[-1]
    stored = world.sync_database.read(find_event, joined)
    assert stored is not None
    assert newest.event_id == joined
    assert (stored.event.type, stored.event.sender, stored.event.content) == (DUMMY_EVENT, ALICE, {})


def test_a_room_with_one_head_is_left_alone(world: World, heads: RoomHeads, forked: RoomID) -> None:
    now(heads.join(forked))
    before = head_of(world, forked)

    assert now(heads.join(forked)) == 0

    assert head_of(world, forked) == before


def test_where_nobody_of_this_server_is_nothing_can_be_done(world: World, heads: RoomHeads, forked: RoomID) -> None:
    now(world.membership.leave(ALICE, forked, None))
    take(world, remote_event(world, FAY, forked, "m.room.message", {"body": "on"}))
    one, other = (remote_event(world, FAY, forked, "m.room.message", {"body": body}) for body in "ab")
    for encoded in (one, other):
        take(world, encoded)
    before = head_of(world, forked)

    with pytest.raises(Forbidden):
        now(heads.join(forked))

    assert len(before.heads) == 2
    assert head_of(world, forked) == before


def test_of_a_room_that_is_not_known_there_are_no_heads(heads: RoomHeads) -> None:
    for room in ("!none:example.org", f"#none:{SERVER}"):
        with pytest.raises(NotFound):
            now(heads.join(room))


def test_a_room_that_has_as_many_heads_as_the_server_leaves_it_is_made_to_have_one(
    world: World, heads: RoomHeads
) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    join_remotely(world, FAY, room_id)
    beside = [
        remote_event(world, FAY, room_id, "m.room.message", {"body": str(number)}) for number in range(MOST_HEADS)
    ]
    for encoded in beside:
        take(world, encoded)

    assert now(heads.join(room_id)) == MOST_HEADS - 1
