"""What servers are told of this server's aliases and users, and of nobody else's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.core.identifiers import RoomAlias, UserID
from homeserver.services.errors import NotFound
from tests.services.federation.others import FAR, FAY, join_remotely
from tests.services.federation.serving import Serving, read
from tests.services.world import SERVER, now


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def test_an_alias_means_its_room_and_who_is_in_it(serving: Serving) -> None:
    room_id = serving.room(alias_localpart="square")
    join_remotely(serving.world, FAY, room_id)

    found = now(serving.queries.room(RoomAlias(f"#square:{SERVER}")))

    assert found == (room_id, [SERVER, FAR])


@pytest.mark.parametrize("room_alias", [f"#nowhere:{SERVER}", f"#square:{FAR}"])
def test_what_is_no_alias_of_this_server_is_not_found(serving: Serving, room_alias: str) -> None:
    serving.room(alias_localpart="square")

    with pytest.raises(NotFound):
        now(serving.queries.room(RoomAlias(room_alias)))


def test_a_profile_is_told_whole_or_by_field(serving: Serving) -> None:
    alice = serving.named("alice", "Alice")

    assert read(now(serving.queries.profile(alice, None))) == {"displayname": "Alice"}
    assert read(now(serving.queries.profile(alice, "displayname"))) == {"displayname": "Alice"}
    assert read(now(serving.queries.profile(alice, "avatar_url"))) == {}


@pytest.mark.parametrize("user_id", [f"@nobody:{SERVER}", FAY])
def test_of_others_there_is_no_profile(serving: Serving, user_id: UserID) -> None:
    with pytest.raises(NotFound):
        now(serving.queries.profile(user_id, None))
