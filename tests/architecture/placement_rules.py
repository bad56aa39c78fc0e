"""What may stand only in certain rooms: SQL, Twisted's request, the reactor, catch-alls, hidden imports.

Each rule takes a tree and returns what breaks it, as sentences that say what to do.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.architecture.source_tree import Module, Tree, imports_of

SQL: Final = re.compile(
    r"""^\s*(SELECT|WITH)\s  # a statement that begins with it
      | \bSELECT\s[^;]*\sFROM\s
      | \bINSERT\s+(OR\s+\w+\s+)?INTO\s
      | \bUPDATE\s+[\w"]+\s+SET\s
      | \bDELETE\s+FROM\s
      | \b(CREATE|DROP|ALTER)\s+(UNIQUE\s+|VIRTUAL\s+|TEMP\s+)?(TABLE|INDEX)\s""",
    re.VERBOSE,
)
CATCH_ALLS: Final = {"Exception", "BaseException"}
MAY_CATCH_ALL: Final = {"homeserver/http/resource.py", "homeserver/runtime/loops.py", "homeserver/storage/database.py"}
REQUEST_DOOR: Final = "homeserver/http/resource.py"
REQUEST_MODULES: Final = {"twisted.web.http", "twisted.web.server", "twisted.web.resource"}
REACTOR_FILE: Final = "homeserver/cli/run.py"
BLOCKING_DOOR: Final = "homeserver/storage/database.py"


def _docstrings(tree: ast.AST) -> set[int]:
    """Return the identities of the constants that are docstrings."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found


def sql_outside_storage(tree: Tree) -> list[str]:
    """Find string constants that are SQL statements, outside storage/."""
    return [
        f"{module.path}:{node.lineno}: SQL stands in storage/ alone. Make it a constant there, with a function under "
        "it that takes the transaction and returns records."
        for module in tree.values()
        if module.package != "storage"
        for docstrings in [_docstrings(module.tree)]
        for node in module.nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and SQL.search(node.value)
    ]


def requests_outside_the_door(tree: Tree) -> list[str]:
    """Find uses of Twisted's request, or of its server side, outside http/resource.py."""
    return [
        f"{module.path}:{line}: Twisted's request and server are known to http/resource.py alone ({what}). Take "
        "http/endpoint.py's Request instead."
        for module in tree.values()
        if str(module.path) != REQUEST_DOOR
        for what, line in _uses_of_requests(module)
    ]


def _uses_of_requests(module: Module) -> Iterator[tuple[str, int]]:
    for each in imports_of(module):
        full = f"{each.target}.{each.name}" if each.name else each.target
        if each.target in REQUEST_MODULES or full in REQUEST_MODULES or full == "twisted.web.iweb.IRequest":
            yield full, each.line


def reactors_outside_run(tree: Tree) -> list[str]:
    """Find imports of the global reactor outside cli/run.py."""
    return [
        f"{module.path}:{each.line}: the global reactor is imported by cli/run.py alone. Take a Clock, or the reactor "
        "as a constructor's value."
        for module in tree.values()
        if str(module.path) != REACTOR_FILE
        for each in imports_of(module)
        if each.target == "twisted.internet.reactor" or (each.target, each.name) == ("twisted.internet", "reactor")
    ]


def catch_alls(tree: Tree) -> list[str]:
    """Find `except Exception`, bare `except` and `suppress(Exception)` outside the three files that may."""
    return [
        f"{module.path}:{line}: only {', '.join(sorted(MAY_CATCH_ALL))} may catch everything. Name the exceptions that "
        "you expect; the others are bugs, and are logged at the door."
        for module in tree.values()
        if str(module.path) not in MAY_CATCH_ALL
        for line in _catch_all_lines(module.tree)
    ]


def _catch_all_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _names_a_catch_all(node.type)):
            yield node.lineno
        elif isinstance(node, ast.Call) and _last_name(node.func) == "suppress":
            yield from (node.lineno for argument in node.args if _names_a_catch_all(argument))


def _names_a_catch_all(node: ast.expr) -> bool:
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(_last_name(name) in CATCH_ALLS for name in names)


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def type_checking_blocks(tree: Tree) -> list[str]:
    """Find imports that exist for the type checker alone."""
    return [
        f"{module.path}:{line}: no TYPE_CHECKING. If a type makes a circle the arrow is wrong: put a Protocol below."
        for module in tree.values()
        for line in _type_checking_lines(module)
    ]


def _type_checking_lines(module: Module) -> Iterator[int]:
    yield from (each.line for each in imports_of(module) if each.name == "TYPE_CHECKING")
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr == "TYPE_CHECKING":
            yield node.lineno


def imports_below_the_top(tree: Tree) -> list[str]:
    """Find imports inside functions, classes and conditions."""
    return [
        f"{module.path}:{node.lineno}: imports stand at the top of the file, unconditionally. If that makes a circle, "
        "the arrow is wrong."
        for module in tree.values()
        for node in module.nodes
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in module.tree.body
    ]


def async_where_none_may_be(tree: Tree) -> list[str]:
    """Find `async` in core/, and in storage/ outside database.py."""
    kinds = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    return [
        f"{module.path}:{node.lineno}: no async here. core/ computes; a storage function runs inside a transaction on "
        "a database thread and returns."
        for module in tree.values()
        if module.package in ("core", "storage") and str(module.path) != BLOCKING_DOOR
        for node in module.nodes
        if isinstance(node, kinds)
    ]
