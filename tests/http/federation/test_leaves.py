"""Leaves of users of other servers over HTTP: parameters and errors."""

import pytest

from homeserver.core.identifiers import RoomID
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY, NED, join_remotely
from tests.services.federation.serving import Serving, finished


@pytest.fixture
def room_id(serving: Serving) -> RoomID:
    """A room with a user of another server in it."""

    def make() -> RoomID:
        room_id = serving.room()
        join_remotely(serving.world, FAY, room_id)
        return room_id

    made: RoomID = in_reactor(make)
    return made


def test_a_user_of_another_server_goes_by_two_requests(served: Served, serving: Serving, room_id: RoomID) -> None:
    template = ask(served, "GET", "make_leave", room_id, FAY)
    assert template.status == 200
    encoded = finished(template.json, FAY, "leave")

    answer = ask(served, "PUT", "send_leave", room_id, encoded.event.event_id, content=encoded.event.pdu, version="v2")

    assert (answer.status, answer.json) == (200, {})
    assert in_reactor(lambda: serving.member(room_id, FAY)) == "leave"


def test_what_is_refused_is_told_by_its_code(served: Served, room_id: RoomID) -> None:
    assert refusal(ask(served, "GET", "make_leave", "!nowhere:b", FAY)) == (404, "M_NOT_FOUND")
    assert refusal(ask(served, "GET", "make_leave", room_id, NED)) == (403, "M_FORBIDDEN")
    answer = ask(served, "PUT", "send_leave", room_id, "$" + "A" * 43, content={}, version="v2")
    assert refusal(answer) == (400, "M_BAD_JSON")


def test_an_old_server_is_told_the_status_twice(served: Served, serving: Serving, room_id: RoomID) -> None:
    encoded = finished(ask(served, "GET", "make_leave", room_id, FAY).json, FAY, "leave")

    answer = ask(served, "PUT", "send_leave", room_id, encoded.event.event_id, content=encoded.event.pdu)

    assert (answer.status, answer.json) == (200, [200, {}])
    assert in_reactor(lambda: serving.member(room_id, FAY)) == "leave"
