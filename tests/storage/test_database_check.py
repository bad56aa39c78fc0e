"""Whether a database is sound in itself."""

from pathlib import Path

from homeserver.storage.database_check import check_database
from homeserver.storage.sqlite import open_sqlite
from tests.databases import SyncDatabase


def test_a_sound_database_has_no_damage(db: SyncDatabase) -> None:
    checked = check_database(db.database.backend, 10.0)

    assert checked.damage is None
    assert checked.is_whole == (db.database.dialect.name == "sqlite")


def test_damage_is_found_in_a_file_that_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.db"
    backend = open_sqlite(file)
    content = bytearray(file.read_bytes())
    for page in range(4, len(content) // 4096):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    file.write_bytes(content)

    checked = check_database(backend, 10.0)

    assert checked.damage is not None


def test_a_check_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    backend = open_sqlite(tmp_path / "homeserver.db")
    writer = backend.open_writer()
    writer.begin()
    writer.connection.execute("CREATE TABLE large (a TEXT)")
    writer.connection.execute(
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) "
        "INSERT INTO large SELECT hex(randomblob(40)) FROM n"
    )
    writer.commit()

    checked = check_database(backend, 0.0)
    writer.close()

    assert (checked.damage, checked.is_whole) == (None, False)
