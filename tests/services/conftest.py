"""A world of services for every test, on either kind of database."""

from collections.abc import Iterator

import pytest

from homeserver.storage.database import Backend
from tests.services.world import World
from tests.storage.conftest import backend, postgres

__all__ = ["backend", "postgres", "world"]


@pytest.fixture
def world(backend: Backend) -> Iterator[World]:
    """A server's services on a fresh database."""
    made = World(backend)
    yield made
    made.close()
