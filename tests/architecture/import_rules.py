"""Who may import whom. Each rule takes a tree and returns what breaks it, as sentences that say what to do."""

import sys
from collections.abc import Iterator
from typing import Final

from tests.architecture.source_tree import Import, Module, Tree, imported_modules, imports_of

# A package imports from lower floors only; those of one floor do not know each other.
FLOORS: Final = {
    "core": 0,
    "settings": 0,
    "runtime": 0,
    "storage": 1,
    "outbound": 1,
    "services": 2,
    "http": 3,
    "assembly": 4,
    "cli": 5,
    "__main__": 6,
}
READ_SETTINGS: Final = {"assembly", "cli"}

# The same within services/, but here neighbours on a floor may know each other, in one direction. Files that lie
# directly in services/ (errors.py) are below all of them.
SERVICE_FLOORS: Final = {
    "events": 0,
    "e2ee": 0,
    "media": 0,
    "push": 0,
    "rooms": 1,
    "accounts": 2,
    "appservices": 2,
    "sync": 2,
    "federation": 3,
    "admin": 3,
}

# What core/ may use: nothing that reads a clock, a file, a socket, the environment or chance.
CORE_LIBRARIES: Final = {"orjson", "nacl", "msgspec"}
CORE_STANDARD_LIBRARY: Final = {
    "__future__",
    "abc",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "copy",
    "dataclasses",
    "enum",
    "functools",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "unicodedata",
}
CORE_STANDARD_LIBRARY_PARTS: Final = {"urllib.parse"}


def _where(module: Module, line: int) -> str:
    return f"{module.path}:{line}"


def imports_against_direction(tree: Tree) -> list[str]:
    """Find imports that do not go down from floor to floor."""
    return [
        f"{_where(module, line)}: {module.package}/ must not import {target}. Arrows go down: "
        "cli > assembly > http > services > (storage | outbound) > (core | settings | runtime), and only assembly and "
        "cli read settings. Move the code to the floor it belongs to, or put a Protocol on the lower floor."
        for module in tree.values()
        for target, line in imported_modules(tree, module)
        if not _may_import(module.package, tree[target].package)
    ]


def _may_import(importer: str, imported: str) -> bool:
    if imported in ("", importer):
        return True
    if imported == "settings" and importer not in READ_SETTINGS:
        return False
    return FLOORS[importer] > FLOORS[imported]


def packages_without_a_floor(tree: Tree) -> list[str]:
    """Find top-level packages, and packages of services, that no floor is given for."""
    found = {
        f"homeserver/{module.package} has no floor in tests/architecture/import_rules.py (FLOORS): name it there."
        for module in tree.values()
        if module.package not in ("", *FLOORS)
    }
    found |= {
        f"homeserver/services/{_service_package(module)} has no floor in SERVICE_FLOORS: name it there."
        for module in tree.values()
        if _service_package(module) not in (None, *SERVICE_FLOORS)
    }
    return sorted(found)


def _service_package(module: Module) -> str | None:
    """Return "events" for homeserver/services/events/…, None for what lies directly in services/."""
    parts = module.path.parts
    return parts[2] if len(parts) > 3 and parts[1] == "services" else None


def service_imports_against_order(tree: Tree) -> list[str]:
    """Find imports within services/ that go up."""
    return [
        f"{_where(module, line)}: {target} is above this file. Within services/, from the ground up: events, e2ee, "
        "media and push; rooms; accounts, appservices and sync; federation and admin. Move what both need down, or "
        "take it as a Protocol."
        for module, importer, target, imported, line in _service_imports(tree)
        if importer is None or SERVICE_FLOORS[importer] < SERVICE_FLOORS[imported]
    ]


def neighbours_that_know_each_other(tree: Tree) -> list[str]:
    """Find packages of services/ on one floor that import each other."""
    edges: dict[tuple[str, str], str] = {}
    for module, importer, _, imported, line in _service_imports(tree):
        if importer is not None:
            edges[importer, imported] = _where(module, line)
    return [
        f"services/{one} and services/{other} import each other ({place}; {edges[other, one]}). Neighbours may know "
        "each other in one direction only: move what both need into a file of one of them, or below."
        for (one, other), place in edges.items()
        if one < other and (other, one) in edges and SERVICE_FLOORS[one] == SERVICE_FLOORS[other]
    ]


def _service_imports(tree: Tree) -> Iterator[tuple[Module, str | None, str, str, int]]:
    """Give the imports from one package of services/ to another: file, its package, target, its package, line."""
    for module in tree.values():
        importer = _service_package(module)
        if module.package != "services":
            continue
        for target, line in imported_modules(tree, module):
            imported = _service_package(tree[target])
            if imported is not None and imported != importer:
                yield module, importer, target, imported, line


def circles(tree: Tree) -> list[str]:
    """Find files that import each other in a circle; imports for types alone count."""
    edges = {
        name: sorted({target for target, _ in imported_modules(tree, module) if target != name})
        for name, module in tree.items()
    }
    return [
        "These files import each other in a circle, so none can be read first: "
        + ", ".join(sorted(group))
        + ". Move what they share into a file below them."
        for group in _strong_components(edges)
        if len(group) > 1
    ]


def _strong_components(edges: dict[str, list[str]]) -> Iterator[set[str]]:
    """Give the strongly connected components of a graph: two walks, the second over the edges turned round."""
    finished: list[str] = []
    seen: set[str] = set()
    for start in edges:
        _walk(start, edges, seen, finished)
    turned: dict[str, list[str]] = {name: [] for name in edges}
    for name, targets in edges.items():
        for target in targets:
            turned[target].append(name)
    seen = set()
    for start in reversed(finished):
        component: list[str] = []
        _walk(start, turned, seen, component)
        if component:
            yield set(component)


def _walk(start: str, edges: dict[str, list[str]], seen: set[str], finished: list[str]) -> None:
    """Append everything reachable from `start` that was not seen to `finished`, the farthest first."""
    if start in seen:
        return
    seen.add(start)
    path = [(start, iter(edges[start]))]
    while path:
        name, targets = path[-1]
        onward = next((target for target in targets if target not in seen), None)
        if onward is None:
            finished.append(name)
            path.pop()
        else:
            seen.add(onward)
            path.append((onward, iter(edges[onward])))


def impure_imports_of_core(tree: Tree) -> list[str]:
    """Find libraries that core/ imports and that are not on its list."""
    return [
        f"{_where(module, each.line)}: core/ must not import {each.target}. It is pure: it is given values and returns "
        "values. Pass the time, the random bytes or the events in; a new pure library is named in CORE_LIBRARIES."
        for module in tree.values()
        if module.package == "core"
        for each in imports_of(module)
        if not _is_pure(each)
    ]


def _is_pure(each: Import) -> bool:
    top = each.target.split(".")[0]
    if top == "homeserver":
        return True  # the direction rule judges it
    return top in CORE_LIBRARIES | CORE_STANDARD_LIBRARY or each.target in CORE_STANDARD_LIBRARY_PARTS


def readers_imported_by_writers(tree: Tree) -> list[str]:
    """Find imports of sync, of a sender or of the pushers from elsewhere than http and assembly."""
    return [
        f"{_where(module, line)}: {target} follows the streams; only http and assembly know it. Write, then ring the "
        "bell: the reader comes by itself."
        for module in tree.values()
        for target, line in imported_modules(tree, module)
        if _is_reader(tree[target])
        and module.package not in ("http", "assembly")
        and module.path.parent != tree[target].path.parent
    ]


def _is_reader(module: Module) -> bool:
    if module.package != "services":
        return False
    return _service_package(module) == "sync" or module.path.stem in ("sender", "pushers")


def third_party_imports(tree: Tree) -> set[str]:
    """Return the top-level names of the libraries that a tree imports."""
    tops = {each.target.split(".")[0] for module in tree.values() for each in imports_of(module)}
    return {top for top in tops if top not in sys.stdlib_module_names and top not in ("homeserver", "tests")}
