"""Whose signatures an audit can check."""

from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import PublishedKey
from homeserver.core.signing import SigningKey
from homeserver.services.admin.known_keys import StoredKeys
from homeserver.storage.database import Transaction
from homeserver.storage.own_keys import use_own_key
from homeserver.storage.server_keys import StoredKey, store_server_keys
from tests.services.world import SERVER, World

ONE, TWO = ServerName("one.example"), ServerName("two.example")
FIRST, SECOND, THEIRS = (SigningKey(name, bytes([seed]) * 32).verify_key for seed, name in enumerate("abc"))


def known(world: World, keys: StoredKeys, server: ServerName) -> list[object]:
    def read(tx: Transaction) -> list[object]:
        return list(keys.of_server(tx, server))

    return world.sync_database.read(read)


def test_the_own_keys_are_known_the_old_ones_too(world: World) -> None:
    world.sync_database.write(use_own_key, FIRST, now_ms=1)
    world.sync_database.write(use_own_key, SECOND, now_ms=2)

    assert known(world, StoredKeys(SERVER, [SECOND]), SERVER) == [SECOND, FIRST]


def test_the_key_in_use_is_known_before_the_database_knows(world: World) -> None:
    assert known(world, StoredKeys(SERVER, [FIRST]), SERVER) == [FIRST]


def test_keys_of_others_are_known_as_far_as_they_were_stored(world: World) -> None:
    stored = StoredKey(PublishedKey(THEIRS, 5, 5), True, 1, ONE, bytes(32))  # noqa: FBT003
    world.sync_database.write(store_server_keys, ONE, [stored])
    keys = StoredKeys(SERVER, [FIRST])

    assert known(world, keys, ONE) == [THEIRS]
    assert known(world, keys, TWO) == []
