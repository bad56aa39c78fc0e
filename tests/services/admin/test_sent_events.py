"""Finding and redacting what users said in a room."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.sent_events import Said, SentEvents
from homeserver.services.admin.user_patterns import StepBounds, Users, users_by_pattern
from homeserver.services.errors import InvalidParameter, NotFound
from tests.services.world import ALICE, BOB, World, now

BOBS = users_by_pattern("@b*:example.org")
SECOND_MS = 1_000


@pytest.fixture
def sent(world: World) -> SentEvents:
    return SentEvents(world.database, RoomModeration(world.event_creation))


def bodies(world: World, room_id: RoomID) -> list[str | None]:
    events: Any = world.history(ALICE, room_id)  # Any: JSON
    return [one["content"].get("body") for one in reversed(events) if one["type"] == "m.room.message"]


def talk(world: World) -> RoomID:
    """A room in which each of Bob and Alice says three things, a second apart."""
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    world.join(BOB, room_id)
    for number in range(3):
        world.clock.advance(1)
        for user_id in (BOB, ALICE):
            world.send(user_id, room_id, f"{user_id[1]}{number}")
    return room_id


def redact_all(sent: SentEvents, said: Said) -> list[str]:
    done: list[str] = []
    begin = None
    while True:
        step = now(sent.redact(said, "spam", begin))
        assert step.failed == []
        done += [one.event_id for one in step.done]
        if (begin := step.next) is None:
            return done


@pytest.mark.parametrize(("most", "rows"), [(200, 2_000), (1, 2), (2, 1)])
def test_all_that_a_pattern_said_is_redacted_in_steps_of_any_length(world: World, most: int, rows: int) -> None:
    moderation = RoomModeration(world.event_creation)
    sent = SentEvents(world.database, moderation, StepBounds(most, rows))
    room_id = talk(world)
    said = Said(room_id, BOBS)

    done = redact_all(sent, said)

    assert len(set(done)) == len(done) == 3
    assert bodies(world, room_id) == [None, "a0", None, "a1", None, "a2"]
    assert redact_all(sent, said) == []


def test_only_what_was_said_in_the_time_is_redacted(world: World, sent: SentEvents) -> None:
    room_id = talk(world)
    middle_ms = world.clock.now_ms() - SECOND_MS
    said = Said(room_id, Users(BOB), middle_ms, middle_ms)

    looked_at = now(sent.find(said, None))
    done = redact_all(sent, said)

    assert [one.event_id for one in looked_at.found] == done
    assert [(one.sender, one.type, one.origin_server_ts) for one in looked_at.found] == [
        (BOB, "m.room.message", middle_ms)
    ]
    assert bodies(world, room_id) == ["b0", "a0", None, "a1", "b2", "a2"]


def test_state_stays(world: World, sent: SentEvents) -> None:
    room_id = talk(world)

    redact_all(sent, Said(room_id, users_by_pattern("@alice:*")))

    create: Any = world.history(ALICE, room_id)[-1]  # Any: JSON
    assert create["content"] != {}
    assert bodies(world, room_id) == ["b0", None, "b1", None, "b2", None]


def test_state_that_says_something_goes_if_that_is_wanted(world: World, sent: SentEvents) -> None:
    room_id = talk(world)
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "hats"}))

    redact_all(sent, Said(room_id, Users(ALICE), with_state=True))

    state: Any = {one["type"]: one["content"] for one in world.history(ALICE, room_id) if one["sender"] == ALICE}
    assert state["m.room.topic"] == {}
    assert state["m.room.member"] == {"membership": "join"}
    assert state["m.room.power_levels"] != {}


def test_the_newest_are_found_first_and_no_more_than_is_wanted(world: World, sent: SentEvents) -> None:
    room_id = talk(world)

    first = now(sent.find(Said(room_id, Users(BOB)), None, most=2))
    rest = now(sent.find(Said(room_id, Users(BOB)), first.next))

    times = [one.origin_server_ts for one in (*first.found, *rest.found)]
    assert (len(first.found), len(rest.found), rest.next) == (2, 1, None)
    assert times == sorted(times, reverse=True)


def test_it_is_told_what_nobody_here_may_redact(world: World, sent: SentEvents) -> None:
    room_id, empty = talk(world), talk(world)
    now(world.membership.leave(BOB, room_id, None))
    for user_id in (ALICE, BOB):
        now(world.membership.leave(user_id, empty, None))
    levels = {"users": {ALICE: 40}, "redact": 50}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))

    step = now(sent.redact(Said(room_id, BOBS), None, None))

    nobody = now(sent.redact(Said(empty, BOBS), None, None))

    assert (step.done, len(step.failed), step.next) == ([], 3, None)
    assert (nobody.done, len(nobody.failed)) == ([], 3)
    assert bodies(world, room_id) == ["b0", "a0", "b1", "a1", "b2", "a2"]


def test_what_makes_no_sense_is_refused(world: World, sent: SentEvents) -> None:
    room_id = talk(world)
    said = Said(room_id, BOBS)

    for token in ("", "1", "1_", "_1", "9" * 30 + "_1", "9" * 19 + "_1", "1_" + "9" * 19, "a_b"):
        with pytest.raises(InvalidParameter):
            now(sent.find(said, token))
    with pytest.raises(InvalidParameter):
        now(sent.redact(said, "x" * 5_000, None))
    with pytest.raises(NotFound):
        now(sent.find(Said(RoomID("!none:example.org"), BOBS), None))
