"""Whether the database is sound in itself: asked of it while it is in use, for as long as that may take."""

import time
from dataclasses import dataclass

import apsw

from homeserver.storage.database import Backend
from homeserver.storage.sqlite import SQLiteBackend, connect


@dataclass(frozen=True, slots=True)
class DatabaseCheck:
    """The first damage that was found; and whether all was looked at."""

    damage: str | None
    is_whole: bool


def check_database(backend: Backend, limit_s: float) -> DatabaseCheck:
    """Look for damage for at most about `limit_s`. Blocks. PostgreSQL checks what it reads by itself.

    The structure of all pages of an SQLite file is looked at, not whether indexes agree with their tables.
    """
    if not isinstance(backend, SQLiteBackend):
        return DatabaseCheck(None, is_whole=False)
    try:
        answer = _quick_check(backend, limit_s)
    except apsw.InterruptError:
        return DatabaseCheck(None, is_whole=False)
    except apsw.CorruptError as damaged:
        return DatabaseCheck(str(damaged), is_whole=False)
    return DatabaseCheck(None if answer == "ok" else answer, is_whole=True)


def _quick_check(backend: SQLiteBackend, limit_s: float) -> str:
    until = time.monotonic() + limit_s
    connection = connect(backend.path, backend.vfs, readonly=True)
    try:
        connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        return str(connection.pragma("quick_check", 1))
    finally:
        connection.close()
