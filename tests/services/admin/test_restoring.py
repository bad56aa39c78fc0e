"""A backup is put back into a new database of either kind: all of it, or nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from homeserver.runtime.archive_files import BadArchive, read_archive
from homeserver.services.admin.restoring import restore_backup
from homeserver.services.rooms.search import SearchWish
from homeserver.services.rooms.search_backlog import PAUSE_S
from homeserver.storage.continuity import find_continuity
from homeserver.storage.database import Backend, DatabaseRefused
from homeserver.storage.migrations.runner import REVISIONS, Revision
from homeserver.storage.opening import fill_database, open_backend
from homeserver.storage.schema import TABLES
from homeserver.storage.sqlite import open_sqlite
from homeserver.storage.whole_tables import Filling, NotFilled
from tests.conftest import DATABASES
from tests.databases import SyncDatabase
from tests.growth.workload import Workload
from tests.postgres import Postgres
from tests.services.admin.backed_up import all_rows, back_up
from tests.services.admin.test_backup_archive import rewritten
from tests.services.world import ALICE, World, now

CHANGED = {"continuity", "search_progress"}  # by the restoring itself


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest) -> str:
    """Where a new database is to be."""
    if request.param == "sqlite":
        return "sqlite"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url_of_empty_database()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    made = tmp_path / "restored"
    made.mkdir()
    return made


def restore(path: Path, place: str, folder: Path) -> Backend:
    def fill(revisions: Sequence[Revision]) -> Filling:
        return fill_database(place, folder, revisions)

    told = list(restore_backup(path, fill))
    assert [step.rows for step in told] == sorted(step.rows for step in told)
    return open_backend(place, folder)


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_every_row_of_every_table_is_there_again(world: World, tmp_path: Path, place: str, folder: Path) -> None:
    Workload(world).run()
    back_up(world.sync_database.backend, tmp_path / "backup")
    before = all_rows(world.sync_database.backend)

    restored = restore(tmp_path / "backup", place, folder)

    after = all_rows(restored)
    assert {name for name, rows in before.items() if rows} == {table.name for table in TABLES} - {
        "schema_revisions",
        "search_index",
    }
    assert {name: rows for name, rows in after.items() if name not in CHANGED} == {
        name: rows for name, rows in before.items() if name not in CHANGED
    }


def test_the_next_start_finds_that_the_database_was_put_back(
    world: World, tmp_path: Path, place: str, folder: Path
) -> None:
    now(world.lost_time.start())
    mark = world.sync_database.read(find_continuity).mark
    back_up(world.sync_database.backend, tmp_path / "backup")

    database = SyncDatabase(restore(tmp_path / "backup", place, folder))

    assert mark is not None
    assert database.read(find_continuity).mark not in (None, mark)
    database.close()


def test_messages_are_found_again_once_they_are_indexed(world: World, tmp_path: Path, place: str, folder: Path) -> None:
    room_id = world.create_room(ALICE)
    world.send(ALICE, room_id, "a needle")
    back_up(world.sync_database.backend, tmp_path / "backup")

    restored = World(restore(tmp_path / "backup", place, folder))
    done = Deferred.fromCoroutine(restored.search_backlog.work_off())
    while not done.called:
        restored.clock.advance(PAUSE_S)

    results = now(restored.search.search(restored.viewer(ALICE), SearchWish("needle")))
    assert results.count == 1
    restored.close()


def test_a_backup_in_which_something_is_wrong_leaves_the_database_new(
    world: World, tmp_path: Path, place: str, folder: Path
) -> None:
    world.create_room(ALICE)
    path = tmp_path / "backup"
    back_up(world.sync_database.backend, path)
    header, outside, *blocks = list(read_archive(path))
    other = rewritten(path, [header, outside, *blocks[:-1]])

    with pytest.raises(BadArchive):
        restore(other, place, folder)

    assert list(folder.iterdir()) == []
    restored = restore(path, place, folder)
    assert all_rows(restored)["rooms"] == all_rows(world.sync_database.backend)["rooms"]


def test_a_backup_of_tables_that_its_schema_does_not_have_is_refused(
    world: World, tmp_path: Path, place: str, folder: Path
) -> None:
    path = tmp_path / "backup"
    back_up(world.sync_database.backend, path)
    header, *others = list(read_archive(path))
    header["tables"][0]["columns"][0][0] = 'a" FROM users; --'
    other = rewritten(path, [header, *others])

    with pytest.raises(BadArchive, match="other columns"):
        restore(other, place, folder)

    assert list(folder.iterdir()) == []


def test_a_backup_of_an_older_program_is_brought_up_to_date(tmp_path: Path, place: str, folder: Path) -> None:
    older = open_sqlite(tmp_path / "older.db", revisions=REVISIONS[:-1])
    back_up(older, tmp_path / "backup")

    restored = restore(tmp_path / "backup", place, folder)

    snapshot = restored.open_snapshot()
    assert snapshot.revisions().keys() == {revision.number for revision in REVISIONS}
    snapshot.close()


def test_a_backup_of_a_newer_program_is_refused(world: World, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "backup"
    back_up(world.sync_database.backend, path)
    header, *others = list(read_archive(path))
    header["revisions"].append([9999, "f" * 64])

    with pytest.raises(DatabaseRefused, match="9999"):
        restore(rewritten(path, [header, *others]), "sqlite", folder)

    assert list(folder.iterdir()) == []


def test_nothing_is_put_back_where_a_database_is(world: World, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "backup"
    back_up(world.sync_database.backend, path)
    restore(path, "sqlite", folder)
    before = (folder / "homeserver.db").read_bytes()

    with pytest.raises(NotFilled, match="is there already"):
        restore(path, "sqlite", folder)

    assert (folder / "homeserver.db").read_bytes() == before
