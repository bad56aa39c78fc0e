"""What has expired is shown no more, from that moment on."""

from typing import Any

import pytest

from homeserver.core.retention import RetentionPolicy
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.storage.room_lifetimes import all_lifetimes
from tests.services.world import ALICE, BOB, World, now

DAY_S = 86_400
DAY_MS = DAY_S * 1000


@pytest.fixture
def keeping(world: World) -> World:
    """A server that lets things expire, where a room says so."""
    world.lifetimes.policy = RetentionPolicy(is_enabled=True)
    return world


def says(world: World, room_id: Any, lifetime_ms: int | None) -> None:
    content = {} if lifetime_ms is None else {"max_lifetime": lifetime_ms}
    now(world.sending.set_state(ALICE, room_id, "m.room.retention", "", content))


def bodies(world: World, room_id: Any) -> list[Any]:
    return [each["content"].get("body") for each in world.history(BOB, room_id) if each["type"] == "m.room.message"]


def test_what_is_older_than_the_room_says_is_shown_without_its_content(keeping: World) -> None:
    room_id = keeping.create_room(ALICE, preset="public_chat", name="Room")
    keeping.join(BOB, room_id)
    says(keeping, room_id, DAY_MS)
    keeping.send(ALICE, room_id, "old")
    keeping.clock.advance(DAY_S / 2)
    keeping.send(ALICE, room_id, "new")
    before = bodies(keeping, room_id)

    keeping.clock.advance(DAY_S / 2 + 1)

    assert before == ["new", "old"]
    assert bodies(keeping, room_id) == ["new", None]
    viewer = keeping.viewer(BOB)
    name = now(keeping.timeline.state_event(viewer, room_id, "m.room.name", "", whole_event=False))
    assert name == {"name": "Room"}


def test_rooms_that_say_nothing_any_more_show_what_they_still_have(keeping: World) -> None:
    room_id = keeping.create_room(ALICE, preset="public_chat")
    keeping.join(BOB, room_id)
    keeping.send(ALICE, room_id, "old")
    says(keeping, room_id, 1_000)
    keeping.clock.advance(10)
    hidden = bodies(keeping, room_id)

    says(keeping, room_id, None)

    assert hidden == [None]
    assert bodies(keeping, room_id) == ["old"]


def test_a_room_whose_word_is_redacted_says_nothing_any_more(keeping: World) -> None:
    room_id = keeping.create_room(ALICE, preset="public_chat")
    keeping.join(BOB, room_id)
    keeping.send(ALICE, room_id, "old")
    says(keeping, room_id, 2_000)
    last = now(keeping.sending.set_state(ALICE, room_id, "m.room.retention", "", {"max_lifetime": 1_000}))
    keeping.clock.advance(10)
    hidden = bodies(keeping, room_id)

    now(keeping.sending.redact(ALICE, room_id, last, {}, None))

    assert hidden == [None]
    assert bodies(keeping, room_id) == ["old"]
    assert keeping.lifetimes.said_by(room_id) is None
    assert keeping.sync_database.read(all_lifetimes) == {}


def test_what_a_room_says_holds_when_what_it_said_before_is_redacted(keeping: World) -> None:
    room_id = keeping.create_room(ALICE, initial_state=())
    first = now(keeping.sending.set_state(ALICE, room_id, "m.room.retention", "", {"max_lifetime": 1_000}))
    says(keeping, room_id, 2_000)

    now(keeping.sending.redact(ALICE, room_id, first, {}, None))

    assert keeping.lifetimes.said_by(room_id) == 2_000


def test_what_rooms_say_is_known_after_a_restart(keeping: World) -> None:
    room_id = keeping.create_room(ALICE, initial_state=())
    says(keeping, room_id, 1_000)

    lifetimes = Lifetimes(RetentionPolicy(is_enabled=True))
    now(lifetimes.load(keeping.database))

    assert lifetimes.of(room_id) == 1_000
    lifetimes.forget_room(room_id)
    assert lifetimes.of(room_id) is None


def test_a_server_without_a_policy_shows_everything(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    says(world, room_id, 1_000)
    world.send(ALICE, room_id, "old")

    world.clock.advance(100 * DAY_S)

    assert bodies(world, room_id) == ["old"]
