"""The list of known attacks names tests that exist."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.hostile import known_attacks
from tests.hostile.known_attacks import KNOWN_ATTACKS

ROOT = Path(__file__).parents[2]


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests in a file; none if there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


@pytest.mark.parametrize("attack", KNOWN_ATTACKS)
def test_what_is_said_to_withstand_an_attack_exists(attack: str) -> None:
    named = KNOWN_ATTACKS[attack]

    missing = []
    for one in named:
        file, separator, name = one.partition("::")
        found = names_in(file)
        if not found or (separator and name not in found):
            missing.append(one)

    assert named
    assert missing == []


def test_no_attack_is_listed_twice() -> None:
    parts = (
        known_attacks.ROOMS,
        known_attacks.READING,
        known_attacks.SPEAKING,
        known_attacks.STAYING_UP,
        known_attacks.SECRETS,
    )

    assert len(KNOWN_ATTACKS) == sum(len(part) for part in parts)


def test_what_hostile_servers_and_clients_do_is_in_the_list() -> None:
    listed = {one for named in KNOWN_ATTACKS.values() for one in named}

    for name in ("hostile_requests", "hostile_answers", "hostile_policy_servers", "client_attacks"):
        file = f"tests/hostile/test_{name}.py"
        assert {f"{file}::{test}" for test in names_in(file)} <= listed
