"""Knocks of users of other servers over HTTP: parameters and errors."""

from homeserver.services.rooms.creation import InitialState
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY
from tests.services.federation.serving import Serving, finished
from tests.services.world import ALICE

KNOCK = InitialState("m.room.join_rules", "", {"join_rule": "knock"})


def test_a_user_of_another_server_knocks_by_two_requests(served: Served, serving: Serving) -> None:
    room_id = in_reactor(lambda: serving.world.create_room(ALICE, room_version="11", initial_state=[KNOCK]))
    template = ask(served, "GET", "make_knock", room_id, FAY, query={"ver": ["10", "11"]})
    assert template.status == 200
    encoded = finished(template.json, FAY, "knock")

    answer = ask(served, "PUT", "send_knock", room_id, encoded.event.event_id, content=encoded.event.pdu)

    assert answer.status == 200
    assert "m.room.create" in {pdu["type"] for pdu in answer.json["knock_room_state"]}
    assert in_reactor(lambda: serving.member(room_id, FAY)) == "knock"


def test_what_is_refused_is_told_by_its_code(served: Served, serving: Serving) -> None:
    room_id = in_reactor(lambda: serving.world.create_room(ALICE, room_version="11", initial_state=[KNOCK]))
    closed = in_reactor(lambda: serving.world.create_room(ALICE, room_version="11"))

    assert refusal(ask(served, "GET", "make_knock", room_id, FAY)) == (400, "M_MISSING_PARAM")
    unknown = ask(served, "GET", "make_knock", room_id, FAY, query={"ver": "10"})
    assert refusal(unknown) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert refusal(ask(served, "GET", "make_knock", closed, FAY, query={"ver": "11"})) == (403, "M_FORBIDDEN")
    answer = ask(served, "PUT", "send_knock", room_id, "$" + "A" * 43, content={})
    assert refusal(answer) == (400, "M_BAD_JSON")
