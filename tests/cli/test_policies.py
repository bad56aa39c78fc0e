"""`homeserver admin policy …`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.policies import Acts, policy
from tests.cli.commands import Offline, typed_at

# Any: JSON, throughout.

LISTS = f"{ADMIN_API}/policy/lists"
LIST = "!list:a.example"
PATH = f"{LISTS}/%21list%3Aa.example"
STATUS: dict[str, Any] = {
    "room_id": LIST,
    "apply_to": ["rooms", "server"],
    "rooms": None,
    "subscribed_by": None,
    "subscribed_ts": 1,
    "members": ["@alice:here.example"],
    "rules": {"user": 2, "room": 0, "server": 1},
    "idle_rules": 0,
    "deeds": {"ban": 3, "refuse": 1},
    "replaced_by": None,
    "is_busy": False,
    "is_ending": False,
    "obstacles": {},
}
TROUBLED: dict[str, Any] = {
    **STATUS,
    "apply_to": ["rooms"],
    "rooms": ["!a:b"],
    "members": [],
    "idle_rules": 1,
    "deeds": {},
    "replaced_by": "!new:a.example",
    "is_busy": True,
    "obstacles": {"@eve:b in !a:b": "No power"},
}
RULE: dict[str, Any] = {
    "kind": "user",
    "entity": "@e\x1b*",
    "recommendation": "m.ban",
    "reason": "spam",
    "event_id": "$1",
}
STEP: dict[str, Any] = {
    "act": "ban",
    "entity": "@eve:b",
    "room_id": "!a:b",
    "reason": "spam",
    "rule": "@eve:b",
    "obstacle": None,
}
ACT: dict[str, Any] = {
    "position": 3,
    "at_ms": 1_700_000_000_000,
    "by": "policy_lists",
    "act": "ban",
    "target": "@eve:b",
    "details": {"list": LIST, "room_id": "!a:b"},
    "outcome": {"status": 200, "errcode": None, "at_ms": 1},
}
TOLD = (
    f"{LIST}: rooms and server; rules: 2 about users, 1 about servers; has done: 3 bans, 1 pattern of servers blocked"
)


class ScriptedDoor:
    """A door behind which these answers are given, each in turn and the last again and again."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._answers = {path: list(given) for path, given in (answers or {}).items()}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        given = self._answers.get(f"{method} {path}", [{}])
        return 200, given.pop(0) if len(given) > 1 else given[0]


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, policy, *words)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_lists_are_told_of_with_what_they_do_and_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedDoor({f"GET {LISTS}": [{"lists": [STATUS, TROUBLED]}]}), "list")

    assert printed(capsys) == [
        f"{TOLD}; in force",
        f"{LIST}: rooms (1 given); rules: 2 about users, 1 about servers; has done: nothing; 1 rules not acted upon; "
        "nobody of this server is in its room any more; its room was replaced by !new:a.example: subscribe to that "
        "one; 1 acts were not possible; being carried out",
    ]


def test_a_list_is_followed_for_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor({f"POST {LISTS}": [STATUS]})

    run(door, "subscribe", LIST, "--apply-to", "server", "--apply-to", "rooms", "--as", "@alice:here.example")
    run(door, "subscribe", LIST, "--apply-to", "watch", "--via", "a.example")
    run(door, "subscribe", LIST, "--apply-to", "rooms", "--room", "!a:b", "--json")

    bodies = [body for _, _, body in door.asked]
    assert [(body["apply_to"], body["rooms"], body["user_id"], body["via"]) for body in bodies] == [
        (["rooms", "server"], None, "@alice:here.example", []),
        ([], None, None, ["a.example"]),
        (["rooms"], ["!a:b"], None, []),
    ]
    lines = printed(capsys)
    assert lines[0] == f"{LIST} is followed: {TOLD}; in force"
    assert json.loads(lines[2]) == STATUS


@pytest.mark.parametrize(
    "words", [(), ("--apply-to", "watch", "--apply-to", "rooms"), ("--apply-to", "server", "--room", "!a:b")]
)
def test_what_makes_no_sense_is_not_asked_for(words: tuple[str, ...]) -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed):
        run(door, "subscribe", LIST, *words)

    assert door.asked == []


def test_a_list_is_given_up_when_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    done = {"done": 4, "failed": 0, "is_complete": True}
    door = ScriptedDoor(
        {f"GET {PATH}": [STATUS], f"DELETE {PATH}?undo=true": [done], f"DELETE {PATH}?undo=false": [done]}
    )

    run(door, "unsubscribe", LIST, "--undo", "--dry-run")
    with pytest.raises(CommandFailed):
        run(door, "unsubscribe", LIST)
    run(door, "unsubscribe", LIST, "--undo", "--yes")
    run(door, "unsubscribe", LIST, "--yes")

    assert [path for method, path, _ in door.asked if method == "DELETE"] == [f"{PATH}?undo=true", f"{PATH}?undo=false"]
    assert printed(capsys) == [
        f"Would follow {LIST} no more, and undo what it has done (3 bans, 1 pattern of servers blocked). "
        "Nothing was changed.",
        f"{LIST} is not followed any more. Undone: 4.",
        f"{LIST} is not followed any more.",
    ]


def test_rules_are_printed_page_by_page_and_nothing_in_them_speaks_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rule, idle = {**RULE, "is_idle": False}, {**RULE, "entity": "*", "reason": "", "is_idle": True}
    first, second = {"rules": [rule], "next": 1}, {"rules": [idle], "next": None}
    pages = {f"GET {PATH}/rules?from=0&limit=500": [first], f"GET {PATH}/rules?from=1&limit=500": [second]}

    run(ScriptedDoor({f"GET {PATH}": [TROUBLED], **pages}), "show", LIST)

    assert printed(capsys) == [
        "user @e\\u001b*: m.ban: spam",
        "user *: m.ban (not acted upon)",
        "Not possible: @eve:b in !a:b: No power",
    ]


def test_what_a_list_would_do_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = {**STEP, "act": "refuse", "entity": "b", "room_id": None, "reason": "", "obstacle": "No power"}
    answer = {"steps": [STEP, refusal], "counts": {"ban": 1, "refuse": 2}, "impossible": 1, "is_whole": False}
    path = f"GET {PATH}/dry_run?limit=2&apply_to=rooms&apply_to=server&rooms=%21a%3Ab"

    purpose = ("--apply-to", "server", "--apply-to", "rooms", "--room", "!a:b")
    run(ScriptedDoor({path: [answer]}), "dry-run", LIST, "--limit", "2", *purpose)

    assert printed(capsys) == [
        "ban: @eve:b: !a:b: spam",
        "pattern of servers blocked: b: this server (not possible: No power)",
        "Would bring about: 1 ban, 2 patterns of servers blocked; 1 of these are not possible; and more. "
        "Nothing was changed.",
    ]


def test_a_list_is_carried_out_until_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [{"done": 200, "failed": 1, "is_complete": False}, {"done": 3, "failed": 0, "is_complete": True}]
    door = ScriptedDoor({f"POST {PATH}/apply": answers})

    run(door, "apply", LIST)

    assert len(door.asked) == 2
    assert printed(capsys) == [f"{LIST} is carried out: 203 done, 1 not possible: see `policy show`."]


def test_what_lists_say_of_somebody_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    path = f"GET {ADMIN_API}/policy/check?entity=%40eve%3Ab"
    found = {"rules": [{**RULE, "entity": "@eve:b", "list": LIST, "acts": False}]}
    door = ScriptedDoor({path: [found, {"rules": []}]})

    run(door, "check", "@eve:b")
    with pytest.raises(CommandFailed, match="no list says anything of @eve:b"):
        run(door, "check", "@eve:b")

    assert printed(capsys) == [f"{LIST}: user @eve:b: m.ban (only watched): spam"]


def test_what_was_done_is_printed_the_oldest_first(capsys: pytest.CaptureFixture[str]) -> None:
    shut = {**ACT, "position": 9, "act": "block servers", "target": None, "outcome": None}
    shut["details"] = {"list": LIST, "servers": ["a.example", "b.example"], "number": 2}
    acts = {"acts": [shut, ACT], "next": None}

    run(ScriptedDoor({f"GET {ADMIN_API}/audit?by=policy_lists&limit=100": [acts]}), "watch", "--once")

    assert printed(capsys) == [
        f"2023-11-14 22:13:20 UTC ban: @eve:b in !a:b ({LIST}): done",
        f"2023-11-14 22:13:20 UTC block servers: this server: a.example, b.example ({LIST}): under way",
    ]


def test_nobody_waits_for_what_is_done_while_no_server_runs(capsys: pytest.CaptureFixture[str]) -> None:
    door = Offline(ScriptedDoor({f"GET {ADMIN_API}/audit?by=policy_lists&limit=100": [{"acts": [ACT], "next": None}]}))

    with pytest.raises(CommandFailed, match="the server does not run"):
        typed_at(door, policy, "watch")

    assert printed(capsys) == [f"2023-11-14 22:13:20 UTC ban: @eve:b in !a:b ({LIST}): done"]


def test_what_was_under_way_is_told_of_again_at_its_end_and_nothing_is_left_out() -> None:
    def act(position: int, *, is_done: bool = True) -> dict[str, Any]:
        return {**ACT, "position": position, "outcome": ACT["outcome"] if is_done else None}

    first = {"acts": [act(4, is_done=False), act(3)], "next": None}
    second = {"acts": [act(9), act(8)], "next": 8}
    older = {"acts": [act(6), act(4), act(3)], "next": None}
    path = f"GET {ADMIN_API}/audit?by=policy_lists&limit=100"
    acts = Acts(ScriptedDoor({path: [first, second, second], f"{path}&from=8": [older]}))

    told = [[(each["position"], each["outcome"] is not None) for each in acts.news()] for _ in range(3)]

    assert told == [[(3, True), (4, False)], [(4, True), (6, True), (8, True), (9, True)], []]
