"""Searching over HTTP, as clients do it."""

from typing import Any

import pytest

from tests.api.client import V3, Client

# Any: JSON, throughout.


def search(client: Client, term: str, next_batch: str | None = None, **criteria: Any) -> Any:
    """The room events that a search finds."""
    query = {} if next_batch is None else {"next_batch": next_batch}
    body = {"search_categories": {"room_events": {"search_term": term, **criteria}}}
    return client.post(V3, "search", query=query, body=body)["search_categories"]["room_events"]


def as_element(client: Client, term: str, room_id: str, next_batch: str | None = None) -> Any:
    """What Element asks for."""
    return search(
        client,
        term,
        next_batch,
        filter={"limit": 2, "rooms": [room_id]},
        order_by="recent",
        event_context={"before_limit": 1, "after_limit": 1, "include_profile": True},
    )


def ids(found: Any) -> list[str]:
    return [one["result"]["event_id"] for one in found["results"]]


def test_a_client_searches_a_room_page_by_page(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    sent = [alice.say(room_id, f"A martian, number {number}") for number in range(3)]
    alice.say(alice.create_room(), "A martian elsewhere")

    first = as_element(bob, "martian", room_id)
    second = as_element(bob, "martian", room_id, first["next_batch"])

    assert ids(first) + ids(second) == sent[::-1]
    assert (first["count"], first["highlights"], "next_batch" in second) == (3, ["martian"], False)
    context = first["results"][0]["context"]
    assert [event["event_id"] for event in context["events_before"]] == [sent[1]]
    assert set(context["profile_info"]) == {alice.user_id}


@pytest.mark.parametrize(
    ("text", "term"), [("我们去北京", "北京"), ("東京タワー", "タワー"), ("고양이가 좋아", "고양이")]
)
def test_words_are_found_in_scripts_without_spaces(alice: Client, text: str, term: str) -> None:
    sent = alice.say(alice.create_room(), text)

    assert ids(search(alice, term)) == [sent]


def test_all_that_can_be_asked_for_is_told(alice: Client) -> None:
    room_id = alice.create_room(name="Martians")
    alice.say(room_id, "martian message")

    found = search(
        alice,
        "martians",
        keys=["content.name"],
        include_state=True,
        groupings={"group_by": [{"key": "room_id"}, {"key": "sender"}]},
    )

    assert [one["result"]["type"] for one in found["results"]] == ["m.room.name"]
    assert found["groups"]["room_id"][room_id]["results"] == found["groups"]["sender"][alice.user_id]["results"]
    assert set(found["state"]) == {room_id}


def test_nothing_is_found_where_nothing_is_looked_for(alice: Client) -> None:
    assert search(alice, "...") == {"count": 0, "highlights": [], "results": []}
    assert alice.post(V3, "search", body={"search_categories": {}}) == {"search_categories": {}}


@pytest.mark.parametrize(
    "criteria",
    [
        {"keys": ["content.formatted_body"]},
        {"order_by": "oldest"},
        {"filter": {"limit": -1}},
        {"filter": {"senders": ["alice"]}},
        {"event_context": {"before_limit": -1}},
        {"groupings": {"group_by": [{"key": "type"}]}},
        {"groupings": {"group_by": [{"key": "sender"}] * 11}},
    ],
)
def test_nonsense_is_refused(alice: Client, criteria: dict[str, Any]) -> None:
    body = {"search_categories": {"room_events": {"search_term": "x", **criteria}}}

    alice.post(V3, "search", body=body, status=400)


@pytest.mark.parametrize("token", ["nonsense", "f1", "f1.2.", "f1.2.!!", "f99999999999999999999.0", "p1"])
def test_a_token_of_something_else_is_refused(alice: Client, token: str) -> None:
    body = {"search_categories": {"room_events": {"search_term": "x"}}}

    alice.post(V3, "search", query={"next_batch": token}, body=body, status=400, errcode="M_INVALID_PARAM")
