"""`homeserver admin room event`."""

import json

import click
import pytest

from homeserver.cli.room_events import event
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor


@click.group()
def room() -> None:
    """Rooms."""


room.add_command(event)


def test_an_event_is_printed_without_what_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"event_id": "$a/b", "content": {"body": "\x1b[31mred"}}
    door = ScriptedDoor(**{"/_columba/admin/v1/events/%24a%2Fb": (200, {"event": found})})

    typed_at(door, room, "event", "$a/b")
    for_people = capsys.readouterr().out
    typed_at(door, room, "event", "$a/b", "--json")

    assert json.loads(for_people) == json.loads(capsys.readouterr().out) == found
    assert "\x1b" not in for_people
    assert len(for_people.splitlines()) > 1
