"""Accounts that must be this server's."""

import pytest

from homeserver.core.identifiers import UserID
from homeserver.services.accounts.local_accounts import local_account, open_account
from homeserver.services.errors import InvalidParameter, NotFound
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, SERVER, World, now


def test_a_user_of_this_server_is_found_until_the_account_is_closed(world: World) -> None:
    register(world, "alice")
    assert now(world.database.read(open_account, ALICE, SERVER)).user_id == ALICE

    now(world.deactivation.deactivate(ALICE, erase=False))

    assert now(world.database.read(local_account, ALICE, SERVER)).is_deactivated
    with pytest.raises(NotFound, match="The account is closed"):
        now(world.database.read(open_account, ALICE, SERVER))


def test_nobody_else_is(world: World) -> None:
    with pytest.raises(NotFound, match="no such user here"):
        now(world.database.read(local_account, BOB, SERVER))
    with pytest.raises(InvalidParameter, match="not a user of this server"):
        now(world.database.read(local_account, UserID("@eve:elsewhere.example"), SERVER))
