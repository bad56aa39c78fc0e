"""A new signing key for a server that runs: the file, the database and what is signed from then on."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from homeserver.core.signing import SigningKey
from homeserver.services.admin.key_rotation import KeyRotation
from homeserver.services.errors import Unavailable
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.storage.own_keys import own_keys
from tests.services.world import World, call_now, now

T = TypeVar("T")


class Crash(BaseException):
    """The process ends."""


def rotation(world: World, folder: Path, key: SigningKey | None = None) -> KeyRotation:
    """A server whose key is in a file of this folder."""
    file = folder / "signing.key"
    if key is not None:
        file.write_text(key.to_line())
    keys = OwnSigningKeys(SigningKey.from_line(file.read_text()))
    now(keys.note(world.database, world.clock))
    return KeyRotation(keys, file, world.database, call_now, world.clock, world.randomness)


def in_file(folder: Path) -> SigningKey:
    return SigningKey.from_line((folder / "signing.key").read_text())


def test_the_new_key_signs_and_is_in_the_file(world: World, tmp_path: Path) -> None:
    rotating = rotation(world, tmp_path, world.key)
    world.clock.advance(5)

    new = now(rotating.rotate())

    key_id, signature = rotating.keys.key_and_signature(b"message")
    assert new != world.key.verify_key
    assert key_id == new.key_id
    assert in_file(tmp_path).sign(b"message") == signature
    assert in_file(tmp_path).verify_key == new == rotating.keys.current
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("signing.key*")] == ["signing.key"]


def test_the_next_start_knows_the_old_key_and_when_it_was_replaced(world: World, tmp_path: Path) -> None:
    rotating = rotation(world, tmp_path, world.key)
    world.clock.advance(5)
    replaced_ms = world.clock.now_ms()
    now(rotating.rotate())
    world.clock.advance(5)

    again = rotation(world, tmp_path)

    assert [(old.verify_key, old.expired_ms) for old in again.keys.old] == [(world.key.verify_key, replaced_ms)]
    assert again.keys.old == rotating.keys.old


def test_keys_can_be_replaced_again_and_again(world: World, tmp_path: Path) -> None:
    rotating = rotation(world, tmp_path, world.key)

    used = [world.key.verify_key, *(now(rotating.rotate()) for _ in range(5))]

    assert len(set(used)) == 6
    assert set(rotating.keys) == set(used)
    assert {key.verify_key for key in world.sync_database.read(own_keys)} == set(used)


def test_a_file_that_cannot_be_written_leaves_everything_as_it_was(world: World, tmp_path: Path) -> None:
    rotating = rotation(world, tmp_path, world.key)
    (tmp_path / "signing.key.new").mkdir()

    with pytest.raises(Unavailable, match=r"signing\.key cannot be replaced"):
        now(rotating.rotate())

    assert rotating.keys.current == in_file(tmp_path).verify_key == world.key.verify_key
    assert rotating.keys.old == ()


@pytest.mark.parametrize("is_written", [False, True])
def test_a_crash_while_the_file_is_replaced_is_put_right_by_the_next_start(
    world: World, tmp_path: Path, is_written: bool
) -> None:
    async def crash(function: Callable[..., T], *arguments: object) -> T:
        if is_written:
            function(*arguments)
        raise Crash

    rotation(world, tmp_path, world.key)
    rotating = rotation(world, tmp_path)
    rotating._call_in_thread = crash
    with pytest.raises(Crash):
        now(rotating.rotate())
    world.clock.advance(5)

    again = rotation(world, tmp_path)

    assert again.keys.current == in_file(tmp_path).verify_key
    assert (again.keys.current == world.key.verify_key) is not is_written
    assert [old.verify_key for old in again.keys.old] == ([world.key.verify_key] if is_written else [])


def test_a_server_whose_database_fails_signs_by_the_key_in_the_file(world: World, tmp_path: Path) -> None:
    rotating = rotation(world, tmp_path, world.key)
    world.sync_database.close()

    with pytest.raises(Exception, match="closed"):
        now(rotating.rotate())

    assert rotating.keys.current == in_file(tmp_path).verify_key != world.key.verify_key
    assert [old.verify_key for old in rotating.keys.old] == [world.key.verify_key]
