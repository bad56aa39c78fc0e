"""The event closest to a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.federation.timestamps import EVENTS_PER_READ, MOST_READS
from tests.services.federation.others import FAR, FAY, NEAR, NED, join_remotely, remote_event, take
from tests.services.federation.serving import Serving
from tests.services.world import ALICE, now


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def closest(serving: Serving, room_id: RoomID, timestamp_ms: int, *, backwards: bool = False) -> EventID:
    event_id, _ = now(serving.timestamps.closest(FAR, room_id, timestamp_ms, backwards=backwards))
    return event_id


def speak(serving: Serving, room_id: RoomID, count: int) -> list[tuple[EventID, int]]:
    """Messages, a second apart, and when they were sent."""
    sent = []
    for number in range(count):
        serving.world.clock.advance(1)
        sent.append((serving.world.send(ALICE, room_id, str(number)), serving.world.clock.now_ms()))
    return sent


def test_the_closest_event_on_either_side_is_found(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    (first, first_ms), (second, second_ms), (third, third_ms) = speak(serving, room_id, 3)

    assert closest(serving, room_id, second_ms) == second
    assert closest(serving, room_id, second_ms, backwards=True) == second
    assert closest(serving, room_id, first_ms + 1) == second
    assert closest(serving, room_id, second_ms - 1, backwards=True) == first
    assert closest(serving, room_id, third_ms + 1, backwards=True) == third
    with pytest.raises(NotFound):
        closest(serving, room_id, third_ms + 1)
    with pytest.raises(NotFound):
        closest(serving, room_id, 0, backwards=True)


def test_what_a_server_may_not_see_is_passed_over_however_much_it_is(serving: Serving) -> None:
    room_id = serving.room("joined")
    hidden = speak(serving, room_id, EVENTS_PER_READ + 1)
    serving.world.clock.advance(1)
    joined = join_remotely(serving.world, FAY, room_id)

    assert closest(serving, room_id, hidden[0][1]) == joined


def test_there_is_an_end_to_passing_over(serving: Serving) -> None:
    room_id = serving.room("joined")
    hidden = speak(serving, room_id, EVENTS_PER_READ * MOST_READS + 1)
    serving.world.clock.advance(1)
    join_remotely(serving.world, FAY, room_id)

    with pytest.raises(NotFound):
        closest(serving, room_id, hidden[0][1])


def test_a_room_without_the_server_is_refused_like_one_that_is_not_there(serving: Serving) -> None:
    room_id = serving.room("world_readable")

    refusals = []
    for asked in (room_id, RoomID("!nowhere:example.org")):
        with pytest.raises(Forbidden) as refused:
            closest(serving, asked, 0)
        refusals.append(refused.value.reason)

    assert refusals[0] == refusals[1]


def test_neither_what_was_refused_nor_the_times_of_a_room_that_shuts_the_server_out_are_told(serving: Serving) -> None:
    world, room_id = serving.world, serving.room()
    join_remotely(world, FAY, room_id)
    world.clock.advance(1)
    refused = remote_event(world, FAY, room_id, "m.room.power_levels", {"users": {FAY: 100}}, "")
    with pytest.raises(AssertionError):
        take(world, refused)  # it is kept, at a time of its own
    [(said, said_ms)] = speak(serving, room_id, 1)

    assert closest(serving, room_id, refused.event.origin_server_ts) == said
    serving.shut_out(room_id, FAR)
    with pytest.raises(Forbidden):
        closest(serving, room_id, said_ms)


def test_the_time_of_what_an_erased_user_said_is_not_told_to_newcomers(serving: Serving) -> None:
    world, user_id = serving.world, serving.named("dora", "Dora")
    room_id = serving.room()
    join_remotely(world, NED, room_id)
    world.join(user_id, room_id)
    world.clock.advance(1)
    said_ms = world.clock.now_ms()
    said = world.send(user_id, room_id)
    world.clock.advance(1)
    now(world.deactivation.deactivate(user_id, erase=True))
    join_remotely(world, FAY, room_id)

    assert closest(serving, room_id, said_ms) != said
    assert now(serving.timestamps.closest(NEAR, room_id, said_ms, backwards=False)) == (said, said_ms)
