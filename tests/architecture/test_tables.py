"""What every table declares, in the schema as it is and in made-up ones that break each rule."""

from collections.abc import Mapping

import pytest

from homeserver.storage.schema import TABLES
from homeserver.storage.tables import Owner, Retention, Table
from tests.architecture import table_rules
from tests.architecture.source_tree import ROOT

MADE_UP = """
-- CREATE TABLE not_this_one (a TEXT);
CREATE TABLE receipts (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL
);
-- @sqlite
CREATE VIRTUAL TABLE search_index USING fts5 (room_id, words);
-- @postgresql
CREATE TABLE search_index (room_id TEXT NOT NULL, words TSVECTOR NOT NULL);
"""
FOREVER = Retention.bounded("one per test")


@pytest.fixture(scope="module")
def created() -> Mapping[str, str]:
    files = sorted((ROOT / "homeserver" / "storage" / "migrations").glob("*.sql"))
    return table_rules.tables_created_by(file.read_text(encoding="utf-8") for file in files)


def test_every_table_declares_its_owners_and_how_it_shrinks(created: Mapping[str, str]) -> None:
    assert table_rules.tables_without_declaration(created, TABLES) == []


def test_every_declaration_has_its_table(created: Mapping[str, str]) -> None:
    assert table_rules.declarations_without_table(created, TABLES) == []


def test_every_owner_has_its_column(created: Mapping[str, str]) -> None:
    assert table_rules.owners_without_column(created, TABLES) == []


def test_every_table_belongs_to_one_family() -> None:
    assert table_rules.tables_declared_twice(TABLES) == []


def test_the_tables_that_stand_are_those_created_and_not_dropped() -> None:
    revisions = [MADE_UP, "ALTER TABLE receipts ADD COLUMN thread_id TEXT;", "DROP TABLE search_index;"]

    assert set(table_rules.tables_created_by(revisions[:1])) == {"receipts", "search_index"}
    assert set(table_rules.tables_created_by(revisions)) == {"receipts"}
    assert "thread_id" in table_rules.tables_created_by(revisions)["receipts"]


def test_a_table_without_a_declaration_is_found() -> None:
    found = table_rules.tables_without_declaration(
        table_rules.tables_created_by([MADE_UP]), [Table("receipts", retention=FOREVER)]
    )

    assert len(found) == 1
    assert "search_index" in found[0]


def test_a_declaration_without_a_table_is_found() -> None:
    found = table_rules.declarations_without_table(
        table_rules.tables_created_by([MADE_UP]), [Table("presence", retention=FOREVER)]
    )

    assert len(found) == 1
    assert "presence" in found[0]


def test_an_owner_whose_column_is_missing_is_found() -> None:
    owners = {Owner.ROOM: "room_id", Owner.DEVICE: "device_id"}

    found = table_rules.owners_without_column(
        table_rules.tables_created_by([MADE_UP]), [Table("receipts", owners=owners, retention=FOREVER)]
    )

    assert len(found) == 1
    assert "device_id" in found[0]


def test_a_table_declared_twice_is_found() -> None:
    assert len(table_rules.tables_declared_twice([Table("receipts", retention=FOREVER)] * 2)) == 1
