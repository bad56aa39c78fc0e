"""`homeserver admin user activity` and `let-reset-keys`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from homeserver.cli.users import USERS, user
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

# Any: JSON, throughout.

BOB = "@bob:example.org"
AT_BOB = f"{USERS}/%40bob%3Aexample.org"


class CountingDoor(ScriptedDoor):
    """A door behind which Bob sent two invites and joined three rooms, since whenever."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        super().call(method, path, body)
        return 200, {"invite_count": 2} if "/sent_invite_count" in path else {"cumulative_joined_room_count": 3}


def test_what_a_user_did_of_late_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    door, before = CountingDoor(), datetime.now(UTC).timestamp()

    typed_at(door, user, "activity", BOB, "--within", "7d")

    since_s = [int(path.partition("?from_ts=")[2]) / 1000 for _, path, _ in door.asked]
    assert [round((before - each) / 86_400) for each in since_s] == [7, 7]
    assert [path.partition("?")[0] for _, path, _ in door.asked] == [
        f"{AT_BOB}/sent_invite_count",
        f"{AT_BOB}/cumulative_joined_room_count",
    ]
    assert capsys.readouterr().out.splitlines()[2:] == ["Invites sent: 2", "Rooms joined: 3"]


def test_it_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    typed_at(CountingDoor(), user, "activity", BOB, "--json")

    told = json.loads(capsys.readouterr().out)
    assert (told["user_id"], told["invites_sent"], told["rooms_joined"]) == (BOB, 2, 3)


def test_keys_may_be_replaced_until_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{AT_BOB}/allow_cross_signing_replacement"
    door = ScriptedDoor(**{path: (200, {"updatable_without_uia_before_ms": 1_700_000_000_000})})

    typed_at(door, user, "let-reset-keys", BOB)
    typed_at(door, user, "let-reset-keys", BOB, "--json")

    sentence, answer = capsys.readouterr().out.splitlines()
    assert sentence == f"{BOB} may replace their cross-signing keys until 2023-11-14 22:13:20 UTC."
    assert json.loads(answer) == {"user_id": BOB, "until_ms": 1_700_000_000_000}
    assert door.asked == [("POST", path, None)] * 2
