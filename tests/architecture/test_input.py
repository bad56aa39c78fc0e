"""Input stays input, in the package as it is and in made-up ones."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import homeserver
from tests.architecture import input_rules
from tests.architecture.source_tree import made_up, read_tree


def patterns_of_homeserver() -> Iterator[tuple[str, "re.Pattern[Any]"]]:
    """Every regular expression that a module keeps."""
    for found in pkgutil.walk_packages(homeserver.__path__, "homeserver."):
        if found.name in ("homeserver.__main__", "homeserver.cli.run"):
            continue  # these start something
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{found.name}.{name}", value


def test_every_statement_is_a_constant() -> None:
    assert input_rules.statements_that_are_no_constants(read_tree()) == []


def test_no_secret_is_compared_in_the_open() -> None:
    assert input_rules.secrets_compared_in_the_open(read_tree()) == []


@pytest.mark.parametrize("text", ["wish.mac == proof", "shown != self._secret", "password.encode() == b", "a == nonce"])
def test_a_secret_that_is_compared_in_the_open_is_found(text: str) -> None:
    tree = made_up({"homeserver/services/thing.py": f"def f(): return {text}"})

    assert len(input_rules.secrets_compared_in_the_open(tree)) == 1


def test_no_regular_expression_explodes() -> None:
    patterns = list(patterns_of_homeserver())

    assert len(patterns) > 20
    assert input_rules.explosive_patterns(patterns) == []


@pytest.mark.parametrize(
    "text", ['tx.all(f"SELECT {name}")', 'tx.run("DELETE" + name)', "self._tx.one(name)", "tx.insert_many(FIND % name)"]
)
def test_a_statement_that_is_put_together_is_found(text: str) -> None:
    tree = made_up({"homeserver/storage/a.py": f'FIND = "SELECT %s"\ndef find(tx, name):\n    return {text}'})

    assert len(input_rules.statements_that_are_no_constants(tree)) == 1


def test_a_constant_statement_passes() -> None:
    code = 'FIND = "SELECT 1"\nALL = (FIND,)\ndef find(tx):\n    for one in ALL:\n        tx.run(one)\n    tx.all(FIND)'

    assert input_rules.statements_that_are_no_constants(made_up({"homeserver/storage/a.py": code})) == []


def test_one_of_several_constant_statements_passes_and_one_of_others_does_not() -> None:
    code = 'ALL = {"a": "SELECT 1"}\ndef find(tx, name, given):\n    tx.all(ALL[name])\n    tx.all(given[name])'

    assert len(input_rules.statements_that_are_no_constants(made_up({"homeserver/storage/a.py": code}))) == 1


@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b?)*c", "([a-z]+,?)+$", "(?:x(?:a|b+)y?)*"])
def test_a_repeated_repetition_is_found(pattern: str) -> None:
    assert len(input_rules.explosive_patterns([("x", re.compile(pattern))])) == 1


@pytest.mark.parametrize("pattern", ["a+b*", "(?:a{1,9})+", "(?:a++b)*+", "(?>a+)", "[a-z]+(?:-[a-z])*"])
def test_what_comes_to_an_end_passes(pattern: str) -> None:
    assert input_rules.explosive_patterns([("x", re.compile(pattern))]) == []
