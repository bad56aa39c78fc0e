"""Kicks, bans, unbans and redactions by the server's hand."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.admin.room_moderation import Removal, RoomModeration
from homeserver.services.errors import BadState, Forbidden, InvalidParameter, NotFound
from tests.services.world import ALICE, BOB, World, now

ONE_WHO_MAY_NOT = {"users": {ALICE: 40}, "kick": 50, "ban": 50, "redact": 50, "events": {"m.room.power_levels": 40}}


@pytest.fixture
def moderation(world: World) -> RoomModeration:
    return RoomModeration(world.event_creation)


def member(world: World, room_id: RoomID, user_id: UserID) -> Any:  # Any: JSON
    viewer = world.viewer(ALICE)
    return now(world.timeline.state_event(viewer, room_id, "m.room.member", user_id, whole_event=False))


def room_of(world: World, *members: UserID) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    for user_id in members:
        world.join(user_id, room_id)
    return room_id


def test_a_user_is_kicked_banned_and_unbanned_with_a_reason(world: World, moderation: RoomModeration) -> None:
    room_id = room_of(world, BOB)

    now(moderation.remove(Removal.KICK, room_id, BOB, "spam"))
    kicked = member(world, room_id, BOB)
    now(moderation.remove(Removal.BAN, room_id, BOB, None))
    now(moderation.remove(Removal.BAN, room_id, BOB, None))
    banned = member(world, room_id, BOB)
    now(moderation.remove(Removal.UNBAN, room_id, BOB, None))

    assert kicked == {"membership": "leave", "reason": "spam"}
    assert banned == {"membership": "ban"}
    assert member(world, room_id, BOB) == {"membership": "leave"}


def test_one_of_ours_whom_nobody_may_kick_leaves(world: World, moderation: RoomModeration) -> None:
    room_id = room_of(world, BOB)

    now(moderation.remove(Removal.KICK, room_id, ALICE, None))

    found = now(world.timeline.state_event(world.viewer(BOB), room_id, "m.room.member", ALICE, whole_event=False))
    assert isinstance(found, dict)
    assert found["membership"] == "leave"


def test_an_event_is_redacted_once(world: World, moderation: RoomModeration) -> None:
    room_id = room_of(world, BOB)
    event_id = world.send(BOB, room_id, "spam")

    first = now(moderation.redact(room_id, event_id, "spam"))

    assert now(moderation.redact(room_id, event_id, None)) == first
    shown = {event["event_id"]: event for event in world.history(ALICE, room_id)}
    assert shown[event_id]["content"] == {}
    assert (shown[first]["sender"], shown[first]["content"]["reason"]) == (ALICE, "spam")


def test_where_nobody_may_redact_the_sender_does_if_it_is_one_of_ours(world: World, moderation: RoomModeration) -> None:
    room_id = room_of(world, BOB)
    event_id = world.send(BOB, room_id, "spam")
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", ONE_WHO_MAY_NOT))

    redaction_id = now(moderation.redact(room_id, event_id, None))

    assert {event["event_id"]: event["sender"] for event in world.history(ALICE, room_id)}[redaction_id] == BOB


def test_what_cannot_be_done_is_refused(world: World, moderation: RoomModeration) -> None:
    room_id = room_of(world)
    weak = room_of(world, BOB)
    now(world.sending.set_state(ALICE, weak, "m.room.power_levels", "", ONE_WHO_MAY_NOT))

    for removal in (Removal.KICK, Removal.UNBAN):
        with pytest.raises(BadState):
            now(moderation.remove(removal, room_id, BOB, None))
    with pytest.raises(InvalidParameter):
        now(moderation.remove(Removal.BAN, room_id, BOB, "x" * 5_000))
    with pytest.raises(NotFound):
        now(moderation.remove(Removal.BAN, RoomID("!none:example.org"), BOB, None))
    with pytest.raises(NotFound):
        now(moderation.redact(room_id, EventID("$none"), None))
    with pytest.raises(Forbidden):
        now(moderation.remove(Removal.BAN, weak, BOB, None))
