"""The own keys: one signs, and what the others signed is not forgotten, whatever happens in between."""

from homeserver.core.key_validity import PublishedKey
from homeserver.core.signing import SigningKey
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.storage.own_keys import own_keys, use_own_key
from tests.services.world import World, now

FIRST, SECOND, THIRD = (SigningKey(name, bytes([seed]) * 32) for seed, name in enumerate("abc"))


def started(world: World, key: SigningKey) -> OwnSigningKeys:
    """The keys of a server that starts with this key in its file."""
    keys = OwnSigningKeys(key)
    now(keys.note(world.database, world.clock))
    return keys


def expired(key: SigningKey, at_ms: int) -> PublishedKey:
    return PublishedKey(key.verify_key, at_ms, at_ms)


def test_a_new_server_has_one_key(world: World) -> None:
    keys = started(world, FIRST)

    assert list(keys) == [FIRST.verify_key]
    assert keys.current == FIRST.verify_key
    assert keys.old == ()


def test_whatever_signs_does_so_by_the_key_in_use(world: World) -> None:
    keys = started(world, FIRST)
    first = keys.key_and_signature(b"message")

    keys.use(SECOND, world.clock)

    assert first == (FIRST.key_id, FIRST.sign(b"message"))
    assert keys.key_and_signature(b"message") == (SECOND.key_id, SECOND.sign(b"message"))


def test_a_key_that_was_replaced_has_expired_even_before_the_database_knows(world: World) -> None:
    keys = started(world, FIRST)
    world.clock.advance(5)

    keys.use(SECOND, world.clock)

    assert keys.old == (expired(FIRST, world.clock.now_ms()),)
    assert list(keys) == [SECOND.verify_key, FIRST.verify_key]


def test_what_the_database_could_not_be_told_is_told_with_the_next_key(world: World) -> None:
    keys = started(world, FIRST)
    keys.use(SECOND, world.clock)
    world.clock.advance(5)
    keys.use(THIRD, world.clock)

    now(keys.note(world.database, world.clock))

    assert started(world, THIRD).old == keys.old
    assert [old.verify_key for old in keys.old] == [FIRST.verify_key, SECOND.verify_key]


def test_old_keys_are_known_after_a_restart(world: World) -> None:
    keys = started(world, FIRST)
    times = []
    for key in (SECOND, THIRD):
        world.clock.advance(5)
        times.append(world.clock.now_ms())
        keys.use(key, world.clock)
        now(keys.note(world.database, world.clock))
    world.clock.advance(5)

    again = started(world, THIRD)

    assert again.old == keys.old == (expired(FIRST, times[0]), expired(SECOND, times[1]))


def test_a_start_with_another_key_file_notes_that_the_key_before_has_expired(world: World) -> None:
    started(world, FIRST)
    world.clock.advance(5)

    keys = started(world, SECOND)

    assert keys.old == (expired(FIRST, world.clock.now_ms()),)
    assert started(world, SECOND).old == keys.old


def test_a_key_file_from_a_backup_makes_an_old_key_the_one_in_use(world: World) -> None:
    started(world, FIRST)
    started(world, SECOND)

    keys = started(world, FIRST)

    assert keys.current == FIRST.verify_key
    assert [old.verify_key for old in keys.old] == [SECOND.verify_key]


def test_a_start_that_changes_nothing_writes_nothing_anew(world: World) -> None:
    started(world, FIRST)
    before = world.sync_database.read(own_keys)
    world.clock.advance(5)

    started(world, FIRST)

    assert world.sync_database.read(own_keys) == before


def test_two_keys_in_use_are_put_right(world: World) -> None:
    for key in (FIRST, THIRD):
        world.sync_database.write(use_own_key, key.verify_key, now_ms=1)
    world.sync_database.write(lambda tx: tx.run("UPDATE own_keys SET expired_ms = NULL"))

    keys = started(world, SECOND)

    assert [old.verify_key for old in keys.old] == [FIRST.verify_key, THIRD.verify_key]
