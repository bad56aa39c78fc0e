"""The event that is closest to a time: what the reader may see, and what others have of it."""

import pytest

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events import intake
from homeserver.services.events.given_states import GivenState
from homeserver.services.federation import backfill
from homeserver.services.rooms.event_times import EventTimes
from tests.forked_rooms import ALICE, ONE, TWO
from tests.poured_rooms import received
from tests.services.federation.filling import Filling
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import BOB as OUR_BOB
from tests.services.world import World, now

NOW_S = 1_800_000_000  # after all that was said


class Asking(Filling):
    """A room with a past, of which some is asked for by its time."""

    @property
    def times(self) -> EventTimes:
        world = self.world
        return EventTimes(world.database, world.readers, world.states, self.backfill, world.clock)

    def closest(self, at_ms: int, *, backwards: bool) -> EventID:
        """What our Alice is told."""
        event_id, when_ms = now(self.times.closest(OUR_ALICE, self.room_id, at_ms, backwards=backwards))
        assert when_ms == self.scene.history.events[event_id].origin_server_ts
        return event_id


@pytest.fixture
def asking(world: World, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Our Alice has just come into the room; history comes in small parts."""
    monkeypatch.setattr(intake, "MOST_OF_HISTORY", 10)
    monkeypatch.setattr(backfill, "MOST_OF_HISTORY", 10)
    world.clock.advance(NOW_S)
    asking = Asking(world)
    asking.chain(25)
    asking.join()
    asking.start()
    return asking


def in_the_past(asking: Asking) -> list[Event]:
    return list(asking.scene.history.events.values())


def test_history_is_brought_back_to_the_time_and_no_further(asking: Asking) -> None:
    wanted = in_the_past(asking)[-15]
    at_ms = wanted.origin_server_ts

    assert asking.closest(at_ms, backwards=True) == wanted.event_id
    assert asking.source.operations["backfill"] == 2

    assert asking.closest(at_ms, backwards=False) == wanted.event_id
    assert asking.closest(at_ms + 1, backwards=True) == wanted.event_id
    assert asking.closest(at_ms - 1, backwards=False) == wanted.event_id
    assert asking.closest(at_ms - 1, backwards=True) == in_the_past(asking)[-16].event_id
    assert asking.source.operations["backfill"] == 2


def test_the_time_of_an_outage_is_brought_and_nothing_else(asking: Asking) -> None:
    asking.page(limit=12)
    scene = asking.scene
    missed: list[Event] = []
    for number in range(12):
        content, time = {"body": f"missed {number}"}, NOW_S + number
        scene.last = scene.send(ALICE, "m.room.message", content, None, after=[scene.last], time=time)
        missed.append(scene.last)
    later = scene.send(ALICE, "m.room.message", {"body": "back"}, None, after=[scene.last], time=NOW_S + 100)
    given = GivenState(list(scene.history.before[later.event_id].values()), ONE)
    now(asking.world.intake.take_at_gap(asking.room_id, scene.version, received(later), given))
    asked = asking.source.operations["backfill"]
    known = next(event for event in in_the_past(asking) if asking.has_place(event))

    assert asking.closest(known.origin_server_ts, backwards=True) == known.event_id
    assert asking.source.operations["backfill"] == asked
    assert asking.closest(missed[3].origin_server_ts, backwards=True) == missed[3].event_id
    assert asking.source.operations["backfill"] == asked + 1


def test_before_the_beginning_there_is_nothing(asking: Asking) -> None:
    assert asking.closest(0, backwards=False) == asking.scene.create.event_id

    with pytest.raises(NotFound):
        asking.closest(0, backwards=True)
    with pytest.raises(NotFound):
        asking.closest(2**70, backwards=False)


def test_where_nobody_has_more_what_is_here_is_told(asking: Asking) -> None:
    for server in (ONE, TWO):
        asking.holder(server).is_away = True

    assert asking.closest(1, backwards=False) == asking.scene.last.event_id
    with pytest.raises(NotFound):
        asking.closest(1, backwards=True)


def test_what_the_reader_may_not_see_is_passed_over(world: World) -> None:
    world.clock.advance(NOW_S)
    asking = Asking(world)
    hidden = asking.scene.last = asking.scene.send(
        ALICE, "m.room.history_visibility", {"history_visibility": "joined"}, after=[asking.scene.last]
    )
    secrets = asking.chain(30)
    join = asking.join()
    asking.start()
    asking.read()

    assert asking.closest(secrets[0].origin_server_ts, backwards=False) == join.event_id
    assert asking.closest(secrets[-1].origin_server_ts, backwards=True) == hidden.event_id


def test_who_is_not_in_the_room_is_told_nothing(asking: Asking) -> None:
    with pytest.raises(Forbidden):
        now(asking.times.closest(OUR_BOB, asking.room_id, 1, backwards=False))
    assert asking.source.asked == []
