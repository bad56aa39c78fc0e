"""States and auth chains over HTTP."""

import pytest

from homeserver.core.identifiers import EventID, RoomID
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY, NEAR, join_remotely
from tests.services.federation.serving import Serving
from tests.services.world import ALICE


@pytest.fixture
def room(serving: Serving) -> tuple[RoomID, EventID]:
    """A room with another server in it, and a message."""

    def make() -> tuple[RoomID, EventID]:
        room_id = serving.room()
        join_remotely(serving.world, FAY, room_id)
        return room_id, serving.world.send(ALICE, room_id, "hello")

    made: tuple[RoomID, EventID] = in_reactor(make)
    return made


def test_states_and_auth_chains_are_told_to_a_server_in_the_room(served: Served, room: tuple[RoomID, EventID]) -> None:
    room_id, event_id = room

    state = ask(served, "GET", "state", room_id, query={"event_id": event_id}).json
    ids = ask(served, "GET", "state_ids", room_id, query={"event_id": event_id}).json
    chain = ask(served, "GET", "event_auth", room_id, event_id).json

    assert len(state["pdus"]) == len(ids["pdu_ids"]) > 5
    assert len(state["auth_chain"]) == len(ids["auth_chain_ids"])
    assert {pdu["type"] for pdu in chain["auth_chain"]} == {"m.room.member", "m.room.power_levels"}


@pytest.mark.parametrize("operation", ["state", "state_ids"])
def test_without_a_possible_event_there_is_no_state(served: Served, operation: str) -> None:
    assert refusal(ask(served, "GET", operation, "!a:b")) == (400, "M_MISSING_PARAM")
    assert refusal(ask(served, "GET", operation, "!a:b", query={"event_id": "x"})) == (400, "M_INVALID_PARAM")


def test_others_are_refused(served: Served, room: tuple[RoomID, EventID]) -> None:
    room_id, event_id = room

    answers = [
        ask(served, "GET", "state", room_id, query={"event_id": event_id}, server=NEAR),
        ask(served, "GET", "state_ids", room_id, query={"event_id": event_id}, server=NEAR),
        ask(served, "GET", "event_auth", room_id, event_id, server=NEAR),
    ]

    assert [refusal(answer) for answer in answers] == [(403, "M_FORBIDDEN")] * 3
