"""Users who are let replace their cross-signing keys."""

import pytest

from homeserver.core.identifiers import UserID
from homeserver.services.admin.user_keys import LASTS_MS, UserKeys
from homeserver.services.errors import InvalidParameter, NotFound
from tests.services.accounts.people import register
from tests.services.e2ee.signed_keys import identity
from tests.services.world import ALICE, BOB, SERVER, World, now


@pytest.fixture
def keys(world: World) -> UserKeys:
    for name in ("alice", "bob"):
        register(world, name)
    return UserKeys(world.database, world.clock, SERVER)


def publish(world: World, generation: str, user_id: UserID = ALICE) -> bool:
    """Publish keys of a user, who shows no password; whether that was let."""
    uploaded = identity(user_id, generation)
    return now(world.cross_signing.upload_keys(user_id, uploaded, is_authenticated=False))


def test_a_user_who_is_let_replaces_their_keys_once(world: World, keys: UserKeys) -> None:
    assert publish(world, "first")
    assert not publish(world, "second")

    until_ms = now(keys.let_replace(ALICE))

    assert until_ms == world.clock.now_ms() + LASTS_MS
    assert publish(world, "second")
    assert publish(world, "second")  # the same keys again, as after an answer that was lost
    assert not publish(world, "third")


def test_only_who_is_let_may_and_not_for_ever(world: World, keys: UserKeys) -> None:
    for user_id in (ALICE, BOB):
        assert publish(world, "first", user_id)

    now(keys.let_replace(ALICE))

    assert not publish(world, "second", BOB)
    world.clock.advance(LASTS_MS // 1000)
    assert not publish(world, "second", ALICE)


def test_who_has_no_keys_or_is_not_here_is_not_found(world: World, keys: UserKeys) -> None:
    for user_id in (ALICE, UserID(f"@nobody:{SERVER}")):
        with pytest.raises(NotFound):
            now(keys.let_replace(user_id))
    with pytest.raises(InvalidParameter):
        now(keys.let_replace(UserID("@eve:elsewhere.example")))
