"""Joins of users of other servers over HTTP: parameters and errors."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.room_versions import ROOM_VERSIONS
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY, NED
from tests.services.federation.serving import Serving, finished

NO_ID = "$" + "A" * 43
VERSIONS = {"ver": list(ROOM_VERSIONS)}


@pytest.fixture
def room_id(serving: Serving) -> RoomID:
    """A public room."""
    made: RoomID = in_reactor(lambda: serving.room(room_version="11", name="named"))
    return made


def test_a_user_of_another_server_comes_in_by_two_requests(served: Served, serving: Serving, room_id: RoomID) -> None:
    template = ask(served, "GET", "make_join", room_id, FAY, query=VERSIONS)
    assert template.status == 200
    encoded = finished(template.json, FAY, "join")

    answer = ask(served, "PUT", "send_join", room_id, encoded.event.event_id, content=encoded.event.pdu, version="v2")

    assert answer.status == 200
    assert {"state", "auth_chain", "event", "members_omitted", "origin"} == answer.json.keys()
    assert answer.json["event"] == encoded.event.pdu
    assert in_reactor(lambda: serving.member(room_id, FAY)) == "join"


def test_members_are_left_out_for_who_asks_for_it(served: Served, room_id: RoomID) -> None:
    encoded = finished(ask(served, "GET", "make_join", room_id, FAY, query=VERSIONS).json, FAY, "join")

    answer = ask(
        served,
        "PUT",
        "send_join",
        room_id,
        encoded.event.event_id,
        content=encoded.event.pdu,
        query={"omit_members": "true"},
        version="v2",
    )

    assert answer.json["members_omitted"] is True
    assert "m.room.member" not in {pdu["type"] for pdu in answer.json["state"]}


def test_without_versions_the_first_is_meant(served: Served, room_id: RoomID) -> None:
    answer = ask(served, "GET", "make_join", room_id, FAY)

    assert refusal(answer) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert answer.json["room_version"] == "11"


def test_what_is_refused_is_told_by_its_code(served: Served, room_id: RoomID) -> None:
    assert refusal(ask(served, "GET", "make_join", "!nowhere:b", FAY, query=VERSIONS)) == (404, "M_NOT_FOUND")
    assert refusal(ask(served, "GET", "make_join", room_id, NED, query=VERSIONS)) == (403, "M_FORBIDDEN")
    assert refusal(ask(served, "GET", "make_join", room_id, "nobody", query=VERSIONS)) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("content", [{}, [], {"type": "m.room.member"}, {"content": {"membership": "join"}}])
def test_what_is_no_event_is_refused(served: Served, room_id: RoomID, content: object) -> None:
    answer = ask(served, "PUT", "send_join", room_id, NO_ID, content=content, version="v2")

    assert refusal(answer) == (400, "M_BAD_JSON")


def test_an_old_server_is_told_the_status_twice(served: Served, serving: Serving, room_id: RoomID) -> None:
    encoded = finished(ask(served, "GET", "make_join", room_id, FAY, query=VERSIONS).json, FAY, "join")

    answer = ask(served, "PUT", "send_join", room_id, encoded.event.event_id, content=encoded.event.pdu)

    status, told = answer.json
    assert (answer.status, status) == (200, 200)
    assert told["members_omitted"] is False
    assert {"m.room.create", "m.room.member"} <= {pdu["type"] for pdu in told["state"]}
    assert in_reactor(lambda: serving.member(room_id, FAY)) == "join"
    assert refusal(ask(served, "PUT", "send_join", room_id, NO_ID, content={})) == (400, "M_BAD_JSON")
