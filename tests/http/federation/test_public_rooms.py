"""The directory over HTTP, for other servers."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.serving import Serving


@pytest.fixture
def rooms(serving: Serving) -> list[RoomID]:
    """Two rooms of the directory; a third one is not in it."""

    def make() -> list[RoomID]:
        serving.room(name="hidden")
        return sorted(serving.room(name=name, is_public=True) for name in ("birds", "bees"))

    made: list[RoomID] = in_reactor(make)
    return made


def test_the_directory_is_told_page_by_page(served: Served, rooms: list[RoomID]) -> None:
    first = ask(served, "GET", "publicRooms", query={"limit": 1}).json
    second = ask(served, "GET", "publicRooms", query={"limit": 1, "since": first["next_batch"]}).json

    assert sorted(entry["room_id"] for entry in (*first["chunk"], *second["chunk"])) == rooms
    assert first["total_room_count_estimate"] == 2
    assert "next_batch" not in second
    assert second["prev_batch"]


@pytest.mark.parametrize("query", [{}, {"limit": 0}, {"include_all_networks": "true"}])
def test_without_a_limit_all_is_told(served: Served, rooms: list[RoomID], query: dict[str, Any]) -> None:
    answer = ask(served, "GET", "publicRooms", query=query)

    assert sorted(entry["room_id"] for entry in answer.json["chunk"]) == rooms


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"generic_search_term": "BIRD"}, {"birds"}),
        ({"room_types": [None]}, {"birds", "bees"}),
        ({"room_types": ["m.space"]}, set()),
        ({}, {"birds", "bees"}),
    ],
)
def test_a_filter_leaves_some(served: Served, rooms: list[RoomID], wanted: Any, names: set[str]) -> None:
    answer = ask(served, "POST", "publicRooms", content={"filter": wanted})

    assert answer.status == 200
    assert {entry["name"] for entry in answer.json["chunk"]} == names


@pytest.mark.parametrize("query", [{"limit": -1}, {"limit": "all"}, {"since": "nonsense"}])
def test_a_page_that_cannot_be_is_refused(served: Served, query: dict[str, Any]) -> None:
    assert refusal(ask(served, "GET", "publicRooms", query=query)) == (400, "M_INVALID_PARAM")


def test_a_filter_that_makes_no_sense_is_refused(served: Served) -> None:
    assert refusal(ask(served, "POST", "publicRooms", content={"filter": 1})) == (400, "M_BAD_JSON")
