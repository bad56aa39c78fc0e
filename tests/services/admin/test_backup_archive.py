"""What stands in a backup, and how one is found to be wrong."""

from pathlib import Path
from typing import Any

import pytest

from homeserver.runtime.archive_files import ArchiveWriter, BadArchive, CompressedFile, read_archive
from homeserver.services.admin.backup_archive import (
    MOST_ROWS,
    Outside,
    Progress,
    check_backup,
    read_backup,
    read_header,
    write_backup,
)
from homeserver.storage.migrations.runner import REVISIONS
from homeserver.storage.whole_tables import Snapshot, SnapshotLost, TableShape
from tests.runtime.test_archive_files import written
from tests.services.admin.backed_up import OUTSIDE, WHOSE, all_rows, back_up
from tests.services.world import ALICE, World


@pytest.fixture
def backup(world: World, tmp_path: Path) -> Path:
    """A backup of a world with a room."""
    world.create_room(ALICE)
    path = tmp_path / "backup"
    back_up(world.sync_database.backend, path)
    return path


def rewritten(path: Path, values: list[Any]) -> Path:  # Any: what an archive holds
    """Another archive, of these values."""
    return written(path.with_name("other"), values)


def test_a_backup_tells_whose_it_is_and_what_is_in_it(world: World, backup: Path) -> None:
    header, outside = read_header(backup)

    rows = all_rows(world.sync_database.backend)
    assert (header.server_name, header.columba, header.made_ms) == ("example.org", "1.2.3", 1_700_000_000_000)
    assert (header.key_id, header.public_key) == ("ed25519:a", "public")
    assert header.position == world.sync_database.position
    assert dict(header.revisions) == {revision.number: revision.sha256 for revision in REVISIONS}
    assert {table.name: table.rows for table in header.tables} == {name: len(some) for name, some in rows.items()}
    assert outside == OUTSIDE


def test_a_backup_has_every_row(world: World, backup: Path) -> None:
    _, _, blocks = read_backup(backup)

    found: dict[str, list[Any]] = {}
    for block in blocks:
        found.setdefault(block.table, []).extend(block.rows)
    rows = {name: some for name, some in all_rows(world.sync_database.backend).items() if some}
    assert {name: sorted(some, key=repr) for name, some in found.items()} == rows


def test_it_tells_how_far_it_is_and_holds_few_rows_at_a_time(world: World, tmp_path: Path) -> None:
    insert = "INSERT INTO counters (name, value) VALUES (:name, 1)"
    rows = [{"name": f"counter {number}"} for number in range(3 * MOST_ROWS)]
    world.sync_database.write(lambda tx: tx.insert_many(insert, rows))

    told = back_up(world.sync_database.backend, tmp_path / "backup")

    _, _, blocks = read_backup(tmp_path / "backup")
    assert max(len(block.rows) for block in blocks) == MOST_ROWS
    header, _ = read_header(tmp_path / "backup")
    assert told[-1] == Progress("writing", header.rows, header.rows)
    assert [step.rows for step in told] == sorted(step.rows for step in told)
    assert list(check_backup(tmp_path / "backup"))[-1] == Progress("verifying", header.rows, header.rows)


def test_the_key_and_the_configuration_can_be_left_out(world: World, tmp_path: Path) -> None:
    back_up(world.sync_database.backend, tmp_path / "backup", Outside(None, None))

    assert read_header(tmp_path / "backup")[1] == Outside(None, None)
    assert b"secret" not in (tmp_path / "backup").read_bytes()


class Odd:
    """A snapshot in which something is wrong."""

    def __init__(self, snapshot: Snapshot, *, damage: str | None = None, missing: int = 0) -> None:
        self._snapshot = snapshot
        self._damage = damage
        self._missing = missing

    def __getattr__(self, name: str) -> Any:  # Any: whatever a snapshot has
        return getattr(self._snapshot, name)

    def find_damage(self) -> str | None:
        return self._damage

    def count(self, table: TableShape) -> int:
        return self._snapshot.count(table) + self._missing


@pytest.mark.parametrize("wrong", [{"damage": "row 1 is missing"}, {"missing": 1}])
def test_a_database_that_is_damaged_is_told_and_no_backup_comes_of_it(
    world: World, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    world.create_room(ALICE)
    snapshot: Any = Odd(world.sync_database.backend.open_snapshot(), **wrong)
    file = CompressedFile(tmp_path / "backup")

    with pytest.raises(SnapshotLost):
        list(write_backup(snapshot, ArchiveWriter(file), WHOSE, OUTSIDE))

    file.abandon()
    snapshot.close()


def test_a_backup_of_another_version_or_of_another_program_is_refused(backup: Path) -> None:
    header, *others = list(read_archive(backup))
    other = rewritten(backup, [{**header, "version": 2}, *others])
    with pytest.raises(BadArchive, match="another version, 2"):
        read_header(other)

    other.unlink()
    rewritten(backup, [{"format": "a cake"}])
    with pytest.raises(BadArchive, match="no backup of Columba"):
        read_header(other)
    other.unlink()
    rewritten(backup, [])
    with pytest.raises(BadArchive, match="no backup of Columba"):
        read_header(other)


@pytest.mark.parametrize(
    "block",
    [
        ["rooms", [["too", "few"]]],
        ["nowhere", [[1]]],
        ["rooms"],
        "rooms",
        ["counters", [["a", [1]]]],
        ["counters", [["one", 1]]],
    ],
)
def test_a_backup_whose_rows_are_not_what_it_tells_of_is_refused(backup: Path, block: object) -> None:
    other = rewritten(backup, [*read_archive(backup), block])

    with pytest.raises(BadArchive, match="damaged"):
        list(check_backup(other))


def test_a_backup_that_lacks_rows_is_refused(backup: Path) -> None:
    other = rewritten(backup, list(read_archive(backup))[:-1])

    with pytest.raises(BadArchive, match="does not have as many rows"):
        list(check_backup(other))


def test_a_header_without_what_belongs_there_is_refused(backup: Path) -> None:
    header, *others = list(read_archive(backup))
    del header["position"]

    with pytest.raises(BadArchive, match="damaged"):
        read_header(rewritten(backup, [header, *others]))
