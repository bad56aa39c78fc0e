"""Running servers of either kind of database, with a cast of people and rooms, and a judge of every answer."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.hostile.cast import SHARED_SECRET, Cast
from tests.hostile.judgement import Judge
from tests.hostile.tables import PostgreSQLTables, SQLiteTables, Tables
from tests.hostile.wire import Wire
from tests.postgres import Postgres
from tests.server import Server, running
from tests.storage.conftest import postgres

__all__ = ["postgres"]

SETTINGS: Final = {
    "registration": {"enabled": True, "require_token": False, "shared_secret": SHARED_SECRET},
    # An expired token, and whom else it may concern: nobody's token ends while the tests run.
    "access_token_lifetime_s": 24 * 60 * 60,
}


def _judge(server: Server, tables: Tables) -> Iterator[Judge]:
    judge = Judge(Cast(server.url, server.server_name, tables), tables, Wire(server.port.number))
    yield judge
    judge.wire.close()
    tables.close()


@pytest.fixture(scope="session")
def sqlite_judge() -> Iterator[Judge]:
    """A judge over a server on SQLite."""
    with running(settings=SETTINGS) as server:
        yield from _judge(server, SQLiteTables(server.sqlite_file))


@pytest.fixture(scope="session")
def postgresql_judge(postgres: Postgres) -> Iterator[Judge]:
    """A judge over a server on PostgreSQL."""
    url = postgres.url_of_empty_database()
    with running(database=url, settings=SETTINGS) as server:
        yield from _judge(server, PostgreSQLTables(url))
    postgres.drop(url)
