"""The audit finds nothing in a sound database, and names what is wrong in one that was tampered with."""

from collections.abc import Callable

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.database import Transaction
from tests.durability.audit import audit
from tests.services.world import ALICE, BOB, CAROL, World, now

Tampering = Callable[[Transaction, RoomID], object]


def lively_room(world: World) -> RoomID:
    """A room in which nearly everything happened that leaves a trace."""
    state = [InitialState("org.example.count", str(number), {"n": number}) for number in range(40)]
    room_id = world.create_room(preset="public_chat", name="Lively", initial_state=state)
    for user in (BOB, CAROL):
        world.join(user, room_id)
    first = world.send(ALICE, room_id, "first", "txn1")
    world.send(BOB, room_id, "second, for alice", "txn1")
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "+"}}
    now(world.sending.send_message(CAROL, room_id, "m.reaction", reaction, None))
    now(world.sending.redact(ALICE, room_id, first, {}, None))
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "news"}))
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "older news"}))
    rude = {"membership": "join", "displayname": "a rude name"}
    member_event = now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, rude))
    now(world.sending.redact(ALICE, room_id, member_event, {}, None))
    now(world.membership.leave(BOB, room_id, None))
    now(world.membership.invite(ALICE, room_id, BOB, None))
    now(world.membership.ban(ALICE, room_id, CAROL, "for the test"))
    return room_id


@pytest.mark.parametrize("version", ["1", "6", "12"])
def test_a_sound_database_has_no_faults(world: World, version: str) -> None:
    lively_room(world)
    world.create_room(BOB, room_version=version)

    faults = world.sync_database.read(audit)

    assert faults == []


TAMPERINGS: dict[str, tuple[str, Tampering]] = {
    "a message that is gone": (
        "its head",
        lambda tx, room: tx.run("DELETE FROM events WHERE place = (SELECT MAX(place) FROM events)"),
    ),
    "a position beyond the end": (
        "and the log ends at",
        lambda tx, room: tx.run("UPDATE log_position SET value = value - 1"),
    ),
    "a position twice": (
        "2 events have position",
        lambda tx, room: tx.run("UPDATE events SET log_position = log_position - 1 WHERE type = 'm.reaction'"),
    ),
    "a number beyond the counter": (
        "and the counter stands at",
        lambda tx, room: tx.run("UPDATE counters SET value = 1 WHERE name = 'event_nid'"),
    ),
    "a transaction that led to nothing": (
        "led to",
        lambda tx, room: tx.run("UPDATE client_transactions SET outcome = '$nothing' WHERE user_id = :bob", bob=BOB),
    ),
    "a lost transaction": (
        "led to []",
        lambda tx, room: tx.run("DELETE FROM client_transactions WHERE user_id = :bob", bob=BOB),
    ),
    "a stray notification": (
        "where no event is",
        lambda tx, room: tx.run("UPDATE class_notifications SET place = place + 1"),
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_fault_is_named(world: World, name: str) -> None:
    expected, tamper = TAMPERINGS[name]
    room_id = lively_room(world)

    world.sync_database.write(tamper, room_id)
    faults = world.sync_database.read(audit)

    assert any(expected in fault for fault in faults), faults
