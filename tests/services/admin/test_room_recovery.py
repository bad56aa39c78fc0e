"""Power and entry that administrators give, in the name of users of this server who are in the room."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.admin.room_recovery import RoomRecovery
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.storage.accounts import Account, AccountKind, insert_account
from tests.services.world import ALICE, BOB, SERVER, World, now

NO_POWER_TO_GIVE = {"users": {ALICE: 40}, "events": {"m.room.power_levels": 50}}


@pytest.fixture
def recovery(world: World) -> RoomRecovery:
    """Of a server on which Bob has an account."""
    account = Account(BOB, AccountKind.USER, created_ms=0)
    world.sync_database.write(insert_account, account)
    return RoomRecovery(world.database, world.event_creation, world.anywhere, SERVER)


def levels(world: World, room_id: RoomID) -> Any:  # Any: JSON
    return now(world.timeline.state_event(world.viewer(ALICE), room_id, "m.room.power_levels", "", whole_event=False))


def membership(world: World, room_id: RoomID, user_id: UserID) -> Any:  # Any: JSON
    found: Any = now(
        world.timeline.state_event(world.viewer(ALICE), room_id, "m.room.member", user_id, whole_event=False)
    )
    return found["membership"]


@pytest.mark.parametrize("version", ["1", "11", "12"])
def test_a_user_gets_the_power_of_the_strongest_who_is_there_and_an_invite(
    world: World, recovery: RoomRecovery, version: str
) -> None:
    room_id = world.create_room(ALICE, room_version=version)

    now(recovery.make_admin(room_id, BOB))
    now(recovery.make_admin(room_id, BOB))

    assert levels(world, room_id)["users"][BOB] == 100
    assert membership(world, room_id, BOB) == "invite"


def test_where_nobody_of_this_server_has_the_power_it_is_said_so_and_nothing_changes(
    world: World, recovery: RoomRecovery
) -> None:
    room_id = world.create_room(ALICE, room_version="11")
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", NO_POWER_TO_GIVE))
    before = world.history(ALICE, room_id)

    with pytest.raises(Forbidden, match="may change who has power"):
        now(recovery.make_admin(room_id, BOB))

    assert world.history(ALICE, room_id) == before


def test_a_user_is_brought_into_a_room_that_needs_an_invite(world: World, recovery: RoomRecovery) -> None:
    room_id = world.create_room(ALICE)

    assert now(recovery.join(BOB, room_id, via=())) == room_id
    assert now(recovery.join(BOB, room_id, via=())) == room_id

    assert membership(world, room_id, BOB) == "join"


def test_who_is_banned_is_not_brought_in(world: World, recovery: RoomRecovery) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    now(world.membership.ban(ALICE, room_id, BOB, None))

    with pytest.raises(Forbidden):
        now(recovery.join(BOB, room_id, via=()))
    with pytest.raises(Forbidden):
        now(recovery.make_admin(room_id, BOB))

    assert membership(world, room_id, BOB) == "ban"


def test_users_of_other_servers_and_those_who_are_not_are_refused(world: World, recovery: RoomRecovery) -> None:
    room_id = world.create_room(ALICE)

    for user_id, error in ((UserID("@eve:elsewhere.example"), InvalidParameter), (UserID(f"@no:{SERVER}"), NotFound)):
        with pytest.raises(error):
            now(recovery.make_admin(room_id, user_id))
        with pytest.raises(error):
            now(recovery.join(user_id, room_id, via=()))
    with pytest.raises(NotFound):
        now(recovery.make_admin(RoomID("!none:example.org"), BOB))
