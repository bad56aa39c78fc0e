"""Rooms that all may read, by whoever is not in them: everything while they may, and not one event more afterwards."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from tests.api.client import V1, Client

Paths = Mapping[str, tuple[Sequence[str], Mapping[str, Any]]]
CLOSED: Final = ("shared", "invited", "joined", None)  # None: whatever is no visibility is `shared`


def paths(room_id: str, event_id: str) -> Paths:
    """Everything that reads a room, with its query. Any: values of queries."""
    room = ("rooms", room_id)
    relations = (f"{V1}/rooms", room_id, "relations", event_id)
    return {
        "state": ((*room, "state"), {}),
        "a piece of state": ((*room, "state", "m.room.create", ""), {}),
        "members": ((*room, "members"), {}),
        "joined members": ((*room, "joined_members"), {}),
        "messages": ((*room, "messages"), {"dir": "b"}),
        "messages forwards": ((*room, "messages"), {"dir": "f"}),
        "initial sync": ((*room, "initialSync"), {}),
        "events": (("events",), {"room_id": room_id, "timeout": 0}),
        "aliases": ((*room, "aliases"), {}),
        "threads": ((f"{V1}/rooms", room_id, "threads"), {}),
        "hierarchy": ((f"{V1}/rooms", room_id, "hierarchy"), {}),
        "relations": (relations, {}),
        "event": ((*room, "event", event_id), {}),
        "context": ((*room, "context", event_id), {"limit": 10}),
        "by time": ((f"{V1}/rooms", room_id, "timestamp_to_event"), {"ts": 0, "dir": "f"}),
    }


def read_all(who: Client, room_id: str, event_id: str) -> dict[str, tuple[int, str]]:
    """What each of them answers."""
    answers = {}
    for name, (path, query) in paths(room_id, event_id).items():
        response = who.send("GET", *path, query=query)
        answers[name] = response.status, json.dumps(response.json)
    return answers


def set_visibility(who: Client, room_id: str, visibility: str | None) -> None:
    who.set_state(room_id, "m.room.history_visibility", {"history_visibility": visibility or "of no kind"})


@pytest.mark.parametrize("visibility", CLOSED)
def test_a_stranger_reads_an_open_room_and_nothing_of_what_comes_once_it_is_closed(
    alice: Client, bob: Client, visibility: str | None
) -> None:
    room_id = alice.create_room(topic="before all may read")
    hidden = alice.say(room_id, "hidden before")
    set_visibility(alice, room_id, "world_readable")
    told = alice.say(room_id, "open")
    since = bob.get("events", query={"room_id": room_id, "timeout": 0})["end"]

    opened = read_all(bob, room_id, told)
    set_visibility(alice, room_id, visibility)
    secret = alice.say(room_id, "secret")
    alice.set_state(room_id, "m.room.topic", {"topic": "secret"})
    closed, of_secret, of_hidden = (read_all(bob, room_id, event_id) for event_id in (told, secret, hidden))

    # Who is joined is told as a list to those alone who are joined as well.
    assert {name for name, (status, _) in opened.items() if status != 200} == {"joined members"}
    assert "hidden before" not in str(opened)
    assert all("open" in opened[name][1] for name in ("messages", "messages forwards", "initial sync", "event"))
    # An event of the time when all might read it stays so, alone; who tells what is around it tells more.
    assert {name for name, (status, _) in closed.items() if status == 200} <= {"event", "context", "relations"}
    assert {name for name, (status, _) in of_secret.items() if status == 200} == set()
    assert {name for name, (status, _) in of_hidden.items() if status == 200} == set()
    assert "secret" not in str((closed, of_secret, of_hidden))
    query = {"room_id": room_id, "from": since, "timeout": 0}
    bob.get("events", query=query, status=403, errcode="M_FORBIDDEN")


def test_what_was_said_behind_closed_doors_stays_there_when_they_open_again(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    set_visibility(alice, room_id, "world_readable")
    since = bob.get("events", query={"room_id": room_id, "timeout": 0})["end"]
    set_visibility(alice, room_id, "joined")
    secret = alice.say(room_id, "secret")
    set_visibility(alice, room_id, "world_readable")
    told = alice.say(room_id, "open")

    followed = bob.get("events", query={"room_id": room_id, "from": since, "timeout": 0})
    answers, of_secret = read_all(bob, room_id, told), read_all(bob, room_id, secret)

    assert "secret" not in str((followed, answers, of_secret))
    assert "open" in str(followed)
    assert {of_secret[name][0] for name in ("event", "context", "relations")} == {404}


def test_a_stranger_only_reads(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    set_visibility(alice, room_id, "world_readable")
    event_id = alice.say(room_id, "open")

    for path in (
        ("rooms", room_id, "send", "m.room.message", "1"),
        ("rooms", room_id, "state", "m.room.topic", ""),
        ("rooms", room_id, "redact", event_id, "1"),
        ("rooms", room_id, "typing", bob.user_id),
    ):
        body = {"typing": True} if path[2] == "typing" else {"body": "x", "topic": "x"}
        bob.put(*path, body=body, status=403, errcode="M_FORBIDDEN")

    assert room_id not in str(bob.sync())
    assert bob.user_id not in str(alice.messages(room_id))
