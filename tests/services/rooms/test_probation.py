"""Accounts that are new invite fewer, and no strangers if they may not."""

import pytest

from homeserver.core.identifiers import UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.services.errors import Forbidden
from homeserver.services.rate_limits import Counted, Draw
from homeserver.services.rooms.probation import Probation
from homeserver.storage.accounts import Account, AccountKind
from homeserver.storage.database import Transaction
from tests.services.world import ALICE, BOB, CAROL, World

DRAWN = Draw(Counted.INVITES_BY_NEWCOMER, ALICE, 2)


def newcomer(world: World, seconds: int = 60, own: RateLimit | None = None) -> Account:
    until_ms = world.clock.now_ms() + seconds * 1000
    return Account(ALICE, AccountKind.USER, 0, rate_limit=own, probation_until_ms=until_ms)


def drawn(world: World, probation: Probation, account: Account | None, *targets: UserID) -> list[Draw]:
    def draw(tx: Transaction) -> list[Draw]:
        return probation.invite_draws(tx, account, targets)

    return world.sync_database.read(draw)


def test_invites_of_newcomers_are_counted_until_they_are_none_any_more(world: World) -> None:
    probation, account = Probation(world.clock), newcomer(world)

    assert drawn(world, probation, account, BOB, CAROL) == [DRAWN]
    world.clock.advance(60)
    assert drawn(world, probation, account, BOB, CAROL) == []


def test_others_are_not_concerned(world: World) -> None:
    probation = Probation(world.clock, invites_strangers=False)

    for account in (None, Account(ALICE, AccountKind.USER, 0), newcomer(world, own=RateLimit(1, 1))):
        assert drawn(world, probation, account, BOB) == []


def test_newcomers_invite_those_whom_they_meet_and_no_strangers(world: World) -> None:
    probation, account = Probation(world.clock, invites_strangers=False), newcomer(world)
    room_id = world.create_room(BOB, preset="public_chat")
    world.join(ALICE, room_id)

    assert drawn(world, probation, account, BOB) == [Draw(Counted.INVITES_BY_NEWCOMER, ALICE, 1)]
    for targets in ((CAROL,), (BOB, CAROL), (UserID("@x:elsewhere.example"),)):
        with pytest.raises(Forbidden, match="new"):
            drawn(world, probation, account, *targets)
