"""Who is in a room is held against its current state, and against how it came to be so."""

import pytest

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.admin.room_audit import RoomAudit
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Outcome
from homeserver.services.events.receipt import Received
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from homeserver.storage.memberships import find_membership, sweep_changes
from homeserver.storage.rooms import SYNC_HORIZON_MS, sweep_roots
from tests.forked_rooms import ALICE as REMOTE_ALICE
from tests.forked_rooms import BOB as REMOTE_BOB
from tests.scenes import Scene
from tests.services.admin.damageable_room import KeysOfAll
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

OTHER = ServerName("one.example")


def told(world: World, room_id: RoomID) -> str:
    """What an audit finds."""
    audit = RoomAudit(room_id, KeysOfAll(), SERVER)
    while world.sync_database.read(audit.go_on):
        pass
    return str(audit.fault)


def moved_room(world: World) -> RoomID:
    """A room in which members came and went."""
    room_id = world.create_room(preset="public_chat")
    for user in (BOB, CAROL):
        world.join(user, room_id)
    world.send(ALICE, room_id)
    now(world.membership.leave(BOB, room_id, None))
    now(world.membership.ban(ALICE, room_id, CAROL, None))
    world.send(ALICE, room_id)
    return room_id


DAMAGES: dict[str, tuple[str, str]] = {
    "a change by what is no member event": (
        "which is no member event of theirs that is here",
        "UPDATE membership_changes SET event_id = (SELECT event_id FROM events WHERE type = 'm.room.create')"
        " WHERE membership = 'join' AND user_id LIKE '@bob%'",
    ),
    "a change at a position where nothing changed": (
        "it changed at position",
        "UPDATE membership_changes SET log_position ="
        " (SELECT MIN(log_position) FROM events WHERE type = 'm.room.message')"
        " WHERE membership = 'join' AND user_id LIKE '@bob%'",
    ),
    "a change from what was not": (
        "it went from invite at position",
        "UPDATE membership_changes SET before = 'invite' WHERE membership = 'leave'",
    ),
    "a first change that is none": (
        "it went from leave at position",
        "UPDATE membership_changes SET before = 'leave' WHERE membership = 'join' AND user_id LIKE '@bob%'",
    ),
    "all changes lost": (
        "it came to be so, and that is not noted",
        "DELETE FROM membership_changes WHERE user_id LIKE '@bob%'",
    ),
    "another avatar": (
        "its row has avatar_url 'mxc://x/y', and ought to have None",
        "UPDATE memberships SET avatar_url = 'mxc://x/y' WHERE user_id LIKE '@bob%'",
    ),
    "another place": (
        "its row has place",
        "UPDATE memberships SET place = place + 1 WHERE user_id LIKE '@bob%'",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_damaged_is_named(world: World, name: str) -> None:
    expected, sql = DAMAGES[name]
    room_id = moved_room(world)
    assert told(world, room_id) == "None"

    assert world.sync_database.write(run, sql)

    assert expected in told(world, room_id)


def test_changes_that_no_sync_asks_for_any_more_may_be_forgotten(world: World) -> None:
    room_id = moved_room(world)
    world.clock.advance(SYNC_HORIZON_MS / 1000 + 1)
    world.join(BOB, room_id)
    now_ms = world.clock.now_ms()

    assert world.sync_database.write(sweep_changes, now_ms, 3) == 3
    assert world.sync_database.write(sweep_roots, now_ms, 100)

    assert told(world, room_id) == "None"


@pytest.mark.parametrize("version", ["1", "12"])
def test_a_member_whose_event_found_its_place_later_is_sound(world: World, version: str) -> None:
    scene = Scene(ROOM_VERSIONS[version])
    room_id = scene.create.room_id
    before = scene.say(REMOTE_ALICE, after=[scene.last])
    join = scene.member(REMOTE_BOB, "join", after=[before])
    known = [scene.create, scene.joined, scene.levels, scene.join_rules]
    now(world.intake.take_outliers(room_id, scene.version, [received(event) for event in known]))
    at_gap(world, scene, join)
    assert told(world, room_id) == "None"

    for event in (before, *reversed(known[1:])):
        at_gap(world, scene, event)

    row = world.sync_database.read(find_membership, room_id, REMOTE_ALICE)
    assert row is not None
    assert (row.place, row.event_id) == (0, scene.joined.event_id)
    assert told(world, room_id) == "None"


def at_gap(world: World, scene: Scene, event: Event) -> None:
    """Take an event in the state before it, as another server gives it."""
    state = scene.history.before[event.event_id]
    taking = world.intake.take_at_gap(
        event.room_id, scene.version, received(event), GivenState(tuple(state.values()), OTHER)
    )
    assert now(taking)[event.event_id] is Outcome.ACCEPTED


def received(event: Event) -> Received:
    return Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)


def run(tx: Transaction, sql: str) -> int:
    """Damage the database; how many rows were hit."""
    return tx.run(sql)
