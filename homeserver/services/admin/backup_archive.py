"""What stands in a backup: an archive (runtime/archive_files.py) of every row of every table, as of one moment.

The first value is an object, `Header`. It says whose backup it is, how the schema was made, and which tables follow,
with their columns and how many rows each has. The second one holds what is not in the database: the text of the file
with the signing key, and that of the configuration, each null where it was left out. All others are arrays of two: the
name of a table, and some of its rows, each an array of values in the order of the columns. Of which kind the database
was does not matter: see storage/whole_tables.py. The index of words is left out, for it is made again from the events.

How it is put back is in restoring.py, and what runs all this in backup_process.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from homeserver.runtime.archive_files import ArchiveWriter, BadArchive, read_archive
from homeserver.storage.dialect import HIGHEST, LOWEST
from homeserver.storage.whole_tables import Kind, Row, Snapshot, SnapshotLost, TableShape

FORMAT: Final = "columba backup"
VERSION: Final = 1
MOST_ROWS: Final = 1_000  # in one value,
BLOCK_BYTES: Final = 1 << 19  # of which a row more than so much is the last
KINDS: Final[Mapping[Kind, frozenset[type]]] = {
    Kind.INTEGER: frozenset({int, type(None)}),
    Kind.TEXT: frozenset({str, type(None)}),
    Kind.BYTES: frozenset({bytes, type(None)}),
    Kind.REAL: frozenset({float, int, type(None)}),
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table in a backup. Its columns: name, and what it holds (storage.whole_tables.Kind)."""

    name: str
    columns: tuple[tuple[str, Kind], ...]
    rows: int

    @property
    def shape(self) -> TableShape:
        """As the storage knows it."""
        return TableShape(self.name, self.columns)


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup says of itself."""

    format: str
    version: int
    server_name: str
    columba: str  # the version of the program
    made_ms: int
    database: str  # of which kind it was
    position: int  # of the log of changes
    key_id: str  # of the signing key in use
    public_key: str  # the same key's public half, in base64
    revisions: tuple[tuple[int, str], ...]  # of the schema: number and SHA-256
    tables: tuple[Table, ...]

    @property
    def rows(self) -> int:
        """How many there are in all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class Outside:
    """What belongs to a server and is not in its database: the text of two files. None: left out."""

    signing_key: str | None
    configuration: str | None


@dataclass(frozen=True, slots=True)
class Whose:
    """What a backup is to say of itself that is not in the database."""

    server_name: str
    columba: str
    made_ms: int
    database: str
    key_id: str
    public_key: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something has come: so many rows of so many, in this stage of it."""

    stage: str
    rows: int
    of: int


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a table."""

    table: str
    rows: Sequence[Row]


def write_backup(snapshot: Snapshot, writer: ArchiveWriter, whose: Whose, outside: Outside) -> Iterator[Progress]:
    """Write all that a snapshot has. Raises OSError, SnapshotLost: also where the database is found to be damaged."""
    yield Progress("checking the database", 0, 0)
    if (damage := snapshot.find_damage()) is not None:
        raise SnapshotLost(f"the database is damaged: {damage}")
    tables = []
    for shape in snapshot.shapes():
        tables.append(Table(shape.name, shape.columns, snapshot.count(shape)))
        yield Progress("checking the database", 0, 0)
    header = Header(
        FORMAT,
        VERSION,
        whose.server_name,
        whose.columba,
        whose.made_ms,
        whose.database,
        snapshot.position(),
        whose.key_id,
        whose.public_key,
        tuple(sorted(snapshot.revisions().items())),
        tuple(tables),
    )
    writer.write(header)
    writer.write(outside)
    written = 0
    for table in header.tables:
        of_table = 0
        for rows in _blocks(snapshot.rows(table.shape)):
            writer.write([table.name, rows])
            of_table += len(rows)
            yield Progress("writing", written + of_table, header.rows)
        if of_table != table.rows:
            raise SnapshotLost(f"the table {table.name} has {table.rows} rows, of which {of_table} could be read")
        written += of_table
    writer.end()


def read_header(path: Path) -> tuple[Header, Outside]:
    """The beginning of a backup, of which the rest may be damaged. Raises OSError, BadArchive."""
    header, outside, _ = _begin(path, read_archive(path))
    return header, outside


def read_backup(path: Path) -> tuple[Header, Outside, Iterator[Block]]:
    """A backup. Raises OSError, BadArchive; so do the blocks, at their end at the latest."""
    header, outside, values = _begin(path, read_archive(path))
    return header, outside, _read_blocks(path, header, values)


def check_backup(path: Path) -> Iterator[Progress]:
    """Read all of a backup, and do nothing with it. Raises OSError, BadArchive."""
    header, _, blocks = read_backup(path)
    rows = 0
    for block in blocks:
        rows += len(block.rows)
        yield Progress("verifying", rows, header.rows)


def _begin(path: Path, values: Iterator[Any]) -> tuple[Header, Outside, Iterator[Any]]:  # Any: what an archive holds
    first = next(values, None)
    if not isinstance(first, Mapping) or first.get("format") != FORMAT:
        raise BadArchive(path, "is no backup of Columba")
    if first.get("version") != VERSION:
        raise BadArchive(path, f"is a backup of another version, {first.get('version')}, than this program reads")
    try:
        header = msgspec.convert(first, Header)
        outside = msgspec.convert(next(values, None), Outside)
    except msgspec.ValidationError as wrong:
        raise BadArchive(path, f"is damaged: {wrong}") from wrong
    return header, outside, values


def _read_blocks(path: Path, header: Header, values: Iterator[Any]) -> Iterator[Block]:  # Any: as above
    left = Counter({table.name: table.rows for table in header.tables})
    kinds = {table.name: [KINDS[kind] for _, kind in table.columns] for table in header.tables}
    for value in values:
        try:
            name, rows = msgspec.convert(value, tuple[str, list[list[Any]]])
        except msgspec.ValidationError as wrong:
            raise BadArchive(path, f"is damaged: {wrong}") from wrong
        if name not in kinds or not all(_is_of(row, kinds[name]) for row in rows):
            raise BadArchive(path, "is damaged: it has rows of a table that it does not tell of")
        left[name] -= len(rows)
        yield Block(name, rows)
    if wrong_tables := sorted(name for name, count in left.items() if count):
        raise BadArchive(path, f"is damaged: it does not have as many rows as it tells of {', '.join(wrong_tables)}")


def _is_of(row: Sequence[object], kinds: Sequence[frozenset[type]]) -> bool:
    """Whether each value of a row is of the kind of its column."""
    if len(row) != len(kinds):
        return False
    return all(
        type(value) in kind and (type(value) is not int or LOWEST <= value <= HIGHEST)
        for value, kind in zip(row, kinds, strict=True)
    )


def _blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    size = 0
    for row in rows:
        block.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size >= BLOCK_BYTES or len(block) >= MOST_ROWS:
            yield block
            block, size = [], 0
    if block:
        yield block
