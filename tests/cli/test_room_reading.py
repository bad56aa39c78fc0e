"""`homeserver admin room list`, `show`, `members`, `state`, `messages`."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.room_reading import size_of
from homeserver.cli.rooms import room
from tests.cli.commands import typed_at
from tests.cli.terminals import on_a_terminal
from tests.cli.test_federation import ScriptedDoor

# Any: JSON, throughout.

ROOM = "!a:b.example"
PATH = f"{ADMIN_API}/rooms/%21a%3Ab.example"
LISTED: dict[str, Any] = {
    "room_id": ROOM,
    "name": 'Sal\x1b[31mon "1"',
    "canonical_alias": "#salon:b.example",
    "joined_members": 12,
    "joined_local_members": 3,
    "events": 400,
    "state_events": 20,
    "complexity": 0.04,
    "size_bytes": 1_234_567,
}
NAMELESS: dict[str, Any] = {**LISTED, "room_id": "!c:b.example", "name": None, "canonical_alias": None, "size_bytes": 9}
DETAILS: dict[str, Any] = {
    **LISTED,
    "topic": None,
    "room_type": None,
    "version": "11",
    "creator": "@alice:b.example",
    "joined_local_devices": 5,
    "join_rules": "public",
    "history_visibility": "shared",
    "guest_access": None,
    "encryption": None,
    "public": True,
    "federatable": False,
    "tombstoned": True,
    "replacement_room": "!new:b.example",
    "is_partial": False,
}
MESSAGE: dict[str, Any] = {
    "event_id": "$m",
    "type": "m.room.message",
    "sender": "@bob:b.example",
    "origin_server_ts": 1_700_000_000_123,
    "content": {"body": "hats \x1b[31m"},
}
NAMED: dict[str, Any] = {**MESSAGE, "event_id": "$n", "type": "m.room.name", "content": {"name": "x"}, "state_key": ""}


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, room, *words)


def lists(**query: str) -> ScriptedDoor:
    """A door behind which two rooms are listed on two pages."""
    asked = urlencode({"order_by": "name", "dir": "f", "limit": "100", **query})
    return ScriptedDoor(
        **{
            f"{ADMIN_API}/rooms?{asked}&from=0": (200, {"rooms": [LISTED], "next_batch": 1}),
            f"{ADMIN_API}/rooms?{asked}&from=1": (200, {"rooms": [NAMELESS]}),
        }
    )


def test_rooms_are_told_of_page_by_page_in_letters_that_cannot_move_the_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(lists(), "list")

    members = "12 members (3 here), 400 events, 20 of state (complexity 0.04)"
    assert capsys.readouterr().out.splitlines() == [
        rf'!a:b.example "Sal\u001b[31mon \"1\"": {members}, 1.2 MB',
        f"!c:b.example: {members}, 9 bytes",
    ]


def test_rooms_are_sorted_and_searched_by_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    query = {"order_by": "size_bytes", "dir": "b", "search_term": "sal", "public_rooms": "true", "empty_rooms": "false"}

    words = ("--sort", "size", "--reverse", "--search", "sal", "--public", "--inhabited", "--json")
    run(lists(**query), "list", *words)

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [LISTED, NAMELESS]


def test_no_more_is_asked_for_than_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    door = lists(limit="1")

    run(door, "list", "--limit", "1", "--json")

    assert (len(door.asked), len(capsys.readouterr().out.splitlines())) == (1, 1)


def test_at_a_terminal_rooms_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    told = on_a_terminal(monkeypatch, lambda: run(lists(), "list"))

    assert "Complexity" in told
    assert r"Sal\u001b" in told


def test_one_room_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    answers: dict[str, Any] = {
        PATH: (200, DETAILS),
        f"{PATH}/aliases": (200, {"aliases": ["#salon:b.example"], "canonical_alias": None}),
        f"{PATH}/block": (200, {"block": True, "blocked_ts": 1_700_000_000_000}),
    }

    run(ScriptedDoor(**answers), "show", ROOM)
    told = capsys.readouterr().out.splitlines()
    run(ScriptedDoor(**answers), "show", ROOM, "--json")

    for line in (
        "Members: 12, of which 3 are of this server",
        "Blocked: since 2023-11-14 22:13:20 UTC",
        "Replaced: by !new:b.example",
        "Other servers: may not take part",
        "Aliases: #salon:b.example",
    ):
        assert line in told
    assert not [line for line in told if line.startswith(("Topic", "Encryption", "Not all known"))]
    answer = json.loads(capsys.readouterr().out)
    assert (answer["topic"], answer["aliases"], answer["block"]["block"]) == (None, ["#salon:b.example"], True)


def test_members_and_state_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    answers: dict[str, Any] = {
        f"{PATH}/members": (200, {"members": ["@alice:b.example", "@b\x1bb:b.example"]}),
        f"{PATH}/state?type=m.room.name": (200, {"state": [NAMED]}),
    }

    run(ScriptedDoor(**answers), "members", ROOM)
    run(ScriptedDoor(**answers), "state", ROOM, "--type", "m.room.name")

    assert capsys.readouterr().out.splitlines() == [
        "@alice:b.example",
        r"@b\u001bb:b.example",
        'm.room.name by @bob:b.example: {"name": "x"}',
    ]


def test_history_is_read_page_by_page_with_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = "filter=%7B%22senders%22%3A+%5B%22%40bob%3Ab.example%22%5D%7D"
    path = f"{PATH}/messages?dir=b&limit=20&{wanted}"
    door = ScriptedDoor(
        **{
            path: (200, {"chunk": [MESSAGE], "start": "t9", "end": "t5"}),
            f"{path}&from=t5": (200, {"chunk": [NAMED], "start": "t5"}),
        }
    )

    run(door, "messages", ROOM, "--by", "@bob:b.example")

    assert capsys.readouterr().out.splitlines() == [
        r'2023-11-14 22:13:20 UTC $m @bob:b.example m.room.message: "hats \u001b[31m"',
        '2023-11-14 22:13:20 UTC $n @bob:b.example m.room.name: {"name": "x"}',
    ]


def test_what_is_no_room_id_is_not_asked_for() -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed, match=r"#salon.* is no room ID"):
        run(door, "show", "#salon:b.example")

    assert door.asked == []


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**16, "10000.0 TB")],
)
def test_sizes_are_told_in_units(size_bytes: int, told: str) -> None:
    assert size_of(size_bytes) == told
