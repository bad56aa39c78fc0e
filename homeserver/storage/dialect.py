"""How the one SQL text of a statement is said to SQLite and to PostgreSQL.

A statement is written once, as a constant: parameters as `:name`, lists as `x IN :names[text]` (also `[bigint]` and
`[bytes]`, also `NOT IN`). A dialect translates each constant once and keeps the result. The types of columns in the
migrations are translated here too. Which statements there are is not here: see the files of the families.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.errors import BadJson

ArrayAdapter = Callable[[Iterable[Any]], object]  # Any: the elements are as typed as their SQL says

HIGHEST: Final = 2**63 - 1
LOWEST: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class InsertShape:
    """The parts of an `INSERT INTO table (columns) VALUES (values) ON CONFLICT …` that is run for many rows."""

    table: str
    head: str  # up to and with VALUES
    row: str  # "(%(a)s, %(b)s)"
    tail: str  # from ON CONFLICT on, or ""
    key: tuple[str, ...]  # the parameters that make up the conflict target of a DO UPDATE; () for any other


@dataclass(frozen=True, slots=True)
class Statement:
    """A constant of SQL as one database understands it."""

    sql: str
    names: frozenset[str]  # every bare word of the text: a superset of the tables it touches
    arrays: tuple[tuple[str, ArrayAdapter], ...]  # parameters that are lists, and what the driver wants of them
    writes: bool
    insert: InsertShape | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One database's way with SQL. There are two, below."""

    name: str
    parameter: Callable[[str], str]
    literal: Callable[[str], str]
    arrays: Mapping[str, tuple[str, str, ArrayAdapter]]  # type -> (text for IN, text for NOT IN, adapter)
    column_types: Mapping[str, str]
    table_suffix: str
    allows_without_rowid: bool
    statements: dict[str, Statement]

    def statement(self, sql: str) -> Statement:
        """The translation of `sql`, made at its first use."""
        known = self.statements.get(sql)
        if known is None:
            known = self.statements[sql] = self._translated(sql)
        return known

    def ddl(self, sql: str) -> str:
        """A statement of a migration with its column types translated."""
        pieces = TOKEN.findall(sql)
        words = [piece.upper() for piece in pieces if WORD.fullmatch(piece)]
        if words[:2] not in (["CREATE", "TABLE"], ["ALTER", "TABLE"]):
            return sql
        if "REFERENCES" in words:
            raise ValueError("foreign keys are not used: rows inserted by insert_many arrive in any order")
        text = "".join(self.column_types.get(piece, piece) for piece in pieces)
        if words[0] == "ALTER":
            return text
        body, closing, options = text.rpartition(")")
        wanted = {"WITHOUT ROWID"} if "WITHOUT ROWID" in options.upper() else set()
        if not self.allows_without_rowid:
            wanted.clear()
        if self.table_suffix:
            wanted.add(self.table_suffix)
        return f"{body}{closing} {', '.join(sorted(wanted))}".rstrip()

    def _translated(self, sql: str) -> Statement:
        arrays: list[tuple[str, ArrayAdapter]] = []
        names: set[str] = set()
        writes = False
        out: list[str] = []
        for match in SQL_PART.finditer(sql):
            if name := match["list"]:
                inside, outside, adapter = self.arrays[match["type"]]
                if (name, adapter) not in arrays:
                    arrays.append((name, adapter))
                out.append((outside if match["not"] else inside).format(name=name))
            elif name := match["param"]:
                out.append(self.parameter(name))
            else:
                piece = match[0]
                if match["word"]:
                    names.add(piece.lower())
                    writes = writes or piece.upper() in WRITING_WORDS
                out.append(self.literal(piece))
        text = "".join(out)
        return Statement(text, frozenset(names), tuple(arrays), writes, insert_shape(sql, text))


SQL_PART: Final = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*)
      | (?:(?P<not>\bNOT\s+)?\bIN\s+:(?P<list>[a-z_][a-z0-9_]*)\[(?P<type>[a-z]+)\])
      | (?P<cast>::)
      | :(?P<param>[a-z_][a-z0-9_]*)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<other>[^'":A-Za-z_-]+|.)""",
    re.VERBOSE | re.DOTALL,
)
TOKEN: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_][A-Za-z0-9_]*|[^'"A-Za-z_]+|.""", re.DOTALL)
WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WRITING_WORDS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
INSERT: Final = re.compile(
    r"""\s*INSERT\s+INTO\s+(?P<table>[a-z_][a-z0-9_]*)\s*\((?P<columns>[^)]*)\)\s*VALUES\s*""",
    re.IGNORECASE | re.VERBOSE,
)
CONFLICT_TARGET: Final = re.compile(
    r"\s*ON\s+CONFLICT\s*\((?P<target>[^)]*)\).*\bDO\s+UPDATE\b", re.IGNORECASE | re.DOTALL
)


def insert_shape(sql: str, translated: str) -> InsertShape | None:
    """The parts of a translated one-row INSERT, or None when `sql` is anything else."""
    head, original = INSERT.match(translated), INSERT.match(sql)
    if head is None or original is None:
        return None
    end = closing_parenthesis(translated, head.end())
    original_end = closing_parenthesis(sql, original.end())
    if end is None or original_end is None:
        return None
    columns = [column.strip() for column in original["columns"].split(",")]
    values = [value.strip() for value in sql[original.end() + 1 : original_end - 1].split(",")]
    if any(match["param"] or match["list"] for match in SQL_PART.finditer(sql[original_end:])):
        return None
    target = CONFLICT_TARGET.match(sql[original_end:])
    key: tuple[str, ...] = ()
    if target is not None:
        if len(columns) != len(values):
            return None
        sources = dict(zip(columns, values, strict=True))
        names = [sources.get(column.strip(), "") for column in target["target"].split(",")]
        if not all(name.startswith(":") for name in names):
            return None
        key = tuple(name[1:] for name in names)
    return InsertShape(
        original["table"].lower(), translated[: head.end()], translated[head.end() : end], translated[end:], key
    )


def closing_parenthesis(text: str, start: int) -> int | None:
    """The index after the parenthesis that closes the one at `start`; None when there is none at `start`."""
    if text[start : start + 1] != "(":
        return None
    depth = 0
    for match in re.finditer(r"'(?:[^']|'')*'|[()]", text[start:]):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return start + match.end()
    return None


def adapted(statement: Statement, parameters: dict[str, Any]) -> dict[str, Any]:
    """The same parameters, checked, and their lists as the driver takes them. Any: as in check_values."""
    check_values(parameters.values())
    for name, adapter in statement.arrays:
        parameters[name] = adapter(parameters[name])
    return parameters


def check_values(values: Iterable[Any]) -> None:
    """Refuse what one of the databases cannot store: both refuse it alike. Any: whatever a statement takes.

    Raises BadJson for text with a NUL and for integers outside 64 bits.
    """
    for value in values:
        kind = type(value)
        if kind is str:
            if "\0" in value:
                raise BadJson("a string contains a NUL character")
        elif kind is int and not LOWEST <= value <= HIGHEST:
            raise BadJson("an integer is outside the range of 64 bits")


# Both databases fold the case of these letters, and of no others.
ASCII_LOWER: Final = {ord(letter): ord(letter.lower()) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def like_pattern(text: str) -> str:
    """What `LOWER(…) LIKE … ESCAPE '!'` takes for exactly this text, in small letters as LOWER makes them."""
    return text.translate(ASCII_LOWER).replace("!", "!!").replace("%", "!%").replace("_", "!_")


def checked_list(values: Iterable[Any]) -> list[Any]:
    """The values of a list parameter, refused like all others. Any: as in check_values."""
    elements = list(values)
    check_values(elements)
    return elements


def json_list(values: Iterable[Any]) -> str:
    """A JSON array for json_each(). Any: text or integers."""
    try:
        return orjson.dumps(checked_list(values)).decode()
    except TypeError as error:
        raise BadJson("a string is not valid Unicode") from error


def json_hex_list(values: Iterable[bytes]) -> str:
    """A JSON array of hexadecimal text for json_each()."""
    return orjson.dumps([value.hex() for value in values]).decode()


def _in_json(value: str, adapter: ArrayAdapter) -> tuple[str, str, ArrayAdapter]:
    chosen = f"(SELECT {value} FROM json_each(:{{name}}))"  # noqa: S608 - `value` is one of two constants below
    return f"IN {chosen}", f"NOT IN {chosen}", adapter


def _in_array(element: str) -> tuple[str, str, ArrayAdapter]:
    return f"= ANY(%({{name}})s::{element}[])", f"<> ALL(%({{name}})s::{element}[])", checked_list


def sqlite() -> Dialect:
    """SQLite's dialect, with a cache of its own."""
    return Dialect(
        name="sqlite",
        parameter=lambda name: f":{name}",
        literal=lambda piece: piece,
        arrays={
            "text": _in_json("value", json_list),
            "bigint": _in_json("value", json_list),
            "bytes": _in_json("unhex(value)", json_hex_list),
        },
        column_types={"BIGINT": "INTEGER", "BYTES": "BLOB", "BOOLEAN": "INTEGER", "DOUBLE": "REAL"},
        table_suffix="STRICT",
        allows_without_rowid=True,
        statements={},
    )


def postgresql() -> Dialect:
    """PostgreSQL's dialect, with a cache of its own. Text compares by its bytes, as it does in SQLite."""
    return Dialect(
        name="postgresql",
        parameter=lambda name: f"%({name})s",
        literal=lambda piece: piece.replace("%", "%%"),
        arrays={"text": _in_array("text"), "bigint": _in_array("bigint"), "bytes": _in_array("bytea")},
        column_types={"TEXT": 'TEXT COLLATE "C"', "BYTES": "BYTEA", "DOUBLE": "DOUBLE PRECISION"},
        table_suffix="",
        allows_without_rowid=False,
        statements={},
    )
