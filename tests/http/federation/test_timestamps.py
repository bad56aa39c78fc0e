"""Events by their time, over HTTP."""

import pytest

from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY, join_remotely
from tests.services.federation.serving import Serving
from tests.services.world import ALICE


def test_the_closest_event_is_told_with_its_time(served: Served, serving: Serving) -> None:
    def make() -> tuple[str, str, int]:
        room_id = serving.room()
        join_remotely(serving.world, FAY, room_id)
        serving.world.clock.advance(1)
        return room_id, serving.world.send(ALICE, room_id), serving.world.clock.now_ms()

    room_id, event_id, at_ms = in_reactor(make)

    answer = ask(served, "GET", "timestamp_to_event", room_id, query={"ts": at_ms, "dir": "f"})

    assert (answer.status, answer.json) == (200, {"event_id": event_id, "origin_server_ts": at_ms})
    later = ask(served, "GET", "timestamp_to_event", room_id, query={"ts": at_ms + 1, "dir": "f"})
    assert refusal(later) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"ts": 1}, "M_MISSING_PARAM"),
        ({"dir": "f"}, "M_MISSING_PARAM"),
        ({"ts": 1, "dir": "up"}, "M_INVALID_PARAM"),
        ({"ts": "now", "dir": "f"}, "M_INVALID_PARAM"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(served: Served, query: dict[str, object], errcode: str) -> None:
    assert refusal(ask(served, "GET", "timestamp_to_event", "!a:b", query=query)) == (400, errcode)
