"""Where the administrators' API has rooms."""

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.room_paths import checked_alias, checked_event_id, room_path


def test_whatever_is_in_an_id_is_one_segment() -> None:
    assert room_path("!a/b:c") == f"{ADMIN_API}/rooms/%21a%2Fb%3Ac"
    assert room_path("!a:c", "aliases", "#x/y:c") == f"{ADMIN_API}/rooms/%21a%3Ac/aliases/%23x%2Fy%3Ac"


@pytest.mark.parametrize("room_id", ["", "#a:c", "a", "!a"])
def test_what_is_no_room_id_is_refused(room_id: str) -> None:
    with pytest.raises(CommandFailed, match="is no room ID"):
        room_path(room_id)


@pytest.mark.parametrize("event_id", ["", "$", "event"])
def test_what_a_shell_may_have_made_of_an_event_id_is_refused(event_id: str) -> None:
    with pytest.raises(CommandFailed, match="is no event ID, which begins with \\$"):
        checked_event_id(event_id)

    assert checked_event_id("$event") == "$event"


@pytest.mark.parametrize("name", ["", "salon", "#salon", "!a:c"])
def test_what_is_no_alias_is_refused(name: str) -> None:
    with pytest.raises(CommandFailed, match="is no alias: write it whole"):
        checked_alias(name)

    assert checked_alias("#salon:example.org") == "#salon:example.org"
