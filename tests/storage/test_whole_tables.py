"""Whole tables of either database: read as of one moment, and written into one that is new."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from homeserver.storage.migrations.runner import REVISIONS
from homeserver.storage.opening import fill_database, open_backend
from homeserver.storage.schema import TABLES
from homeserver.storage.whole_tables import NOT_COPIED, Filling, Kind, NotFilled, Snapshot, SnapshotLost, TableShape
from tests.databases import SyncDatabase
from tests.postgres import Postgres

INSERT = """
    INSERT INTO profile_fields (user_id, name, value) VALUES (:user_id, :name, :value)"""
INSERT_USER = """
    INSERT INTO users (user_id, kind, password_hash, created_ms, is_admin, is_deactivated, is_erased, is_locked,
                       is_suspended, is_shadow_banned, is_rate_limited)
    VALUES (:user_id, 'user', :password, 1, :yes, :no, :no, :no, :no, :no, :yes)"""
ODD = 'tab\there, line\nbreak\r, back\\slash, \\N, "quoted", \N{PILE OF POO}'


def add(database: SyncDatabase, number: int) -> None:
    database.write(lambda tx: tx.run(INSERT, user_id=f"@{number}", name=ODD, value=bytes(range(256))))


def shape_of(tables: Snapshot | Filling, name: str) -> TableShape:
    return next(shape for shape in tables.shapes() if shape.name == name)


def test_every_table_is_there_but_what_each_database_makes_for_itself(db: SyncDatabase) -> None:
    snapshot = db.backend.open_snapshot()

    names = [shape.name for shape in snapshot.shapes()]

    assert names == sorted({table.name for table in TABLES} - NOT_COPIED)
    assert snapshot.revisions() == {revision.number: revision.sha256 for revision in REVISIONS}
    assert snapshot.find_damage() is None
    snapshot.close()


def test_both_databases_have_columns_of_the_same_kinds(db: SyncDatabase) -> None:
    snapshot = db.backend.open_snapshot()

    shape = shape_of(snapshot, "registration_tokens")

    assert dict(shape.columns)["token"] is Kind.TEXT
    assert dict(shape.columns)["uses_allowed"] is Kind.INTEGER
    assert dict(shape_of(snapshot, "users").columns)["is_admin"] is Kind.INTEGER
    assert dict(shape_of(snapshot, "events").columns)["pdu"] is Kind.BYTES
    snapshot.close()


def test_what_is_written_after_the_snapshot_is_not_in_it_and_does_not_wait_for_it(db: SyncDatabase) -> None:
    add(db, 1)
    snapshot = db.backend.open_snapshot()
    position = db.position

    add(db, 2)
    shape = shape_of(snapshot, "profile_fields")
    first, second = list(snapshot.rows(shape)), snapshot.rows(shape)
    add(db, 3)

    assert [list(row) for row in first] == [["@1", ODD, bytes(range(256))]]
    assert [list(row) for row in second] == [["@1", ODD, bytes(range(256))]]
    assert snapshot.count(shape) == 1
    assert snapshot.position() == position
    snapshot.close()


def test_queries_can_be_read_side_by_side(db: SyncDatabase) -> None:
    for number in range(3):
        add(db, number)
    snapshot = db.backend.open_snapshot()
    ask = "SELECT user_id FROM profile_fields ORDER BY user_id"

    pairs = list(zip(snapshot.answers(ask), snapshot.answers(ask), strict=True))

    assert pairs == [((f"@{number}",), (f"@{number}",)) for number in range(3)]
    snapshot.close()


def test_a_database_that_is_gone_is_told(db: SyncDatabase) -> None:
    snapshot = db.backend.open_snapshot()
    with pytest.raises(SnapshotLost):
        list(snapshot.answers("SELECT nothing FROM nowhere"))
    snapshot.close()


def test_a_table_of_another_program_is_told_and_not_taken_for_one_of_this_server(db: SyncDatabase) -> None:
    db.write(lambda tx: tx.run("CREATE TABLE theirs (name VARCHAR)"))
    snapshot = db.backend.open_snapshot()

    with pytest.raises(SnapshotLost, match="the table theirs is none of this server's"):
        snapshot.shapes()
    snapshot.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """Where a new database is to be."""
    if request.param == "sqlite":
        return "sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url_of_empty_database()


def filled(filling: Filling, name: str, rows: Sequence[Sequence[Any]]) -> None:
    shape = shape_of(filling, name)
    filling.clear(shape)
    filling.add(shape, rows)
    assert filling.count(shape) == len(rows)


def rows_of(place: str, folder: Path, name: str) -> list[list[Any]]:
    snapshot = open_backend(place, folder).open_snapshot()
    try:
        return [list(row) for row in snapshot.rows(shape_of(snapshot, name))]
    finally:
        snapshot.close()


def test_what_is_written_into_a_new_database_is_there_once_it_is_kept(place: str, tmp_path: Path) -> None:
    filling = fill_database(place, tmp_path, REVISIONS)
    rows = [["@1", ODD, bytes(range(256))], ["@2", "", b""]]
    filled(filling, "profile_fields", rows)
    filled(filling, "log_position", [[1, 17]])
    filling.run("UPDATE log_position SET value = value + :more", more=3)
    filled(filling, "registration_tokens", [["one", None, 0, 2**62, -5]])
    is_there_before = (tmp_path / "homeserver.db").exists()

    filling.keep()
    filling.abandon()

    assert not is_there_before
    assert rows_of(place, tmp_path, "profile_fields") == rows
    assert rows_of(place, tmp_path, "registration_tokens") == [["one", None, 0, 2**62, -5]]
    database = SyncDatabase(open_backend(place, tmp_path))
    assert database.position == 20
    database.write(lambda tx: tx.run(INSERT_USER, user_id="@a", password=None, yes=True, no=False))
    database.close()
    assert {path.name for path in tmp_path.iterdir()} <= {"homeserver.db", "homeserver.db-wal", "homeserver.db-shm"}


def test_truth_values_go_from_one_kind_of_database_into_the_other(db: SyncDatabase, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "restored"
    folder.mkdir()
    db.write(lambda tx: tx.run(INSERT_USER, user_id="@a", password="hash", yes=True, no=False))
    snapshot = db.backend.open_snapshot()
    rows = list(snapshot.rows(shape_of(snapshot, "users")))
    snapshot.close()
    filling = fill_database(place, folder, REVISIONS)

    filled(filling, "users", rows)
    filling.keep()

    assert rows_of(place, folder, "users") == [list(row) for row in rows]
    assert [value for value in rows[0] if isinstance(value, bool)] == []


def test_a_schema_that_was_older_is_brought_up_to_date_when_the_database_is_kept(place: str, tmp_path: Path) -> None:
    filling = fill_database(place, tmp_path, REVISIONS[:1])
    before = {shape.name for shape in filling.shapes()}

    filling.keep()

    assert before == {"counters", "log_position"}
    snapshot = open_backend(place, tmp_path).open_snapshot()
    assert len(snapshot.revisions()) == len(REVISIONS)
    snapshot.close()


def test_a_database_that_was_given_up_can_be_filled_again(place: str, tmp_path: Path) -> None:
    filling = fill_database(place, tmp_path, REVISIONS)
    filled(filling, "profile_fields", [["@1", "a", b"b"]])
    with pytest.raises(NotFilled):
        filling.add(shape_of(filling, "profile_fields"), [["@1", "a", b"c"]])
    filling.abandon()
    left = list(tmp_path.iterdir())

    again = fill_database(place, tmp_path, REVISIONS)
    again.keep()

    assert left == []
    assert rows_of(place, tmp_path, "profile_fields") == []


def test_a_database_that_a_server_has_used_is_not_filled(db: SyncDatabase, tmp_path: Path) -> None:
    db.write(lambda tx: tx.at_position((), lambda _, __: None))
    is_sqlite = db.dialect.name == "sqlite"
    url = "sqlite" if is_sqlite else str(getattr(db.backend, "dsn", ""))

    with pytest.raises(NotFilled):
        fill_database(url, tmp_path, REVISIONS)

    assert db.position == 1


def test_the_database_of_another_program_is_not_filled(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.url_of_empty_database()
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE theirs (number INTEGER)")

        with pytest.raises(NotFilled):
            fill_database(url, tmp_path, REVISIONS)

        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchall() == [("theirs",)]
    connection.close()
