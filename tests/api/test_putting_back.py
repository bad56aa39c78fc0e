"""A server whose data is put back to a backup: what it can do but once is not done a second time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.client import Client, new_user
from tests.api.test_device_keys import SIGNED, claim, one_time, publish
from tests.conftest import DATABASES
from tests.postgres import Postgres
from tests.server import Server, new_server


@pytest.fixture(params=DATABASES)
def fresh(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    """A server of one's own that does not run yet."""
    url = "sqlite" if request.param == "sqlite" else postgres.url_of_empty_database()
    server = new_server(database=url)
    yield server
    server.close()


def copy_database(server: Server, postgres: Postgres, folder: Path) -> str:
    """A backup of the database alone, of a server that does not run: where it is."""
    database: str = server.settings["database"]
    if database == "sqlite":
        return str(shutil.copy2(server.sqlite_file, folder / "backup.db"))
    return postgres.url_of_copy(database)


def put_back(server: Server, backup: str) -> None:
    """Put a backup of the database in the place of the database."""
    if server.settings["database"] == "sqlite":
        shutil.copyfile(backup, server.sqlite_file)  # into the file that is there, as `cp` does
    else:
        server.settings["database"] = backup


def two_users(server: Server) -> tuple[Client, Client]:
    """Alice, with one-time keys A and B and a fallback key, and Bob."""
    alice, bob = new_user(server.url, "alice"), new_user(server.url, "bob")
    keys = {f"{SIGNED}:{name}": one_time(alice, name) for name in "AB"}
    publish(alice, one_time_keys=keys, fallback_keys={f"{SIGNED}:F": one_time(alice, "F")})
    return alice, bob


def test_keys_that_were_claimed_since_the_backup_are_not_claimed_again(
    fresh: Server, postgres: Postgres, tmp_path: Path
) -> None:
    fresh.start()
    alice, bob = two_users(fresh)
    since = alice.token()
    fresh.stop()
    backup = copy_database(fresh, postgres, tmp_path)
    fresh.start()
    claimed = claim(bob, alice)
    fresh.stop()

    put_back(fresh, backup)
    fresh.start()

    assert claimed == {f"{SIGNED}:A": one_time(alice, "A")}
    assert claim(bob, alice).keys() == {f"{SIGNED}:F"}  # though Alice has not come back yet
    body = alice.sync(since)
    assert body["device_one_time_keys_count"] == {SIGNED: 0}
    assert body["device_unused_fallback_key_types"] == []
    publish(alice, one_time_keys={f"{SIGNED}:C": one_time(alice, "C")})
    assert claim(bob, alice).keys() == {f"{SIGNED}:C"}


def test_so_it_is_when_all_that_the_server_has_is_put_back_and_not_when_it_was_killed(
    sqlite_only: Server, tmp_path: Path
) -> None:
    sqlite_only.start()
    alice, bob = two_users(sqlite_only)
    sqlite_only.kill()
    sqlite_only.start()
    after_the_kill = claim(bob, alice)
    sqlite_only.stop()
    shutil.copytree(sqlite_only.data_dir, tmp_path / "backup")

    shutil.rmtree(sqlite_only.data_dir)
    shutil.copytree(tmp_path / "backup", sqlite_only.data_dir)
    sqlite_only.start()

    assert after_the_kill.keys() == {f"{SIGNED}:A"}
    assert claim(bob, alice).keys() == {f"{SIGNED}:F"}


@pytest.fixture
def sqlite_only() -> Iterator[Server]:
    """A server on SQLite of one's own that does not run yet."""
    server = new_server()
    yield server
    server.close()
