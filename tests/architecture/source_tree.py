"""The package's source as parsed modules, read from disk or made up by a test.

The rules over them are in the *_rules.py files beside this one.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One source file: its path from the root, its dotted name, its text."""

    path: PurePosixPath
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree, made for the first who asks: the rules only read it."""
        return ast.parse(self.text, filename=str(self.path))

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree, as `ast.walk` comes to them."""
        return tuple(ast.walk(self.tree))

    @property
    def is_package(self) -> bool:
        """True for an `__init__.py`."""
        return self.path.name == "__init__.py"

    @property
    def package(self) -> str:
        """The part of the house it belongs to: "core", "services", …; "" for homeserver/__init__.py itself."""
        parts = self.path.parts
        return parts[1].removesuffix(".py").removeprefix("__init__") if len(parts) > 1 else ""


Tree = Mapping[str, Module]  # by dotted name


def parse(path: str, source: str) -> Module:
    """One file whose path is given from the root."""
    pure = PurePosixPath(path)
    parts = pure.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(pure, name, source)


def made_up(sources: Mapping[str, str]) -> Tree:
    """Sources that a test invents: path -> text."""
    modules = [parse(path, source) for path, source in sources.items()]
    return {module.name: module for module in modules}


@cache
def read_tree(folder: str = "homeserver") -> Tree:
    """Every Python file below a folder of the project, read once per run; not what npm brought."""
    paths = sorted(path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts)
    modules = [parse(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    return {module.name: module for module in modules}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `from target import name`, or `import target` with no name."""

    target: str
    name: str | None
    line: int


def imports_of(module: Module) -> Iterator[Import]:
    """Walk all imports of a module, wherever they stand."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            target = _absolute(module, node)
            for alias in node.names:
                yield Import(target, alias.name, node.lineno)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    base = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*base, node.module] if node.module else base)


def imported_modules(tree: Tree, module: Module) -> Iterator[tuple[str, int]]:
    """Give the modules of the tree that a module imports, with the line.

    `from package import thing` is an import of package.thing where that is a module, and of package where it is not.
    """
    for each in imports_of(module):
        full = f"{each.target}.{each.name}" if each.name else each.target
        if full in tree:
            yield full, each.line
        elif each.target in tree:
            yield each.target, each.line
