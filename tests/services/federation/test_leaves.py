"""Leaves of users of other servers: of rooms, of invites."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from tests.services.federation.others import FAR, FAY, NED, invite, join_remotely
from tests.services.federation.serving import Serving, finished, read
from tests.services.world import ALICE, now

# Any: JSON.


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def make(serving: Serving, room_id: RoomID, user_id: UserID = FAY) -> Any:
    return read(now(serving.leaves.make(FAR, room_id, user_id)))


def leave(serving: Serving, room_id: RoomID) -> None:
    encoded = finished(make(serving, room_id), FAY, "leave")
    now(serving.leaves.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))


@pytest.mark.parametrize("version", [name for name in ROOM_VERSIONS if int(name) > 2])
def test_a_user_of_another_server_leaves(serving: Serving, version: str) -> None:
    room_id = serving.room(room_version=version)
    join_remotely(serving.world, FAY, room_id)

    leave(serving, room_id)

    assert serving.member(room_id, FAY) == "leave"


@pytest.mark.parametrize("version", ["1", "10"])
def test_a_user_of_another_server_declines_an_invite(serving: Serving, version: str) -> None:
    room_id = serving.world.create_room(ALICE, preset="private_chat", room_version=version)
    invite(serving.world, ALICE, room_id, FAY)

    leave(serving, room_id)

    assert serving.member(room_id, FAY) == "leave"


def test_who_is_not_there_has_nothing_to_leave(serving: Serving) -> None:
    room_id = serving.room()

    with pytest.raises(AuthRejected):
        make(serving, room_id)


def test_nobody_leaves_for_users_of_others(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, NED, room_id)

    with pytest.raises(Forbidden):
        make(serving, room_id, NED)


def test_a_room_that_is_not_here_is_not_found(serving: Serving) -> None:
    with pytest.raises(NotFound):
        make(serving, RoomID("!nowhere:example.org"))


def test_a_join_is_no_leave(serving: Serving) -> None:
    room_id = serving.room()
    encoded = finished(read(now(serving.joins.make(FAR, room_id, FAY, ["12"]))), FAY, "join")

    with pytest.raises(InvalidParameter):
        now(serving.leaves.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))

    assert serving.member(room_id, FAY) is None


def test_the_path_names_the_event(serving: Serving) -> None:
    room_id = serving.room()
    join_remotely(serving.world, FAY, room_id)
    encoded = finished(make(serving, room_id), FAY, "leave")

    with pytest.raises(InvalidParameter):
        now(serving.leaves.send(FAR, room_id, EventID("$" + "A" * 43), encoded.event.pdu))

    assert serving.member(room_id, FAY) == "join"
