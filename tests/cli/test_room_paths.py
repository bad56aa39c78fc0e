"""Where the administrators' API has rooms."""

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.room_paths import room_path


def test_whatever_is_in_an_id_is_one_segment() -> None:
    assert room_path("!a/b:c") == f"{ADMIN_API}/rooms/%21a%2Fb%3Ac"
    assert room_path("!a:c", "aliases", "#x/y:c") == f"{ADMIN_API}/rooms/%21a%3Ac/aliases/%23x%2Fy%3Ac"


@pytest.mark.parametrize("room_id", ["", "#a:c", "a", "!a"])
def test_what_is_no_room_id_is_refused(room_id: str) -> None:
    with pytest.raises(CommandFailed, match="is no room ID"):
        room_path(room_id)
