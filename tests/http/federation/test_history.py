"""Backfilling and missing events over HTTP: what is read of a request."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.others import FAY, NEAR, join_remotely
from tests.services.federation.serving import Serving, bodies
from tests.services.world import ALICE


@pytest.fixture
def room(serving: Serving) -> tuple[RoomID, list[EventID]]:
    """A room with another server in it, and messages."""

    def make() -> tuple[RoomID, list[EventID]]:
        room_id = serving.room()
        join_remotely(serving.world, FAY, room_id)
        return room_id, [serving.world.send(ALICE, room_id, str(number)) for number in range(4)]

    made: tuple[RoomID, list[EventID]] = in_reactor(make)
    return made


def test_events_before_several_are_told(served: Served, room: tuple[RoomID, list[EventID]]) -> None:
    room_id, sent = room

    answer = ask(served, "GET", "backfill", room_id, query={"v": [sent[3], sent[1]], "limit": 3})

    assert answer.status == 200
    assert bodies(answer.json["pdus"]) == ["3", "2", "1"]


def test_missing_events_are_told(served: Served, room: tuple[RoomID, list[EventID]]) -> None:
    room_id, sent = room
    content = {"earliest_events": [sent[0]], "latest_events": [sent[3]]}

    answer = ask(served, "POST", "get_missing_events", room_id, content=content)

    assert answer.status == 200
    assert bodies(answer.json["events"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"v": ["$a"]}, "M_MISSING_PARAM"),
        ({"limit": 1}, "M_MISSING_PARAM"),
        ({"v": ["$a"], "limit": "many"}, "M_INVALID_PARAM"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_refused(served: Served, query: Any, errcode: str) -> None:
    assert refusal(ask(served, "GET", "backfill", "!a:b", query=query)) == (400, errcode)


@pytest.mark.parametrize(
    "content",
    [[], {"earliest_events": "$a", "latest_events": []}, {"earliest_events": [], "latest_events": [1]}],
)
def test_a_question_for_missing_events_that_makes_no_sense_is_refused(served: Served, content: Any) -> None:
    answer = ask(served, "POST", "get_missing_events", "!a:b", content=content)

    assert refusal(answer) == (400, "M_BAD_JSON")


def test_who_names_no_events_misses_none(served: Served, room: tuple[RoomID, list[EventID]]) -> None:
    answer = ask(served, "POST", "get_missing_events", room[0], content={})

    assert (answer.status, answer.json) == (200, {"events": []})


def test_a_server_that_is_not_in_the_room_is_refused(served: Served, room: tuple[RoomID, list[EventID]]) -> None:
    room_id, sent = room
    content = {"earliest_events": [], "latest_events": [sent[3]]}

    answers = [
        ask(served, "GET", "backfill", room_id, query={"v": [sent[3]], "limit": 3}, server=NEAR),
        ask(served, "POST", "get_missing_events", room_id, content=content, server=NEAR),
    ]

    assert [refusal(answer) for answer in answers] == [(403, "M_FORBIDDEN")] * 2
