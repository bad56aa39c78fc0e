"""What SQLite alone has: files that are refused, checkpoints, and file systems that are no place for it."""

import sqlite3
from pathlib import Path

import apsw
import pytest

from homeserver.storage.database import DatabaseRefused, Transaction
from homeserver.storage.file_systems import unsuitable_file_system
from homeserver.storage.sqlite import HEADER, open_sqlite, refuse_library
from tests.databases import SyncDatabase, fresh_sqlite

ADD = "INSERT INTO counters (name, value) VALUES (:name, 0)"
SCHEMA_SIZE = "SELECT count(*) FROM sqlite_schema"

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/share rw,relatime - nfs4 server:/export rw
31 22 0:41 / /mnt/share/local rw,relatime - xfs /dev/sdb1 rw
32 22 0:42 / /mnt/with\\040space rw - cifs //server/share rw
33 22 0:43 / /mnt/ssh rw - fuse.sshfs host:/ rw
not a mount
"""


def add(tx: Transaction, name: str) -> None:
    tx.run(ADD, name=name)


@pytest.mark.parametrize("version", ["3.7.0", "3.44.5", "3.45.0", "3.50.6", "3.51.0", "3.51.2"])
def test_a_library_that_can_damage_its_log_is_refused(version: str) -> None:
    with pytest.raises(DatabaseRefused, match=version):
        refuse_library(version)


@pytest.mark.parametrize("version", ["3.44.6", "3.50.7", "3.51.3", "3.54.1", "4.0.0"])
def test_a_library_that_was_repaired_is_not_refused(version: str) -> None:
    refuse_library(version)


def test_this_machines_library_is_not_refused() -> None:
    refuse_library(apsw.sqlite_lib_version())


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib/columba.db", None),
        ("/mnt/share/columba.db", "nfs4"),
        ("/mnt/share/local/columba.db", None),
        ("/mnt/shared/columba.db", None),
        ("/mnt/with space/columba.db", "cifs"),
        ("/mnt/ssh/columba.db", "fuse.sshfs"),
    ],
)
def test_file_systems_shared_by_machines_are_refused(place: str, kind: str | None) -> None:
    assert unsuitable_file_system(Path(place), MOUNTS) == kind


def test_a_file_that_is_no_database_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    path.write_bytes(b"notes of an administrator" * 100)

    with pytest.raises(DatabaseRefused, match="not an SQLite database"):
        open_sqlite(path)

    assert path.read_bytes() == b"notes of an administrator" * 100


def test_a_file_that_begins_like_a_database_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    path.write_bytes(HEADER + b"\xff" * 5000)
    before = path.read_bytes()

    with pytest.raises(DatabaseRefused):
        open_sqlite(path)

    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(DatabaseRefused, match="another program"):
        open_sqlite(path)

    assert path.read_bytes() == before


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused):
        open_sqlite(tmp_path / "nowhere" / "homeserver.db")


def test_damage_is_found_after_an_unclean_stop(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    database = SyncDatabase(fresh_sqlite(path))
    for number in range(200):
        database.write(add, f"{number} {'x' * 900}")
    database.close()
    content = bytearray(path.read_bytes())
    for page in range(4, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = bytes(64)
    path.write_bytes(content)
    path.with_name("homeserver.db-wal").write_bytes(b"left behind")

    with pytest.raises(DatabaseRefused, match="damaged"):
        open_sqlite(path)

    assert path.read_bytes() == content


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_sqlite(tmp_path / "homeserver.db")

    assert (tmp_path / "homeserver.db").stat().st_mode & 0o077 == 0


def test_the_log_is_empty_after_a_clean_stop(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    database = SyncDatabase(fresh_sqlite(path))
    database.write(lambda tx: tx.run(ADD, name="a"))
    assert path.with_name("homeserver.db-wal").stat().st_size > 0

    database.close()

    log = path.with_name("homeserver.db-wal")
    assert not log.exists() or log.stat().st_size == 0


def test_the_log_does_not_grow_without_bound(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    fresh_sqlite(path)
    database = SyncDatabase(open_sqlite(path, checkpoint_pages=20))

    for number in range(100):
        database.write(add, f"{number} {'x' * 900}")

    assert path.with_name("homeserver.db-wal").stat().st_size < 60 * 4096
    database.close()


def test_a_reader_that_stays_does_not_stop_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "homeserver.db"
    fresh_sqlite(path)
    database = SyncDatabase(open_sqlite(path, checkpoint_pages=5))

    def reading(tx: Transaction) -> int:
        before = tx.one(SCHEMA_SIZE)
        for number in range(30):
            database.write(add, f"{number} {'x' * 900}")
        assert tx.one(SCHEMA_SIZE) == before
        return tx.log_position

    assert database.read(reading) == 0
    database.close()
