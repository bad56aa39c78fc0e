"""The user directory over HTTP."""

from typing import Any

import pytest

from tests.api.client import V3, Client, new_user
from tests.server import running

# Any: JSON, throughout.


def find(client: Client, term: str, **wishes: Any) -> Any:
    return client.post(V3, "user_directory", "search", body={"search_term": term, **wishes})


def test_users_are_found_by_those_who_share_a_room(alice: Client, bob: Client, carol: Client) -> None:
    alice.put(V3, "profile", alice.user_id, "displayname", body={"displayname": "Quincy 北京"})
    alice.create_room_with(bob)

    shown = {"user_id": alice.user_id, "display_name": "Quincy 北京"}
    assert find(bob, alice.user_id) == {"results": [shown], "limited": False}
    assert shown in find(bob, "quin 北京")["results"]
    assert find(carol, alice.user_id) == {"results": [], "limited": False}


@pytest.mark.parametrize("wishes", [{"limit": 0}, {"limit": -1}, {"search_term": "x" * 300}])
def test_nonsense_is_refused(alice: Client, wishes: dict[str, Any]) -> None:
    body = {"search_term": "alice", **wishes}

    alice.post(V3, "user_directory", "search", body=body, status=400, errcode="M_INVALID_PARAM")


def test_all_accounts_are_found_where_the_configuration_says_so() -> None:
    with running(settings={"user_directory": {"search_all_users": True}}) as server:
        alice, bob = (new_user(server.url, name) for name in ("alice", "bob"))

        assert [user["user_id"] for user in find(alice, bob.user_id)["results"]] == [bob.user_id]
