"""Backups of a world, made here and now."""

from pathlib import Path

from homeserver.runtime.archive_files import ArchiveWriter, CompressedFile
from homeserver.services.admin.backup_archive import Outside, Progress, Whose, write_backup
from homeserver.storage.database import Backend

WHOSE = Whose("example.org", "1.2.3", 1_700_000_000_000, "sqlite", "ed25519:a", "public")
OUTSIDE = Outside("ed25519 a secret\n", "server_name: example.org\n")


def back_up(backend: Backend, path: Path, outside: Outside = OUTSIDE, whose: Whose = WHOSE) -> list[Progress]:
    """Make a backup of a database; what was told meanwhile."""
    snapshot = backend.open_snapshot()
    file = CompressedFile(path)
    writer = ArchiveWriter(file)
    told = list(write_backup(snapshot, writer, whose, outside))
    snapshot.close()
    file.finish()
    file.keep()
    return told


def all_rows(backend: Backend) -> dict[str, list[list[object]]]:
    """Every row of every table that is backed up, in an order that does not depend on the database."""
    snapshot = backend.open_snapshot()
    found: dict[str, list[list[object]]] = {}
    for shape in snapshot.shapes():
        found[shape.name] = sorted((list(row) for row in snapshot.rows(shape)), key=repr)
    snapshot.close()
    return found
