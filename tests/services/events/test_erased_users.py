"""What users said who wanted to be erased: who was there still sees it, and who comes later does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.rooms.creation import InitialState
from tests.databases import fresh_sqlite
from tests.services.accounts.people import register
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON.

OPEN = InitialState("m.room.history_visibility", "", {"history_visibility": "world_readable"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(fresh_sqlite(tmp_path / "homeserver.db"))
    yield made
    made.close()


def room_of_the_erased(world: World) -> tuple[RoomID, EventID]:
    """Carol's room, in which Alice said something while Bob was there before she had her account erased."""
    register(world, "alice")
    room_id = world.create_room(CAROL, preset="public_chat", initial_state=[OPEN])
    world.join(ALICE, room_id)
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id, "secret")
    world.send(CAROL, room_id, "public")
    now(world.deactivation.deactivate(ALICE, erase=True))
    return room_id, event_id


def bodies(world: World, user_id: UserID, room_id: RoomID) -> list[str | None]:
    """What the user reads of the room's messages, newest first."""
    events = world.history(user_id, room_id)
    return [event["content"].get("body") for event in events if event["type"] == "m.room.message"]


def read_event(world: World, user_id: UserID, room_id: RoomID, event_id: EventID) -> dict[str, Any]:
    return shown(now(world.timeline.event(world.viewer(user_id), room_id, event_id)))


def test_whoever_was_there_reads_what_they_know(world: World) -> None:
    room_id, event_id = room_of_the_erased(world)

    assert bodies(world, BOB, room_id) == ["public", "secret"]
    assert read_event(world, BOB, room_id, event_id)["content"]["body"] == "secret"
    now(world.membership.leave(BOB, room_id, None))
    assert bodies(world, BOB, room_id) == ["public", "secret"]
    world.join(BOB, room_id)
    assert bodies(world, BOB, room_id) == ["public", "secret"]


@pytest.mark.parametrize("joins", [True, False])
def test_whoever_was_not_there_reads_that_something_was_said(world: World, joins: bool) -> None:
    room_id, event_id = room_of_the_erased(world)
    late = UserID("@late:example.org")

    if joins:
        world.join(late, room_id)

    assert bodies(world, late, room_id) == ["public", None]
    event = read_event(world, late, room_id, event_id)
    assert (event["sender"], event["content"]) == (ALICE, {})
    viewer = world.viewer(late)
    context = now(world.timeline.context(viewer, room_id, event_id, 4, RoomEventFilter()))
    assert shown(context.event)["content"] == {}
    assert bodies(world, BOB, room_id) == ["public", "secret"]


def test_a_first_sync_of_a_newcomer_shows_the_same(world: World) -> None:
    room_id, event_id = room_of_the_erased(world)
    late = UserID("@late:example.org")
    world.join(late, room_id)

    wish = {"room": {"timeline": {"limit": 100}}}
    timelines = {}
    for user_id in (BOB, late):
        events = sync(world, user_id, None, wish)["rooms"]["join"][room_id]["timeline"]["events"]
        timelines[user_id] = {event["event_id"]: event["content"] for event in events}

    assert timelines[BOB][event_id] == {"msgtype": "m.text", "body": "secret"}
    assert timelines[late][event_id] == {}


def test_a_newcomer_is_not_told_the_erased_users_name_by_old_memberships(world: World) -> None:
    register(world, "alice")
    room_id = world.create_room(CAROL, preset="public_chat", initial_state=[OPEN])
    content = {"membership": "join", "displayname": "Alice in Wonderland"}
    world.join(ALICE, room_id)
    named = now(world.sending.set_state(ALICE, room_id, "m.room.member", ALICE, content))
    said = world.send(ALICE, room_id, "secret")
    now(world.deactivation.deactivate(ALICE, erase=True))
    late = UserID("@late:example.org")
    world.join(late, room_id)
    lazily = RoomEventFilter(lazy_load_members=True)

    context = now(world.timeline.context(world.viewer(late), room_id, said, 0, lazily))
    everything = [
        *world.history(late, room_id),
        *map(shown, context.state),
        *map(shown, now(world.timeline.state(world.viewer(late), room_id))),
    ]

    assert read_event(world, late, room_id, named)["content"] == {"membership": "join"}
    assert "Wonderland" not in str(everything)
    assert "Wonderland" in str(world.history(CAROL, room_id))


def test_state_that_still_holds_stays_what_it_is_though_an_erased_user_set_it(world: World) -> None:
    register(world, "alice")
    room_id = world.create_room(ALICE, preset="public_chat", name="Old name")
    world.join(CAROL, room_id)
    renamed = now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "Tea party"}))
    now(world.deactivation.deactivate(ALICE, erase=True))
    world.join(BOB, room_id)

    names = {event["event_id"]: event for event in world.history(BOB, room_id) if event["type"] == "m.room.name"}

    assert names[renamed]["content"] == {"name": "Tea party"}
    assert "prev_content" not in names[renamed]["unsigned"]
    assert [event["content"] for event_id, event in names.items() if event_id != renamed] == [{}]


def test_the_reason_of_an_erased_users_redaction_is_not_shown_beside_what_it_redacted(world: World) -> None:
    register(world, "alice")
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(CAROL, room_id)
    target = world.send(CAROL, room_id, "oops")
    now(world.sending.redact(ALICE, room_id, target, {"reason": "a secret reason"}, None))
    now(world.deactivation.deactivate(ALICE, erase=True))
    world.join(BOB, room_id)

    redacted = read_event(world, BOB, room_id, target)

    assert redacted["unsigned"]["redacted_because"]["sender"] == ALICE
    assert "secret" not in str(world.history(BOB, room_id))


def test_who_merely_closes_an_account_is_quoted_as_before(world: World) -> None:
    register(world, "alice")
    room_id = world.create_room(CAROL, preset="public_chat", initial_state=[OPEN])
    world.join(ALICE, room_id)
    world.send(ALICE, room_id, "known")

    now(world.deactivation.deactivate(ALICE, erase=False))
    world.join(BOB, room_id)

    assert bodies(world, BOB, room_id) == ["known"]


def test_after_a_restart_the_erased_are_still_erased(world: World) -> None:
    room_of_the_erased(world)

    erased = ErasedUsers()
    now(erased.load(world.database))

    assert ALICE in erased
    assert BOB not in erased
    assert erased
