"""A world of services for every test: on SQLite, and once more on PostgreSQL where all tests are run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.storage.database import Backend
from tests.conftest import DATABASES
from tests.services.world import World
from tests.storage.conftest import fresh_backend, postgres

__all__ = ["backend", "postgres", "shared_world", "world"]


@pytest.fixture(params=DATABASES)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A fresh migrated database."""
    yield from fresh_backend(request, tmp_path)


@pytest.fixture
def world(backend: Backend) -> Iterator[World]:
    """A server's services on a fresh database."""
    made = World(backend)
    yield made
    made.close()


@pytest.fixture(scope="module", params=DATABASES)
def shared_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server's services on one database for the tests of a file that leave it as they find it."""
    for opened in fresh_backend(request, tmp_path_factory.mktemp("shared")):
        made = World(opened)
        yield made
        made.close()
