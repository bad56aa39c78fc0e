"""Queries over HTTP."""

import pytest

from tests.http.conftest import Served, in_reactor
from tests.http.federation.asking import ask, refusal
from tests.services.federation.serving import Serving
from tests.services.world import SERVER


def test_an_alias_is_told(served: Served, serving: Serving) -> None:
    room_id = in_reactor(lambda: serving.room(alias_localpart="square"))

    answer = ask(served, "GET", "query", "directory", query={"room_alias": f"#square:{SERVER}"})

    assert (answer.status, answer.json) == (200, {"room_id": room_id, "servers": [SERVER]})


def test_a_profile_is_told(served: Served, serving: Serving) -> None:
    user_id = in_reactor(lambda: serving.named("alice", "Alice"))

    whole = ask(served, "GET", "query", "profile", query={"user_id": user_id})
    avatar = ask(served, "GET", "query", "profile", query={"user_id": user_id, "field": "avatar_url"})

    assert (whole.status, whole.json) == (200, {"displayname": "Alice"})
    assert (avatar.status, avatar.json) == (200, {})


@pytest.mark.parametrize(
    ("query_type", "query", "refused"),
    [
        ("directory", {}, (400, "M_MISSING_PARAM")),
        ("directory", {"room_alias": "nonsense"}, (400, "M_INVALID_PARAM")),
        ("directory", {"room_alias": f"#nowhere:{SERVER}"}, (404, "M_NOT_FOUND")),
        ("profile", {}, (400, "M_MISSING_PARAM")),
        ("profile", {"user_id": "nonsense"}, (400, "M_INVALID_PARAM")),
        ("profile", {"user_id": f"@nobody:{SERVER}"}, (404, "M_NOT_FOUND")),
        ("weather", {}, (404, "M_UNRECOGNIZED")),
    ],
)
def test_what_cannot_be_answered_is_refused(
    served: Served, query_type: str, query: dict[str, str], refused: tuple[int, str]
) -> None:
    assert refusal(ask(served, "GET", "query", query_type, query=query)) == refused
