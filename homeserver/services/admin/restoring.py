"""Putting a backup back into a database that is new, be it of the kind that it was made of or of the other.

The database is told that it was put back (storage/continuity.py). So the next start has no one-time key handed out that
is in the backup, and no position of the log given that may have been given since (services/sync/lost_time.py).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from homeserver.runtime.archive_files import BadArchive
from homeserver.services.admin.backup_archive import Header, Progress, read_backup
from homeserver.storage.continuity import PUT_BACK
from homeserver.storage.migrations.runner import Revision, revisions_of
from homeserver.storage.search import INDEX_ALL
from homeserver.storage.whole_tables import Filling

STAGE: Final = "restoring"


def restore_backup(path: Path, fill: Callable[[Sequence[Revision]], Filling]) -> Iterator[Progress]:
    """Fill a new database with what a backup has; it is there when all of it is. `fill` makes its schema.

    Raises OSError, BadArchive, NotFilled and DatabaseRefused; the database is as it was then.
    """
    header, _, blocks = read_backup(path)
    filling = fill(revisions_of(dict(header.revisions)))
    try:
        _expect_same_tables(path, header, filling)
        shapes = {table.name: table.shape for table in header.tables}
        for shape in shapes.values():
            filling.clear(shape)
        rows = 0
        for block in blocks:
            filling.add(shapes[block.table], block.rows)
            rows += len(block.rows)
            yield Progress(STAGE, rows, header.rows)
        for table in header.tables:
            if (count := filling.count(table.shape)) != table.rows:
                raise BadArchive(path, f"has {table.rows} rows of {table.name}, of which the database has {count}")
        filling.run(PUT_BACK)
        filling.run(INDEX_ALL)
        yield Progress("bringing the database up to date", rows, header.rows)
        filling.keep()
    finally:
        filling.abandon()


def _expect_same_tables(path: Path, header: Header, filling: Filling) -> None:
    told = {table.name: frozenset(table.columns) for table in header.tables}
    there = {shape.name: frozenset(shape.columns) for shape in filling.shapes()}
    if told != there:
        wrong = sorted(name for name in told.keys() | there.keys() if told.get(name) != there.get(name))
        raise BadArchive(path, f"has other tables, or other columns, than its schema: {', '.join(wrong)}")
