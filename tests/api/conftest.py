"""A server for all tests of a run, on either kind of database, and new users for each test."""

from collections.abc import Iterator

import pytest

from tests.api.client import Client, new_administrator, new_user
from tests.conftest import DATABASES
from tests.postgres import Postgres
from tests.server import Server, new_server, running
from tests.storage.conftest import postgres

__all__ = ["admin", "alice", "bob", "carol", "mortal", "nobody", "postgres", "server", "sqlite_server"]


@pytest.fixture(scope="session")
def sqlite_server() -> Iterator[Server]:
    """A server on SQLite."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(postgres: Postgres) -> Iterator[Server]:
    """A server on PostgreSQL."""
    url = postgres.url_of_empty_database()
    with running(database=url) as server:
        yield server
    postgres.drop(url)


@pytest.fixture(scope="session", params=DATABASES)
def server(request: pytest.FixtureRequest) -> Server:
    """A running server, on either kind of database."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def mortal(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    """A server of one's own, to be killed."""
    url = "sqlite" if request.param == "sqlite" else postgres.url_of_empty_database()
    server = new_server(database=url)
    server.start()
    yield server
    server.close()


@pytest.fixture
def alice(server: Server) -> Client:
    """A new user."""
    return new_user(server.url, "alice")


@pytest.fixture
def bob(server: Server) -> Client:
    """Another one."""
    return new_user(server.url, "bob")


@pytest.fixture
def carol(server: Server) -> Client:
    """A third one."""
    return new_user(server.url, "carol")


@pytest.fixture
def admin(server: Server) -> Client:
    """An administrator of the server."""
    return new_administrator(server)


@pytest.fixture
def nobody(server: Server) -> Client:
    """Somebody without an account."""
    return Client(server.url)
