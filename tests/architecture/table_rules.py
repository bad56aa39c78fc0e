"""Every table of the schema declares whose its rows are and how they go.

Each rule takes what the revisions create and what storage/schema.py lists, and returns what breaks it, as sentences
that say what to do.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from homeserver.storage.tables import Table

CREATED: Final = re.compile(
    r"^\s*CREATE\s+(?:VIRTUAL\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>\w+)(?P<body>[^;]*);", re.MULTILINE
)
ADDED: Final = re.compile(r"^\s*ALTER\s+TABLE\s+(?P<name>\w+)\s+ADD\s+(?:COLUMN\s+)?(?P<body>[^;]*);", re.MULTILINE)
DROPPED: Final = re.compile(r"^\s*DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?P<name>\w+)", re.MULTILINE)
COMMENT: Final = re.compile(r"--[^\n]*")


def tables_created_by(revisions: Iterable[str]) -> Mapping[str, str]:
    """Return the tables that stand after all revisions, each with the text of its columns."""
    found: dict[str, str] = {}
    for revision in revisions:
        sql = COMMENT.sub("", revision)
        for match in CREATED.finditer(sql):
            found[match["name"]] = found.get(match["name"], "") + match["body"]
        for match in ADDED.finditer(sql):
            found[match["name"]] = found.get(match["name"], "") + match["body"]
        for match in DROPPED.finditer(sql):
            found.pop(match["name"], None)
    return found


def tables_without_declaration(created: Mapping[str, str], declared: Iterable[Table]) -> list[str]:
    """Find tables that no family declares."""
    names = {table.name for table in declared}
    return [
        f"The table {name} declares neither its owners nor how it shrinks: add a Table to TABLES in the storage file "
        "of its family, and that file to storage/schema.py."
        for name in created
        if name not in names
    ]


def declarations_without_table(created: Mapping[str, str], declared: Iterable[Table]) -> list[str]:
    """Find declarations of tables that no revision creates."""
    return [
        f"storage/schema.py lists {table.name}, which no revision in storage/migrations creates."
        for table in declared
        if table.name not in created
    ]


def owners_without_column(created: Mapping[str, str], declared: Iterable[Table]) -> list[str]:
    """Find declared owners whose column the table has not."""
    return [
        f"{table.name} says that {column} finds the rows of a {owner.value}, but has no such column."
        for table in declared
        for owner, column in table.owners.items()
        if column and not re.search(rf"\b{re.escape(column)}\b", created.get(table.name, column))
    ]


def tables_declared_twice(declared: Iterable[Table]) -> list[str]:
    """Find tables that two families declare."""
    names = [table.name for table in declared]
    return [
        f"{name} is declared twice: it belongs to one family." for name in sorted({*names}) if names.count(name) > 1
    ]
