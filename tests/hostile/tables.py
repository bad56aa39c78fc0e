"""What is in the database, seen from beside the server: which rows a refused request has changed, if any.

A transaction that reads keeps the sight of how things were; whether anything was written since is asked cheaply.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import apsw
import psycopg2
import psycopg2.extensions

from homeserver.storage.schema import TABLES

# Who was seen when and from where is written whatever the answer is.
# That a policy list is carried out is noted by and by: also when its rules are others, and befall nobody.
NOT_COMPARED: Final[Mapping[str, frozenset[str]]] = {
    "devices": frozenset({"last_seen_ms", "last_seen_ip", "last_seen_user_agent"}),
    "policy_lists": frozenset({"applied"}),
}
# What is sent to another server, and that it cannot be reached, is noted after the answer to whoever named it; so is up
# to where the policy lists were heeded. What an administrator was refused is written down as well.
NOT_LOOKED_AT: Final = frozenset(
    {"admin_audit", "failing_destinations", "outboxes", "outgoing_position", "policy_position"}
)
SHOWN_ROWS: Final = 3
DUE: Final = (
    "SELECT job_id FROM admin_jobs WHERE status IN ('scheduled', 'active') "
    "UNION ALL SELECT room_id FROM policy_lists "
    "WHERE ends OR (applied IS NULL AND (on_server OR on_rooms <> 'none')) "
    "UNION ALL SELECT delay_id FROM delayed_events WHERE finalised_ms IS NULL AND send_ms <= "
)
SOON_MS: Final = 2_000
PATIENCE_S: Final = 30.0

Rows = Counter[tuple[object, ...]]


class Tables(ABC):
    """The database of a running server."""

    def changes(self) -> list[str]:
        """What differs from how it was at the last `mark`, as sentences; then mark."""
        if not self.was_written():
            return []
        found = []
        for table in TABLES:
            if table.name in NOT_LOOKED_AT:
                continue
            before, after = self.rows(table.name, at_mark=True), self.rows(table.name, at_mark=False)
            if before != after:
                gone, new = list((before - after).elements()), list((after - before).elements())
                told = f"gone {gone[:SHOWN_ROWS]}, new {new[:SHOWN_ROWS]}"
                found.append(f"{table.name}: {len(gone)} rows gone, {len(new)} rows new: {told:.2000}")
        self.mark()
        return found

    def settle(self) -> None:
        """Wait until what was given to be sent within moments was sent, and what was to be done by and by is done.

        It would look like the next request's doing.
        """
        until_s = time.monotonic() + SOON_MS / 1000 + PATIENCE_S
        while self.are_due(int(time.time() * 1000) + SOON_MS):
            assert time.monotonic() < until_s, "a delayed event is not sent in time, or a job or a list does not end"
            time.sleep(0.01)

    @abstractmethod
    def are_due(self, until_ms: int) -> bool:
        """Whether delayed events are to be sent by then, or jobs of administrators go on, or policy lists do."""

    @abstractmethod
    def mark(self) -> None:
        """Remember how things are."""

    @abstractmethod
    def was_written(self) -> bool:
        """False when nothing was committed since the last mark."""

    @abstractmethod
    def rows(self, table: str, *, at_mark: bool) -> Rows:
        """The rows of a table: as they are now, or as they were at the last mark."""

    @abstractmethod
    def expire_tokens(self, device_id: str) -> None:
        """Let the access tokens of a device have expired long ago."""

    @abstractmethod
    def close(self) -> None:
        """Let the database go."""


class SQLiteTables(Tables):
    """A file, which another process writes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._then = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        self._now = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        self._version = 0
        self._columns: dict[str, str] = {}
        for table in TABLES:
            names = [row[1] for row in self._now.execute(f"PRAGMA table_info({table.name})")]
            self._columns[table.name] = _compared(table.name, [str(name) for name in names])
        self.mark()

    def mark(self) -> None:
        """Remember how things are."""
        if self._then.in_transaction:
            self._then.execute("ROLLBACK")
        # The order makes a write in between seem too new, never too old.
        self._version = self._data_version()
        self._then.execute("BEGIN; SELECT value FROM log_position").fetchall()

    def was_written(self) -> bool:
        """False when nothing was committed since the last mark."""
        return self._data_version() != self._version

    def rows(self, table: str, *, at_mark: bool) -> Rows:
        """The rows of a table: as they are now, or as they were at the last mark."""
        connection = self._then if at_mark else self._now
        return Counter(connection.execute(f"SELECT {self._columns[table]} FROM {table}").fetchall())

    def are_due(self, until_ms: int) -> bool:
        """Whether delayed events are to be sent by then, or jobs of administrators go on, or policy lists do."""
        return bool(self._now.execute(f"{DUE}{until_ms}").fetchall())

    def expire_tokens(self, device_id: str) -> None:
        """Let the access tokens of a device have expired long ago."""
        writing = apsw.Connection(str(self._file), flags=apsw.SQLITE_OPEN_READWRITE)
        writing.set_busy_timeout(10_000)
        writing.execute("UPDATE access_tokens SET expires_ms = 1 WHERE device_id = ?", (device_id,))
        writing.close()

    def close(self) -> None:
        """Let the database go."""
        self._then.close()
        self._now.close()

    def _data_version(self) -> int:
        found = self._now.pragma("data_version")
        assert isinstance(found, int)
        return found


class PostgreSQLTables(Tables):
    """A database of a PostgreSQL server."""

    def __init__(self, url: str) -> None:
        self._then = _connect(url)
        self._now = _connect(url)
        self._now.autocommit = True
        self._version = ""
        self._columns: dict[str, str] = {}
        for table in TABLES:
            found = _all(
                self._now, f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table.name}'"
            )
            self._columns[table.name] = _compared(table.name, [str(name) for (name,) in found])
        self.mark()

    def mark(self) -> None:
        """Remember how things are."""
        self._then.rollback()
        self._version = self._next_transaction()
        _all(self._then, "SELECT value FROM log_position")

    def was_written(self) -> bool:
        """False when no transaction that writes has begun since the last mark."""
        return self._next_transaction() != self._version

    def rows(self, table: str, *, at_mark: bool) -> Rows:
        """The rows of a table: as they are now, or as they were at the last mark."""
        found = _all(self._then if at_mark else self._now, f"SELECT {self._columns[table]} FROM {table}")
        return Counter(
            tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in found
        )

    def are_due(self, until_ms: int) -> bool:
        """Whether delayed events are to be sent by then, or jobs of administrators go on, or policy lists do."""
        return bool(_all(self._now, f"{DUE}{until_ms}"))

    def expire_tokens(self, device_id: str) -> None:
        """Let the access tokens of a device have expired long ago."""
        with self._now.cursor() as cursor:
            cursor.execute("UPDATE access_tokens SET expires_ms = 1 WHERE device_id = %s", (device_id,))

    def close(self) -> None:
        """Let the database go."""
        self._then.close()
        self._now.close()

    def _next_transaction(self) -> str:
        return str(_all(self._now, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0][0])


def _connect(url: str) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(url)
    connection.set_session(isolation_level="REPEATABLE READ")
    return connection


def _all(connection: psycopg2.extensions.connection, sql: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _compared(table: str, columns: list[str]) -> str:
    assert columns, f"there is no table {table}"
    return ", ".join(column for column in columns if column not in NOT_COMPARED.get(table, ()))
