"""Single events over HTTP."""

import pytest

from homeserver.core.identifiers import EventID, RoomID
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY, NEAR, join_remotely
from tests.services.federation.serving import Serving
from tests.services.world import ALICE

NO_ID = "$" + "A" * 43


@pytest.fixture
def room(serving: Serving) -> tuple[RoomID, EventID]:
    """A room with another server in it, and a message."""

    def make() -> tuple[RoomID, EventID]:
        room_id = serving.room()
        join_remotely(serving.world, FAY, room_id)
        return room_id, serving.world.send(ALICE, room_id, "hello")

    made: tuple[RoomID, EventID] = in_reactor(make)
    return made


def test_an_event_is_told_to_a_server_in_its_room(served: Served, room: tuple[RoomID, EventID]) -> None:
    answer = ask(served, "GET", "event", room[1])

    assert answer.status == 200
    assert [pdu["content"]["body"] for pdu in answer.json["pdus"]] == ["hello"]


def test_others_learn_nothing_not_even_whether_it_exists(served: Served, room: tuple[RoomID, EventID]) -> None:
    answers = [ask(served, "GET", "event", event_id, server=NEAR) for event_id in (room[1], NO_ID)]

    assert [refusal(answer) for answer in answers] == [(404, "M_NOT_FOUND")] * 2
    assert answers[0].body == answers[1].body


def test_what_is_no_event_id_is_refused(served: Served) -> None:
    assert refusal(ask(served, "GET", "event", "nonsense")) == (400, "M_INVALID_PARAM")


def test_who_signs_nothing_is_refused(served: Served, room: tuple[RoomID, EventID]) -> None:
    answer = served.request("GET", f"/_matrix/federation/v1/event/{room[1]}")

    assert refusal(answer) == (401, "M_UNAUTHORIZED")
