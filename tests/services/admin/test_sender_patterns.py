"""Redacting what users said, by patterns and times."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.sender_patterns import Said, SenderPatterns
from homeserver.services.admin.user_patterns import StepBounds, Users, users_by_pattern
from homeserver.services.errors import InvalidParameter, NotFound
from tests.services.world import ALICE, BOB, World, now

BOBS = users_by_pattern("@b*:example.org")
SECOND_MS = 1_000


@pytest.fixture
def patterns(world: World) -> SenderPatterns:
    return SenderPatterns(world.database, RoomModeration(world.event_creation))


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


def redact_all(patterns: SenderPatterns, said: Said) -> list[str]:
    done: list[str] = []
    begin = None
    while True:
        step = now(patterns.redact(said, "spam", begin))
        assert step.failed == []
        done += [one.event_id for one in step.done]
        if (begin := step.next) is None:
            return done


@pytest.mark.parametrize(("most", "rows"), [(200, 2_000), (1, 2), (2, 1)])
def test_all_that_a_pattern_said_is_redacted_in_steps_of_any_length(world: World, most: int, rows: int) -> None:
    moderation = RoomModeration(world.event_creation)
    patterns = SenderPatterns(world.database, moderation, StepBounds(most, rows))
    room_id = talk(world)
    said = Said(room_id, BOBS, None, None)

    done = redact_all(patterns, said)

    assert len(set(done)) == len(done) == 3
    assert bodies(world, room_id) == [None, "a0", None, "a1", None, "a2"]
    assert redact_all(patterns, said) == []


def test_only_what_was_said_in_the_time_is_redacted(world: World, patterns: SenderPatterns) -> None:
    room_id = talk(world)
    middle_ms = world.clock.now_ms() - SECOND_MS
    said = Said(room_id, Users(BOB), middle_ms, middle_ms)

    looked_at = now(patterns.find(said, None))
    done = redact_all(patterns, said)

    assert [one.event_id for one in looked_at.found] == done
    assert [(one.sender, one.type, one.origin_server_ts) for one in looked_at.found] == [
        (BOB, "m.room.message", middle_ms)
    ]
    assert bodies(world, room_id) == ["b0", "a0", None, "a1", "b2", "a2"]


def test_state_stays(world: World, patterns: SenderPatterns) -> None:
    room_id = talk(world)

    redact_all(patterns, Said(room_id, users_by_pattern("@alice:*"), None, None))

    create: Any = world.history(ALICE, room_id)[-1]  # Any: JSON
    assert create["content"] != {}
    assert bodies(world, room_id) == ["b0", None, "b1", None, "b2", None]


def test_it_is_told_what_nobody_here_may_redact(world: World, patterns: SenderPatterns) -> None:
    room_id, empty = talk(world), talk(world)
    now(world.membership.leave(BOB, room_id, None))
    for user_id in (ALICE, BOB):
        now(world.membership.leave(user_id, empty, None))
    levels = {"users": {ALICE: 40}, "redact": 50}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))

    step = now(patterns.redact(Said(room_id, BOBS, None, None), None, None))

    nobody = now(patterns.redact(Said(empty, BOBS, None, None), None, None))

    assert (step.done, len(step.failed), step.next) == ([], 3, None)
    assert (nobody.done, len(nobody.failed)) == ([], 3)
    assert bodies(world, room_id) == ["b0", "a0", "b1", "a1", "b2", "a2"]


def test_what_makes_no_sense_is_refused(world: World, patterns: SenderPatterns) -> None:
    room_id = talk(world)
    said = Said(room_id, BOBS, None, None)

    for token in ("", "1", "1_", "_1", "9" * 30 + "_1", "a_b"):
        with pytest.raises(InvalidParameter):
            now(patterns.find(said, token))
    with pytest.raises(InvalidParameter):
        now(patterns.redact(said, "x" * 5_000, None))
    with pytest.raises(NotFound):
        now(patterns.find(Said(RoomID("!none:example.org"), BOBS, None, None), None))
