"""Which database the configuration names, opened: SQLite in the data folder, or PostgreSQL by its URL.

What makes a database refused is in storage/sqlite.py and storage/postgresql.py.
"""

from pathlib import Path
from typing import Final

from homeserver.storage.database import Backend, DatabaseRefused
from homeserver.storage.postgresql import open_postgresql
from homeserver.storage.sqlite import open_sqlite

FILE_NAME: Final = "homeserver.db"


def open_backend(database: str, data_dir: Path) -> Backend:
    """Check the database that `database` names ("sqlite", or a URL), make it if it is new, and migrate it.

    Raises DatabaseRefused, with the database as it was, when this server should not write to it.
    """
    if database == "sqlite":
        return open_sqlite(data_dir / FILE_NAME)
    if database.startswith(("postgresql://", "postgres://")):
        return open_postgresql(database)
    raise DatabaseRefused('a database is "sqlite" or begins with postgresql://')
