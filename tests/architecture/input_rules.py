"""What keeps input from being more than input: statements are constants, and no regular expression explodes.

Each rule takes a tree, or patterns, and returns what breaks it, as sentences that say what to do.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.architecture.source_tree import Module, Tree

RUNS_STATEMENTS: Final = frozenset({"all", "one", "run", "run_many", "insert_many"})
TRANSACTIONS: Final = frozenset({"tx", "_tx"})
REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT"})


SECRET: Final = re.compile(r"(?:^|_)(?:mac|hmac|secret|password|nonce|(?:access|refresh|login)_token)$")


def secrets_compared_in_the_open(tree: Tree) -> list[str]:
    """Find comparisons whose duration tells how much of a secret was right. Whoever has the terminal is no enemy."""
    return [
        f"{module.path}:{node.lineno}: a secret is compared by hmac.compare_digest, or found by its hash."
        for module in tree.values()
        if module.package != "cli"
        for node in module.nodes
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and not any(isinstance(each, ast.Constant) for each in (node.left, *node.comparators))
        and any(SECRET.search(_last_name(each)) for each in (node.left, *node.comparators))
    ]


def _last_name(node: ast.expr) -> str:
    """What something is called where it is compared."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Attribute(value=owner)):
            return _last_name(owner)
    return ""


def statements_that_are_no_constants(tree: Tree) -> list[str]:
    """Find statements that are put together where they are run: whatever is in them might come from a request."""
    return [
        f"{module.path}:{line}: the text of a statement is a constant of its module; values go in as parameters."
        for module in tree.values()
        for line in _lines_that_run_others(module)
    ]


def _lines_that_run_others(module: Module) -> Iterator[int]:
    constants = {name for node in module.tree.body for name in _assigned(node)}
    for function in module.nodes:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        known = constants | {
            loop.target.id
            for loop in ast.walk(function)
            if isinstance(loop, ast.For)
            and isinstance(loop.target, ast.Name)
            and isinstance(loop.iter, ast.Name)
            and loop.iter.id in constants
        }
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _runs_a_statement(call):
                text = call.args[0]
                if isinstance(text, ast.Subscript):
                    text = text.value  # one of several statements, all of them constants
                if not (isinstance(text, ast.Name) and text.id in known):
                    yield call.lineno


def _runs_a_statement(call: ast.Call) -> bool:
    called = call.func
    if not isinstance(called, ast.Attribute) or called.attr not in RUNS_STATEMENTS or not call.args:
        return False
    owner = called.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name in TRANSACTIONS


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def explosive_patterns(patterns: Iterable[tuple[str, "re.Pattern[Any]"]]) -> list[str]:
    """Find repetitions without end inside of such repetitions: a text can be made that takes for ever.

    Possessive and atomic ones never try again, and may be nested.
    """
    return [
        f"{name}: {pattern.pattern!r} repeats a repetition; make the inner or the outer one possessive."
        for name, pattern in patterns
        if _nests(_parsed(pattern), inside=False)
    ]


# Any: the tree of a parsed regular expression, which Python neither documents nor types.
def _parsed(pattern: "re.Pattern[Any]") -> Any:
    parser: Any = re._parser
    return parser.parse(pattern.pattern, pattern.flags)


def _nests(tree: Any, *, inside: bool) -> bool:
    for operation, argument in tree:
        if str(operation) in REPEATS:
            _, most, repeated = argument
            is_endless = str(most) == "MAXREPEAT"
            if (inside and is_endless) or _nests(repeated, inside=inside or is_endless):
                return True
        elif any(_nests(part, inside=inside) for part in _parts(argument)):
            return True
    return False


def _parts(argument: Any) -> Iterator[Any]:
    """The trees in what an operation is about."""
    if type(argument).__name__ == "SubPattern":
        yield argument
    elif isinstance(argument, tuple | list):
        for one in argument:
            yield from _parts(one)
