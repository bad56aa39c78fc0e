"""What is wrong with the database of a server that does not run, found without changing anything."""

import apsw
import psycopg2

from homeserver.settings.sections import Settings
from homeserver.storage import postgresql, sqlite
from homeserver.storage.database import DatabaseRefused
from homeserver.storage.migrations.runner import REVISIONS


def find_database_problem(settings: Settings) -> str | None:
    """Why the server could not use its database, as a sentence, or None. A database that is still to be made is fine.

    The file of SQLite must not be in use by a server.
    """
    try:
        if settings.database != "sqlite":
            postgresql.connect(settings.database).close()
        elif settings.sqlite_file.exists():
            sqlite.refuse_file(settings.sqlite_file, None, REVISIONS, sqlite.CHECK_S)
    except DatabaseRefused as refused:
        return refused.reason
    except (psycopg2.Error, apsw.Error, OSError) as problem:
        return f"the database cannot be used: {str(problem).strip()}"
    return None
