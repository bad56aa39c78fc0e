"""Which database the configuration names, opened: SQLite in the data folder, or PostgreSQL by its URL.

What makes a database refused is in storage/sqlite.py and storage/postgresql.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from homeserver.storage.database import Backend, DatabaseRefused
from homeserver.storage.migrations.runner import Revision
from homeserver.storage.postgresql import fill_postgresql, open_postgresql
from homeserver.storage.sqlite import fill_sqlite, open_sqlite
from homeserver.storage.whole_tables import Filling

FILE_NAME: Final = "homeserver.db"
POSTGRESQL: Final = ("postgresql://", "postgres://")
NEITHER: Final = 'a database is "sqlite" or begins with postgresql://'


def open_backend(database: str, data_dir: Path) -> Backend:
    """Check the database that `database` names ("sqlite", or a URL), make it if it is new, and migrate it.

    Raises DatabaseRefused, with the database as it was, when this server should not write to it.
    """
    if database == "sqlite":
        return open_sqlite(data_dir / FILE_NAME)
    if database.startswith(POSTGRESQL):
        return open_postgresql(database)
    raise DatabaseRefused(NEITHER)


def fill_database(database: str, data_dir: Path, revisions: Sequence[Revision]) -> Filling:
    """The database that `database` names, to be filled; with the schema that these revisions make.

    Raises NotFilled unless it is new, and DatabaseRefused as open_backend.
    """
    if database == "sqlite":
        return fill_sqlite(data_dir / FILE_NAME, revisions)
    if database.startswith(POSTGRESQL):
        return fill_postgresql(database, revisions)
    raise DatabaseRefused(NEITHER)
