"""Invites over HTTP: bodies, answers and errors."""

from typing import Any

import pytest

from homeserver.core.identifiers import UserID
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.serving import Serving, invite_to
from tests.services.world import SERVER


@pytest.fixture
def alice(serving: Serving) -> UserID:
    """A user of this server."""
    made: UserID = in_reactor(lambda: serving.named("alice", "Alice"))
    return made


def test_an_invite_comes_back_signed(served: Served, serving: Serving, alice: UserID) -> None:
    invite, state = invite_to(alice)
    event = invite.event
    body = {"room_version": "11", "event": event.pdu, "invite_room_state": state}

    answer = ask(served, "PUT", "invite", event.room_id, event.event_id, content=body, version="v2")

    assert answer.status == 200
    assert SERVER in answer.json["event"]["signatures"]
    assert in_reactor(lambda: serving.member(event.room_id, alice)) == "invite"


def test_an_old_server_gets_the_status_twice(served: Served, alice: UserID) -> None:
    invite, state = invite_to(alice, "1")
    event = invite.event
    body = {**event.pdu, "unsigned": {"invite_room_state": state}}

    answer = ask(served, "PUT", "invite", event.room_id, event.event_id, content=body)

    assert answer.status == 200
    assert answer.json[0] == 200
    assert SERVER in answer.json[1]["event"]["signatures"]


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_BAD_JSON"),
        ({"room_version": 1, "event": {}}, "M_BAD_JSON"),
        ({"room_version": "11", "event": []}, "M_BAD_JSON"),
        ({"room_version": "11", "event": {}}, "M_BAD_JSON"),
        ({"room_version": "?", "event": {}}, "M_INCOMPATIBLE_ROOM_VERSION"),
    ],
)
def test_what_is_no_invite_is_refused(served: Served, body: Any, errcode: str) -> None:
    answer = ask(served, "PUT", "invite", "!a:b", "$" + "A" * 43, content=body, version="v2")

    assert refusal(answer) == (400, errcode)
