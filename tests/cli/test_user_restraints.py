"""`homeserver admin user rate-limit`."""

import json
from collections.abc import Mapping
from typing import Any

import click
import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.main import admin
from tests.cli.commands import typed_at

USER = "@alice:b.example"
LIMIT = f"{ADMIN_API}/users/%40alice%3Ab.example/override_ratelimit"


class Door:
    """A door that keeps what was asked, and answers as it is told to."""

    def __init__(self, answer: Any) -> None:  # Any: JSON
        self.answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        return 200, self.answer


@pytest.mark.parametrize(
    ("words", "asked", "answer", "told"),
    [
        ((), ("GET", None), {}, f"For {USER} the limits of the settings hold."),
        (
            ("--per-second", "0.5", "--burst", "3"),
            ("POST", {"messages_per_second": 0.5, "burst_count": 3}),
            {"messages_per_second": 0.5, "burst_count": 3},
            f"{USER} may act 0.5 times a second, and 3 times at once.",
        ),
        (
            ("--none",),
            ("POST", {"messages_per_second": 0, "burst_count": 0}),
            {"messages_per_second": 0, "burst_count": 0},
            f"{USER} may act as fast as they like.",
        ),
        (("--reset",), ("DELETE", None), {}, f"For {USER} the limits of the settings hold."),
    ],
)
def test_rate_limits_are_shown_set_and_taken_away(
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    asked: tuple[str, Any],
    answer: Mapping[str, Any],
    told: str,
) -> None:
    door = Door(answer)

    typed_at(door, admin, "user", "rate-limit", USER, *words)
    typed_at(door, admin, "user", "rate-limit", USER, *words, "--json")

    assert door.asked == [(asked[0], LIMIT, asked[1])] * 2
    sentence, as_json = capsys.readouterr().out.splitlines()
    assert sentence == told
    assert json.loads(as_json) == {"user_id": USER, **answer}


@pytest.mark.parametrize("words", [("--none", "--reset"), ("--burst", "3"), ("--per-second", "1", "--none")])
def test_what_contradicts_itself_is_not_asked_for(words: tuple[str, ...]) -> None:
    door = Door({})

    with pytest.raises(click.UsageError):
        typed_at(door, admin, "user", "rate-limit", USER, *words)

    assert door.asked == []


def test_a_user_is_shadow_banned_and_heard_again(capsys: pytest.CaptureFixture[str]) -> None:
    door = Door({})

    typed_at(door, admin, "user", "shadow-ban", USER)
    typed_at(door, admin, "user", "shadow-ban", USER, "--undo", "--json")

    path = f"{ADMIN_API}/users/%40alice%3Ab.example/shadow_ban"
    assert door.asked == [("POST", path, None), ("DELETE", path, None)]
    told, as_json = capsys.readouterr().out.splitlines()
    assert told == f"Nobody hears {USER} any more."
    assert json.loads(as_json) == {"user_id": USER, "shadow_banned": False}
