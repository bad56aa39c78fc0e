"""Spaces over HTTP."""

import pytest

from tests.api.client import V1, Client


@pytest.fixture
def space(alice: Client) -> str:
    """A public space with a public room and a closed one."""
    room_id = alice.create_room(preset="public_chat", name="Space", creation_content={"type": "m.space"})
    for name, preset in (("Garden", "public_chat"), ("Safe", "private_chat")):
        child = alice.create_room(preset=preset, name=name)
        alice.put("rooms", room_id, "state", "m.space.child", child, body={"via": [alice.server_name]})
    return room_id


def test_a_space_is_walked_through_page_by_page(alice: Client, bob: Client, space: str) -> None:
    whole = alice.get(V1, "rooms", space, "hierarchy")
    first = bob.get(V1, "rooms", space, "hierarchy", query={"limit": 1})
    second = bob.get(V1, "rooms", space, "hierarchy", query={"limit": 1, "from": first["next_batch"]})

    assert {room["name"] for room in whole["rooms"]} == {"Space", "Garden", "Safe"}
    assert "next_batch" not in whole
    assert [room["name"] for room in first["rooms"]] == ["Space"]
    assert len(first["rooms"][0]["children_state"]) == 2
    assert [room["name"] for room in second["rooms"]] in (["Garden"], [])


def test_depth_and_suggestions_are_heeded(alice: Client, space: str) -> None:
    assert len(alice.get(V1, "rooms", space, "hierarchy", query={"max_depth": 0})["rooms"]) == 1
    assert len(alice.get(V1, "rooms", space, "hierarchy", query={"suggested_only": "true"})["rooms"]) == 1


def test_a_token_goes_with_its_parameters(alice: Client, space: str) -> None:
    token = alice.get(V1, "rooms", space, "hierarchy", query={"limit": 1})["next_batch"]

    for query in ({"from": token, "max_depth": 1}, {"from": token, "suggested_only": "true"}, {"from": "made up"}):
        alice.get(V1, "rooms", space, "hierarchy", query=query, status=400, errcode="M_INVALID_PARAM")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"max_depth": -1}, {"limit": "x"}])
def test_numbers_that_make_no_sense_are_refused(alice: Client, space: str, query: dict[str, object]) -> None:
    alice.get(V1, "rooms", space, "hierarchy", query=query, status=400, errcode="M_INVALID_PARAM")


def test_a_closed_space_is_forbidden(alice: Client, bob: Client) -> None:
    closed = alice.create_room(preset="private_chat", creation_content={"type": "m.space"})

    bob.get(V1, "rooms", closed, "hierarchy", status=403, errcode="M_FORBIDDEN")
    bob.get(V1, "rooms", "!nowhere:" + bob.server_name, "hierarchy", status=403, errcode="M_FORBIDDEN")
