"""Telling moderators of events, rooms and users, and what they are told."""

import json

import pytest

from tests.api.client import Client, new_user
from tests.server import Server


def told(server: Server, reporter: Client) -> list[dict[str, object]]:
    """What administrators see of a user's reports, the newest first, without what differs from run to run."""
    done = server.command("admin", "report", "list", "--json", "--limit", "1000")
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    kept = ("room_id", "event_id", "user_id", "reason")
    return [{name: one[name] for name in kept} for one in reports if one["reporter"] == reporter.user_id]


def test_events_rooms_and_users_are_reported_to_administrators(server: Server, alice: Client, bob: Client) -> None:
    room_id = alice.create_room(preset="public_chat")
    event_id = alice.say(room_id, "buy my hats")
    bob.post("join", room_id)

    bob.post("rooms", room_id, "report", event_id, body={"reason": "hats \x1b[31m", "score": -100})
    bob.post("rooms", room_id, "report", body={"reason": ""})
    bob.post("users", alice.user_id, "report", body={"reason": "sells hats"})
    bob.post("users", "@eve:elsewhere.example", "report", body={"reason": "also"})
    bob.post("rooms", room_id, "report", event_id, body={})

    assert told(server, bob) == [
        {"room_id": room_id, "event_id": event_id, "user_id": None, "reason": ""},
        {"room_id": None, "event_id": None, "user_id": "@eve:elsewhere.example", "reason": "also"},
        {"room_id": None, "event_id": None, "user_id": alice.user_id, "reason": "sells hats"},
        {"room_id": room_id, "event_id": None, "user_id": None, "reason": ""},
    ]


def test_what_one_may_not_see_one_may_not_report(server: Server, alice: Client, bob: Client) -> None:
    room_id, other_id = alice.create_room(), bob.create_room()
    event_id = alice.say(room_id, "secret")

    for path in (
        ("rooms", room_id, "report", event_id),
        ("rooms", other_id, "report", event_id),
        ("rooms", other_id, "report", "$" + "n" * 43),
        ("rooms", "!nowhere:example.org", "report", event_id),
        ("users", f"@nobody:{server.server_name}", "report"),
    ):
        bob.post(*path, body={"reason": "x"}, status=404, errcode="M_NOT_FOUND")

    assert told(server, bob) == []


def test_a_report_of_a_room_that_is_not_here_is_answered_like_others_and_not_kept(server: Server, bob: Client) -> None:
    assert bob.post("rooms", "!nowhere:example.org", "report", body={"reason": "x"}) == {}

    assert told(server, bob) == []


def test_what_was_said_before_one_came_may_be_hidden_from_reports_too(server: Server, alice: Client) -> None:
    room_id = alice.create_room(preset="public_chat")
    alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "joined"})
    event_id = alice.say(room_id, "early")
    carol = new_user(server.url, "carol")
    carol.post("join", room_id)

    carol.post("rooms", room_id, "report", event_id, body={"reason": "x"}, status=404, errcode="M_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [({}, "M_BAD_JSON"), ({"reason": 7}, "M_BAD_JSON"), ({"reason": "x" * 5_000}, "M_INVALID_PARAM")],
)
def test_a_report_without_a_usable_reason_is_refused(server: Server, bob: Client, body: object, errcode: str) -> None:
    bob.post("users", "@eve:elsewhere.example", "report", body=body, status=400, errcode=errcode)

    assert told(server, bob) == []
