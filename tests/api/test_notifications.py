"""Notifications over HTTP."""

from typing import Any

import pytest

from tests.api.client import V3, Client

# Any: JSON, throughout.


def ids(found: Any) -> list[str]:
    return [one["event"]["event_id"] for one in found["notifications"]]


def test_a_user_lists_what_they_were_notified_of(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    first = bob.say(room_id, "first")
    second = bob.say(room_id, "look", **{"m.mentions": {"user_ids": [alice.user_id]}})
    alice.post(V3, "rooms", room_id, "receipt", "m.read", first)

    found = alice.get(V3, "notifications", query={"limit": 1})
    rest = alice.get(V3, "notifications", query={"from": found["next_token"]})

    assert (ids(found), ids(rest)) == ([second], [first])
    assert [one["read"] for one in (*found["notifications"], *rest["notifications"])] == [False, True]
    assert found["notifications"][0]["room_id"] == room_id
    assert "next_token" not in rest
    assert ids(alice.get(V3, "notifications", query={"only": "highlight"})) == [second]
    assert ids(bob.get(V3, "notifications")) == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"limit": "x"}, {"from": "p1"}, {"from": "n-1"}])
def test_nonsense_is_refused(alice: Client, query: dict[str, Any]) -> None:
    alice.get(V3, "notifications", query=query, status=400, errcode="M_INVALID_PARAM")
