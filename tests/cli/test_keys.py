"""`homeserver admin keys …`."""

from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.keys import keys
from tests.cli.commands import typed_at

KEYS = {
    "server_name": "example.org",
    "current": {"key_id": "ed25519:c", "key": "CCC"},
    "old": [
        {"key_id": "ed25519:a", "key": "AAA", "expired_ts": 1_700_000_000_123},
        {"key_id": "ed25519:b", "key": "BBB", "expired_ts": 1_700_000_100_000},
    ],
}
SHOWN = (
    "ed25519:c CCC in use\ned25519:b BBB until 2023-11-14 22:15:00 UTC\ned25519:a AAA until 2023-11-14 22:13:20 UTC\n"
)


class ScriptedDoor:
    """A door behind which the keys are known."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        assert body is None
        self.asked.append((method, path))
        return 200, KEYS


def run(door: ScriptedDoor, command: str) -> None:
    typed_at(door, keys, command)


def test_the_keys_are_shown_the_one_in_use_first(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    run(door, "show")

    assert capsys.readouterr().out == SHOWN
    assert door.asked == [("GET", f"{ADMIN_API}/keys")]


def test_a_new_key_is_asked_for_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    run(door, "rotate")

    assert capsys.readouterr().out == (
        f"{SHOWN}The key was replaced. Keep a copy of the new key file in a safe place.\n"
    )
    assert door.asked == [("POST", f"{ADMIN_API}/keys/rotate")]
