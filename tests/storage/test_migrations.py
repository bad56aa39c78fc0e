"""The schema's history: applied once, in order, on both databases; what does not belong to it is refused."""

import hashlib
import threading
from pathlib import Path

import apsw
import psycopg2
import pytest

from homeserver.storage import dialect
from homeserver.storage.database import Backend, DatabaseRefused
from homeserver.storage.migrations.runner import REVISIONS, Revision, revisions_in, statements_for
from homeserver.storage.postgresql import open_postgresql
from homeserver.storage.sqlite import open_sqlite
from tests.databases import SyncDatabase
from tests.postgres import Postgres

FOUNDATION = REVISIONS[0]
THINGS = Revision(2, "things", "CREATE TABLE things (name TEXT NOT NULL PRIMARY KEY, size DOUBLE);")
MORE = Revision(3, "more", "ALTER TABLE things ADD COLUMN digest BYTES;\nINSERT INTO things (name) VALUES ('a;b');")
BROKEN = Revision(4, "broken", "CREATE TABLE others (name TEXT);\nINSERT INTO nowhere (name) VALUES ('x');")

APPLIED = "SELECT number, name FROM schema_revisions ORDER BY number"
NAMES = "SELECT name, size, digest FROM things"
COUNT_OTHERS = {
    "sqlite": "SELECT count(*) FROM sqlite_schema WHERE name = 'others'",
    "postgresql": "SELECT count(*) FROM pg_class WHERE relname = 'others'",
}


class Place:
    """Where a database is, or will be."""

    def __init__(self, location: Path | str) -> None:
        self.location = location

    def open(self, *revisions: Revision) -> Backend:
        if isinstance(self.location, Path):
            return open_sqlite(self.location, revisions=revisions)
        return open_postgresql(self.location, revisions=revisions)

    def rows(self, backend: Backend, sql: str) -> list[tuple[object, ...]]:
        reader = backend.open_reader()
        reader.begin()
        rows = reader.transaction.all(sql)
        reader.end()
        reader.close()
        return rows


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place(tmp_path / "homeserver.db")
    server: Postgres = request.getfixturevalue("postgres")
    return Place(server.url_of_empty_database())


def test_revisions_are_applied_once_and_in_order(place: Place) -> None:
    place.open(FOUNDATION, THINGS)
    place.open(FOUNDATION, THINGS, MORE)
    backend = place.open(FOUNDATION, THINGS, MORE)

    assert place.rows(backend, APPLIED) == [(1, "foundation"), (2, "things"), (3, "more")]
    assert place.rows(backend, NAMES) == [("a;b", None, None)]


def test_a_newer_schema_is_refused(place: Place) -> None:
    place.open(FOUNDATION, THINGS)

    with pytest.raises(DatabaseRefused, match="schema revision 2, which this version does not know"):
        place.open(FOUNDATION)


def test_a_revision_that_has_changed_is_refused(place: Place) -> None:
    place.open(FOUNDATION, THINGS)

    with pytest.raises(DatabaseRefused, match="has changed since it was applied"):
        place.open(FOUNDATION, Revision(2, "things", THINGS.sql + "\n"))


def test_a_revision_that_comes_too_late_is_refused(place: Place) -> None:
    place.open(FOUNDATION, MORE_WITHOUT_THINGS)

    with pytest.raises(DatabaseRefused, match="lacks schema revision 2"):
        place.open(FOUNDATION, THINGS, MORE_WITHOUT_THINGS)


MORE_WITHOUT_THINGS = Revision(3, "more", "CREATE TABLE more (name TEXT);")


def test_a_revision_that_fails_leaves_nothing(place: Place) -> None:
    with pytest.raises((apsw.SQLError, psycopg2.errors.UndefinedTable)):
        place.open(FOUNDATION, THINGS, MORE, BROKEN)

    backend = place.open(FOUNDATION, THINGS, MORE)
    assert place.rows(backend, COUNT_OTHERS[backend.dialect.name]) == [(0,)]


def test_a_refused_file_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    open_sqlite(path, revisions=(FOUNDATION, THINGS))
    before = hashlib.sha256(path.read_bytes()).digest()

    with pytest.raises(DatabaseRefused):
        open_sqlite(path, revisions=(FOUNDATION,))

    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_processes_that_start_at_once_migrate_once(postgres: Postgres) -> None:
    place = Place(postgres.url_of_empty_database())
    errors: list[Exception] = []

    def start() -> None:
        try:
            place.open(FOUNDATION, THINGS, MORE)
        except psycopg2.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(place.rows(place.open(FOUNDATION, THINGS, MORE), APPLIED)) == 3


def test_statements_end_at_semicolons_that_are_not_quoted() -> None:
    sql = """
        -- a comment; with a semicolon
        INSERT INTO t (a) VALUES ('x;y''z');  -- another
        SELECT 1 - 1, "odd;name";
        -- @sqlite
        SELECT 'sqlite';
        -- @postgresql
        SELECT 'postgresql';
        -- @both
        SELECT 'both';
        -- the end
    """

    statements = {kind.name: list(statements_for(sql, kind)) for kind in (dialect.sqlite(), dialect.postgresql())}

    first = ["INSERT INTO t (a) VALUES ('x;y''z')", 'SELECT 1 - 1, "odd;name"']
    assert statements == {
        "sqlite": [*first, "SELECT 'sqlite'", "SELECT 'both'"],
        "postgresql": [*first, "SELECT 'postgresql'", "SELECT 'both'"],
    }


def test_the_statements_of_a_trigger_stay_in_it() -> None:
    trigger = "CREATE TRIGGER a BEFORE DELETE ON t BEGIN SELECT 1; SELECT 2; END"

    statements = list(statements_for(f"{trigger};\n{trigger};\nSELECT 3;", dialect.sqlite()))

    assert statements == [trigger, trigger, "SELECT 3"]


@pytest.mark.parametrize("sql", ["CREATE TRIGGER a DELETE ON t BEGIN SELECT 1;", "SELECT 1", "SELECT -- @sqlite\n 1;"])
def test_a_revision_that_cannot_be_split_is_an_error(sql: str) -> None:
    with pytest.raises(ValueError):
        list(statements_for(sql, dialect.sqlite()))


def test_files_have_a_number_and_a_name(tmp_path: Path) -> None:
    (tmp_path / "0002_b.sql").write_text("SELECT 2;")
    (tmp_path / "0001_a.sql").write_text("SELECT 1;")

    assert [(revision.number, revision.name) for revision in revisions_in(tmp_path)] == [(1, "a"), (2, "b")]

    (tmp_path / "0002_c.sql").write_text("SELECT 3;")
    with pytest.raises(ValueError, match="twice"):
        revisions_in(tmp_path)
    (tmp_path / "0002_c.sql").rename(tmp_path / "c.sql")
    with pytest.raises(ValueError, match="not a name"):
        revisions_in(tmp_path)


def test_the_whole_history_applies_step_by_step_as_at_once(place: Place, tmp_path: Path) -> None:
    for upto in range(1, len(REVISIONS) + 1):
        backend = place.open(*REVISIONS[:upto])

    rows = place.rows(backend, APPLIED)
    assert rows == [(revision.number, revision.name) for revision in REVISIONS]


def test_both_databases_have_the_same_tables(tmp_path: Path, postgres: Postgres) -> None:
    sqlite, postgresql = open_sqlite(tmp_path / "homeserver.db"), open_postgresql(postgres.url_of_empty_database())

    sqlite_columns = set(Place("").rows(sqlite, SQLITE_COLUMNS))
    postgresql_columns = set(Place("").rows(postgresql, POSTGRESQL_COLUMNS))

    differing = {table for table, _ in sqlite_columns ^ postgresql_columns}
    assert differing <= TABLES_OF_ONE_DATABASE


TABLES_OF_ONE_DATABASE: frozenset[str] = frozenset({"search_index"})  # full text: each database has its own way
SQLITE_COLUMNS = """
    SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
     WHERE t.schema = 'main' AND t.type <> 'shadow' AND t.name NOT LIKE 'sqlite_%'"""
POSTGRESQL_COLUMNS = """
    SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'"""


def test_a_migrated_database_says_so(db: SyncDatabase) -> None:
    rows = db.read(lambda tx: tx.all(APPLIED))

    assert [row[0] for row in rows] == [revision.number for revision in REVISIONS]
