"""One SQL text, said to both databases."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core.errors import BadJson
from homeserver.storage import dialect
from homeserver.storage.database import Transaction
from tests.conftest import examples
from tests.databases import SyncDatabase

CREATE_THINGS = "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, digest {bytes}, flag {boolean})"
ADD = "INSERT INTO things (id, name, digest, flag) VALUES (:id, :name, :digest, :flag)"
BY_NAME = "SELECT id FROM things WHERE name IN :names[text] ORDER BY id"
NOT_BY_NAME = "SELECT id FROM things WHERE name NOT IN :names[text] ORDER BY id"
BY_ID = "SELECT name FROM things WHERE id IN :ids[bigint] ORDER BY id"
BY_DIGEST = "SELECT id FROM things WHERE digest IN :digests[bytes] ORDER BY id"
TWICE = "SELECT id FROM things WHERE name IN :names[text] UNION ALL SELECT -id FROM things WHERE name IN :names[text]"
EVERYTHING = "SELECT id, name, digest, flag FROM things ORDER BY id"
LITERALS = "SELECT '100%', ':not_a_parameter', 'it''s', \"name\" FROM things WHERE id = :id -- 50% of :nothing"
TOTAL = "SELECT sum(id), count(*), avg(id) FROM things"
ECHO = "SELECT name FROM things WHERE name = :name"
ECHO_NUMBER = "SELECT name FROM things WHERE id = :number"


def things(tx: Transaction) -> None:
    types = {"sqlite": ("BLOB", "INTEGER"), "postgresql": ("BYTEA", "BOOLEAN")}[tx.dialect.name]
    tx.run(CREATE_THINGS.format(bytes=types[0], boolean=types[1]))
    tx.insert_many(
        ADD,
        [
            {"id": 1, "name": "a", "digest": b"\0\xff", "flag": True},
            {"id": 2, "name": "é'\"\\%s", "digest": b"", "flag": False},
            {"id": 3, "name": None, "digest": None, "flag": None},
        ],
    )


def test_values_come_back_as_they_went_in(db: SyncDatabase) -> None:
    db.write(things)

    rows = db.read(lambda tx: tx.all(EVERYTHING))

    assert rows == [(1, "a", b"\0\xff", True), (2, "é'\"\\%s", b"", False), (3, None, None, None)]
    assert type(rows[0][2]) is bytes


def test_a_list_is_a_parameter(db: SyncDatabase) -> None:
    db.write(things)

    assert db.read(lambda tx: tx.all(BY_NAME, names=["a", "é'\"\\%s", "z"])) == [(1,), (2,)]
    assert db.read(lambda tx: tx.all(BY_NAME, names={"a"})) == [(1,)]
    assert db.read(lambda tx: tx.all(BY_NAME, names=())) == []
    assert db.read(lambda tx: tx.all(NOT_BY_NAME, names=("a",))) == [(2,)]
    assert db.read(lambda tx: tx.all(NOT_BY_NAME, names=[])) == [(1,), (2,), (3,)]
    assert db.read(lambda tx: tx.all(BY_ID, ids=range(2))) == [("a",)]
    assert db.read(lambda tx: tx.all(BY_DIGEST, digests=[b"", b"\0\xff"])) == [(1,), (2,)]
    assert db.read(lambda tx: tx.all(BY_DIGEST, digests=[])) == []


def test_a_list_may_stand_twice_in_a_statement(db: SyncDatabase) -> None:
    db.write(things)

    assert sorted(db.read(lambda tx: tx.all(TWICE, names=["a"]))) == [(-1,), (1,)]


def test_what_is_quoted_is_left_alone(db: SyncDatabase) -> None:
    db.write(things)

    assert db.read(lambda tx: tx.one(LITERALS, id=1)) == ("100%", ":not_a_parameter", "it's", "a")


def test_sums_are_numbers(db: SyncDatabase) -> None:
    db.write(things)

    row = db.read(lambda tx: tx.one(TOTAL))

    assert row == (6, 3, 2.0)
    assert row is not None
    assert type(row[0]) is int


@pytest.mark.parametrize("name", ["a\0b", "\0", "\ud800"])
def test_text_that_cannot_be_stored_is_bad_json(db: SyncDatabase, name: str) -> None:
    db.write(things)

    with pytest.raises(BadJson):
        db.read(lambda tx: tx.one(ECHO, name=name))
    with pytest.raises(BadJson):
        db.read(lambda tx: tx.all(BY_NAME, names=[name]))
    with pytest.raises(BadJson):
        db.write(lambda tx: tx.insert_many(ADD, [{"id": 9, "name": name, "digest": b"", "flag": True}]))

    assert db.read(lambda tx: tx.one(ECHO, name="a")) == ("a",)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_over_64_bits_is_bad_json(db: SyncDatabase, number: int) -> None:
    db.write(things)

    with pytest.raises(BadJson):
        db.read(lambda tx: tx.one(ECHO_NUMBER, number=number))
    with pytest.raises(BadJson):
        db.read(lambda tx: tx.all(BY_ID, ids=[number]))
    with pytest.raises(BadJson):
        db.write(lambda tx: tx.insert_many(ADD, [{"id": number, "name": "", "digest": b"", "flag": True}]))


def test_a_parameter_that_is_missing_is_an_error(db: SyncDatabase) -> None:
    db.write(things)

    with pytest.raises(KeyError):
        db.read(lambda tx: tx.one(ECHO))
    with pytest.raises(KeyError):
        db.write(lambda tx: tx.insert_many(ADD, [{"id": 9}]))


def test_a_statement_is_translated_once() -> None:
    postgresql = dialect.postgresql()

    first = postgresql.statement(BY_NAME)

    assert postgresql.statement(BY_NAME) is first
    assert first.sql == "SELECT id FROM things WHERE name = ANY(%(names)s::text[]) ORDER BY id"
    assert "things" in first.names
    assert not first.writes


def test_the_parts_of_an_insert_are_known() -> None:
    upsert = "INSERT INTO t (a, b, c) VALUES (:x, lower(:y), '(') ON CONFLICT (c, a) DO UPDATE SET b = excluded.b"

    assert dialect.postgresql().statement(upsert.replace("'('", ":z")).insert == dialect.InsertShape(
        table="t",
        head="INSERT INTO t (a, b, c) VALUES ",
        row="(%(x)s, lower(%(y)s), %(z)s)",
        tail=" ON CONFLICT (c, a) DO UPDATE SET b = excluded.b",
        key=("z", "x"),
    )
    assert dialect.postgresql().statement(upsert).insert is None  # part of its key is no parameter
    assert dialect.postgresql().statement("INSERT INTO t (a) SELECT a FROM s").insert is None
    assert dialect.postgresql().statement("UPDATE t SET a = :a").insert is None
    # The rest of the statement would be the same for every row.
    assert (
        dialect.postgresql().statement("INSERT INTO t (a) VALUES (:a) ON CONFLICT (a) DO UPDATE SET a = :b").insert
        is None
    )


def test_tables_are_made_in_each_databases_words() -> None:
    table = "CREATE TABLE t (a TEXT NOT NULL, b BIGINT, c BYTES DEFAULT '', d BOOLEAN, e DOUBLE) WITHOUT ROWID"

    assert dialect.sqlite().ddl(table) == (
        "CREATE TABLE t (a TEXT NOT NULL, b INTEGER, c BLOB DEFAULT '', d INTEGER, e REAL) STRICT, WITHOUT ROWID"
    )
    assert dialect.postgresql().ddl(table) == (
        "CREATE TABLE t (a TEXT COLLATE \"C\" NOT NULL, b BIGINT, c BYTEA DEFAULT '', d BOOLEAN, e DOUBLE PRECISION)"
    )
    assert dialect.sqlite().ddl("ALTER TABLE t ADD COLUMN f BYTES") == "ALTER TABLE t ADD COLUMN f BLOB"
    with pytest.raises(ValueError, match="foreign keys"):
        dialect.sqlite().ddl("CREATE TABLE t (a TEXT REFERENCES u (a))")


@settings(max_examples=examples(50))
@given(st.lists(st.text(st.characters(exclude_characters="'\"-", codec="utf-8")), max_size=4))
def test_translating_any_text_keeps_what_is_no_parameter(pieces: list[str]) -> None:
    text = " ".join(piece.replace(":", "") for piece in pieces)

    assert dialect.sqlite().statement(text).sql == text
    assert dialect.postgresql().statement(text).sql == text.replace("%", "%%")
