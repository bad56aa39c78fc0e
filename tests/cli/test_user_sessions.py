"""`homeserver admin user sessions`, `sign-out` and `login-as`."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.user_sessions import MOST_AT_ONCE
from homeserver.cli.users import USERS, user
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

# Any: JSON, throughout.

BOB = "@bob:example.org"
AT_BOB = f"{USERS}/%40bob%3Aexample.org"
PHONE: dict[str, Any] = {
    "device_id": "PHONE",
    "display_name": "Bob's \x1b[31mphone",
    "last_seen_ts": 1_700_000_000_000,
    "last_seen_ip": "192.0.2.7",
    "last_seen_user_agent": "Element\r\n",
}
TABLET: dict[str, Any] = {
    "device_id": "TAB\x07LET",
    "display_name": None,
    "last_seen_ts": 1_700_000_100_000,
    "last_seen_ip": None,
    "last_seen_user_agent": None,
}


def bobs_door(*devices: dict[str, Any]) -> ScriptedDoor:
    return ScriptedDoor(
        **{
            f"{AT_BOB}/devices": (200, {"devices": list(devices), "total": len(devices)}),
            f"{AT_BOB}/login": (200, {"access_token": "secret"}),
        }
    )


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, user, *words)


def test_sessions_are_told_of_without_what_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run(bobs_door(PHONE, TABLET), "sessions", BOB)

    assert capsys.readouterr().out == (
        r"PHONE (Bob's \u001b[31mphone), last seen 2023-11-14 22:13:20 UTC from 192.0.2.7 by Element\r\n"
        "\n"
        r"TAB\u0007LET, last seen 2023-11-14 22:15:00 UTC"
        "\n"
    )


def test_sessions_are_told_of_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(bobs_door(PHONE, TABLET), "sessions", BOB, "--json")

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [PHONE, TABLET]


def test_one_device_is_signed_out(capsys: pytest.CaptureFixture[str]) -> None:
    door = bobs_door(PHONE, TABLET)

    run(door, "sign-out", BOB, "PHONE", "PHONE", "--yes")

    assert door.asked[1:] == [("POST", f"{AT_BOB}/delete_devices", {"devices": ["PHONE"]})]
    assert capsys.readouterr().out == f"Signed device PHONE of {BOB} out.\n"


def test_all_devices_are_signed_out_however_many(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"D{number}" for number in range(MOST_AT_ONCE + 1)]
    door = bobs_door(*({**PHONE, "device_id": name} for name in names))

    run(door, "sign-out", BOB, "--all", "--yes")

    asked = [body["devices"] for method, _, body in door.asked if method == "POST"]
    assert asked == [names[:-1], names[-1:]]
    assert capsys.readouterr().out == f"Signed {len(names)} devices of {BOB} out.\n"


def test_a_dry_run_signs_nobody_out(capsys: pytest.CaptureFixture[str]) -> None:
    door = bobs_door(PHONE, TABLET)

    run(door, "sign-out", BOB, "--all", "--dry-run")

    assert [method for method, _, _ in door.asked] == ["GET"]
    assert capsys.readouterr().out == f"Would sign 2 devices of {BOB} out. Nothing was changed.\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "name devices, or say --all"),
        (("PHONE", "--all"), "name devices, or say --all"),
        (("PHONE", "GHOST"), "has no device GHOST"),
    ],
)
def test_who_is_meant_must_be_clear(words: tuple[str, ...], reason: str) -> None:
    door = bobs_door(PHONE)

    with pytest.raises(CommandFailed, match=reason):
        run(door, "sign-out", BOB, *words, "--yes")

    assert all(method == "GET" for method, _, _ in door.asked)


def test_a_token_of_somebody_is_printed_and_counts_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    door, before = bobs_door(), datetime.now(UTC).timestamp()

    run(door, "login-as", BOB)
    run(door, "login-as", BOB, "--valid-for", "7d", "--json")

    hour, week = (body["valid_until_ms"] / 1000 - before for _, _, body in door.asked)
    assert [asked[:2] for asked in door.asked] == [("POST", f"{AT_BOB}/login")] * 2
    assert (round(hour / 3600), round(week / 86_400)) == (1, 7)
    token, answer = capsys.readouterr().out.splitlines()
    assert token == "secret"
    assert json.loads(answer)["access_token"] == "secret"
