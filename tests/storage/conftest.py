"""A fresh, migrated database of either kind for every storage test, used without a reactor."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from homeserver.storage.database import Backend
from tests.databases import SyncDatabase, fresh_sqlite
from tests.postgres import Postgres, start_postgres


@cache
def one_postgres() -> Postgres:
    """The PostgreSQL server of this process, without waiting for the disk; it ends with the process."""
    return start_postgres(fsync=False)


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """A PostgreSQL server for the whole run: one for all folders that have this fixture."""
    return one_postgres()


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A fresh migrated database of either kind."""
    yield from fresh_backend(request, tmp_path)


def fresh_backend(request: pytest.FixtureRequest, folder: Path) -> Iterator[Backend]:
    """A fresh migrated database of the kind that is the fixture's parameter, for as long as the iteration lasts."""
    if request.param == "sqlite":
        yield fresh_sqlite(folder / "homeserver.db")
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.url_of_new_database()
    yield server.backend(url)
    server.give_back(url)


@pytest.fixture
def db(backend: Backend) -> Iterator[SyncDatabase]:
    """The same, with synchronous `write` and `read`."""
    database = SyncDatabase(backend)
    yield database
    database.close()
