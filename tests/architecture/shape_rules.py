"""What every file and every service looks like: docstrings, empty packages, few collaborators, a mirrored test.

Each rule takes a tree and returns what breaks it, as sentences that say what to do.
"""

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tests.architecture.source_tree import Module, Tree, imports_of

MOST_COLLABORATORS: Final = 7
MIRRORED: Final = ("core", "runtime", "settings", "storage", "outbound", "services", "http", "cli")
# Mechanics that any code may hold; they have no rules of their own, so they do not make a class do more.
AMBIENT: Final = {"Clock", "Randomness"}


def files_without_docstring(tree: Tree) -> list[str]:
    """Find modules that do not begin by saying what lives in them."""
    return [
        f"{module.path}: begins without a docstring. Say what lives here; then what does not, and where that is."
        for module in tree.values()
        if not ast.get_docstring(module.tree)
    ]


def packages_with_code(tree: Tree) -> list[str]:
    """Find an `__init__.py` that holds more than a docstring; homeserver/__init__.py may hold the version."""
    return [
        f"{module.path}: a package is a docstring and nothing else; import from the files themselves."
        for module in tree.values()
        if module.is_package and not all(_belongs_in_a_package(module, node) for node in module.tree.body)
    ]


def _belongs_in_a_package(module: Module, node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return True
    if module.name != "homeserver":
        return False
    if isinstance(node, ast.ImportFrom):
        return node.module == "importlib.metadata"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return bool(targets) and all(isinstance(target, ast.Name) and target.id == "__version__" for target in targets)


def crowded_services(tree: Tree) -> list[str]:
    """Find services whose constructors name more than seven collaborators.

    What counts: parameters and fields whose type is a class of runtime, storage, outbound or services that is not a
    record. Plain values (numbers, text, identifiers, types of core, callables), clocks and randomness do not count.
    """
    classes = {(module.name, node.name): node for module in tree.values() for node in _classes(module)}
    found = []
    for module in tree.values():
        if module.package != "services":
            continue
        origins = _origins(module)
        for node in _classes(module):
            names = [name for name, kind in _constructor(node) if _is_collaborator(kind, origins, classes)]
            if not _is_record(node) and len(names) > MOST_COLLABORATORS:
                found.append(
                    f"{module.path}:{node.lineno}: {node.name} names {len(names)} collaborators ({', '.join(names)}); "
                    f"at most {MOST_COLLABORATORS}. More means that it is two services."
                )
    return found


def _classes(module: Module) -> Iterator[ast.ClassDef]:
    return (node for node in module.tree.body if isinstance(node, ast.ClassDef))


def _origins(module: Module) -> dict[str, tuple[str, str]]:
    """Map each name that a module can use to (module, name) of where it is defined."""
    names = {node.name: (module.name, node.name) for node in _classes(module)}
    for each in imports_of(module):
        if each.name:
            names[each.name] = (each.target, each.name)
    return names


def _constructor(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Give the parameters of a class's constructor with their types: those of __init__, or a dataclass's fields."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            arguments = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
            yield from ((each.arg, each.annotation) for each in arguments if each.annotation)
            return
    if any(_name_of(decorator) == "dataclass" for decorator in node.decorator_list):
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and _is_parameter(item):
                yield item.target.id, item.annotation


def _is_parameter(item: ast.AnnAssign) -> bool:
    """False for a field that the constructor does not take: `field(init=False)`."""
    return not (
        isinstance(item.value, ast.Call)
        and any(
            keyword.arg == "init" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            for keyword in item.value.keywords
        )
    )


def _is_collaborator(
    kind: ast.expr, origins: dict[str, tuple[str, str]], classes: dict[tuple[str, str], ast.ClassDef]
) -> bool:
    names = {node.id for node in ast.walk(kind) if isinstance(node, ast.Name) and not hasattr(builtins, node.id)}
    if names & {"Callable"}:
        return False
    for name in names - AMBIENT:
        module, original = origins.get(name, ("", ""))
        package = module.removeprefix("homeserver.").split(".")[0] if module.startswith("homeserver.") else ""
        node = classes.get((module, original))
        if package in ("runtime", "storage", "outbound", "services") and node is not None and not _is_record(node):
            return True
    return False


def _is_record(node: ast.ClassDef) -> bool:
    """True for what only holds values: a dataclass with slots, a Struct, a NamedTuple, an Enum, an exception."""
    if any(
        keyword.arg == "slots"
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        for keyword in decorator.keywords
    ):
        return True
    return any(
        (_name_of(base) or "").endswith(("Struct", "NamedTuple", "Enum", "Flag", "Error")) for base in node.bases
    )


def _name_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call):
        return _name_of(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def mirrors_of_nothing(tree: Tree, tests: Tree) -> list[str]:
    """Find test files in a mirrored folder that are named after no file of that folder.

    homeserver/x/y.py is tested in tests/x/test_y.py; test_y_after_restart.py is a second file about the same.
    """
    found = []
    subjects_of: defaultdict[PurePosixPath, set[str]] = defaultdict(set)
    for module in tree.values():
        folder = module.path.parent
        subjects_of[folder].add(module.path.stem)
        subjects_of[folder.parent].add(folder.name)
    for test in tests.values():
        parts = test.path.parts
        if len(parts) < 3 or parts[1] not in MIRRORED or not test.path.name.startswith("test_"):
            continue
        folder = PurePosixPath("homeserver", *parts[1:-1])
        stem = test.path.stem.removeprefix("test_")
        if not any(stem == subject or stem.startswith(f"{subject}_") for subject in subjects_of[folder]):
            found.append(f"{test.path}: there is no {folder}/{stem}.py. Name a test file after the file that it tests.")
    return found


def folders_of_tests_without_init(tests: Tree) -> list[str]:
    """Find folders of tests without an `__init__.py`: two files of one name would be taken for the same."""
    folders = {module.path.parent for module in tests.values()}
    packages = {module.path.parent for module in tests.values() if module.is_package}
    return [f"{folder}/__init__.py is missing: add it, empty." for folder in sorted(folders - packages)]
