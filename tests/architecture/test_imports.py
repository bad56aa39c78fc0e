"""Who imports whom, in the package as it is and in made-up ones that break each rule."""

import pytest

from tests.architecture import import_rules
from tests.architecture.source_tree import Tree, made_up, read_tree


@pytest.fixture(scope="module")
def homeserver() -> Tree:
    return read_tree()


def test_imports_go_down_from_floor_to_floor(homeserver: Tree) -> None:
    assert import_rules.imports_against_direction(homeserver) == []


def test_every_package_has_a_floor(homeserver: Tree) -> None:
    assert import_rules.packages_without_a_floor(homeserver) == []


def test_services_import_in_their_order(homeserver: Tree) -> None:
    assert import_rules.service_imports_against_order(homeserver) == []


def test_neighbours_among_the_services_know_each_other_in_one_direction(homeserver: Tree) -> None:
    assert import_rules.neighbours_that_know_each_other(homeserver) == []


def test_no_files_import_each_other_in_a_circle(homeserver: Tree) -> None:
    assert import_rules.circles(homeserver) == []


def test_core_imports_pure_libraries_only(homeserver: Tree) -> None:
    assert import_rules.impure_imports_of_core(homeserver) == []


def test_writers_do_not_know_the_readers(homeserver: Tree) -> None:
    assert import_rules.readers_imported_by_writers(homeserver) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("core/event", "storage/events"),
        ("core/event", "runtime/clock"),
        ("runtime/loops", "core/event"),
        ("storage/events", "outbound/agent"),
        ("storage/events", "services/errors"),
        ("services/errors", "settings/load"),
        ("services/errors", "http/errors"),
        ("http/resource", "settings/load"),
        ("http/resource", "assembly"),
        ("assembly", "cli/run"),
    ],
)
def test_an_import_against_the_direction_is_found(importer: str, imported: str) -> None:
    tree = made_up(
        {
            f"homeserver/{importer}.py": f"from homeserver.{imported.replace('/', '.')} import thing",
            f"homeserver/{imported}.py": "thing = 1",
        }
    )

    assert len(import_rules.imports_against_direction(tree)) == 1


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("cli/run", "settings/load"),
        ("assembly", "settings/load"),
        ("http/resource", "services/errors"),
        ("services/errors", "core/errors"),
        ("storage/events", "runtime/loops"),
        ("__main__", "cli/main"),
    ],
)
def test_an_import_in_the_right_direction_is_let_through(importer: str, imported: str) -> None:
    tree = made_up(
        {
            f"homeserver/{importer}.py": f"from homeserver.{imported.replace('/', '.')} import thing",
            f"homeserver/{imported}.py": "thing = 1",
        }
    )

    assert import_rules.imports_against_direction(tree) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from homeserver.services.rooms import sending",
        "from homeserver.services.rooms.sending import Sending",
        "import homeserver.services.rooms.sending",
        "from ..rooms.sending import Sending",
        "def late():\n    from homeserver.services.rooms import sending",
    ],
)
def test_every_spelling_of_an_import_is_seen(statement: str) -> None:
    tree = made_up(
        {
            "homeserver/services/events/persistence.py": statement,
            "homeserver/services/rooms/sending.py": "class Sending: ...",
        }
    )

    assert len(import_rules.service_imports_against_order(tree)) == 1


def test_neighbours_that_import_each_other_are_found() -> None:
    one_way = {
        "homeserver/services/accounts/login.py": "from homeserver.services.appservices import registry",
        "homeserver/services/accounts/profiles.py": "",
        "homeserver/services/appservices/registry.py": "",
    }
    both_ways = one_way | {
        "homeserver/services/appservices/sender.py": "from homeserver.services.accounts import profiles"
    }

    assert import_rules.neighbours_that_know_each_other(made_up(one_way)) == []
    assert len(import_rules.neighbours_that_know_each_other(made_up(both_ways))) == 1


def test_all_services_may_import_the_errors_which_import_none_of_them() -> None:
    below = made_up(
        {
            "homeserver/services/events/creation.py": "from homeserver.services.errors import NotFound",
            "homeserver/services/errors.py": "class NotFound(Exception): ...",
        }
    )
    above = made_up(
        {
            "homeserver/services/events/creation.py": "class Creation: ...",
            "homeserver/services/errors.py": "from homeserver.services.events.creation import Creation",
        }
    )

    assert import_rules.service_imports_against_order(below) == []
    assert len(import_rules.service_imports_against_order(above)) == 1


def test_a_package_without_a_floor_is_found() -> None:
    tree = made_up({"homeserver/helpers/text.py": "", "homeserver/services/helpers/text.py": ""})

    assert len(import_rules.packages_without_a_floor(tree)) == 2


def test_a_circle_of_three_files_is_found_once() -> None:
    tree = made_up(
        {
            "homeserver/core/a.py": "from homeserver.core import b",
            "homeserver/core/b.py": "from homeserver.core.c import C",
            "homeserver/core/c.py": "import homeserver.core.a",
            "homeserver/core/d.py": "from homeserver.core import a",
        }
    )

    found = import_rules.circles(tree)

    assert len(found) == 1
    assert "homeserver.core.a, homeserver.core.b, homeserver.core.c." in found[0]


@pytest.mark.parametrize(
    "statement",
    [
        "import time",
        "import os",
        "import random",
        "from datetime import datetime",
        "from twisted.internet import defer",
    ],
)
def test_an_impure_import_of_core_is_found(statement: str) -> None:
    tree = made_up({"homeserver/core/event.py": statement})

    assert len(import_rules.impure_imports_of_core(tree)) == 1


@pytest.mark.parametrize(
    "statement",
    ["import hashlib", "import orjson", "from urllib.parse import quote", "from nacl.signing import SigningKey"],
)
def test_a_pure_import_of_core_is_let_through(statement: str) -> None:
    tree = made_up({"homeserver/core/event.py": statement})

    assert import_rules.impure_imports_of_core(tree) == []


@pytest.mark.parametrize("reader", ["sync/long_poll", "federation/sender", "push/pushers"])
def test_a_writer_that_calls_a_reader_is_found(reader: str) -> None:
    name = reader.replace("/", ".")
    tree = made_up(
        {
            f"homeserver/services/{reader}.py": "class Reader: ...",
            "homeserver/services/admin/rooms.py": f"from homeserver.services.{name} import Reader",
            "homeserver/assembly.py": f"from homeserver.services.{name} import Reader",
        }
    )

    found = import_rules.readers_imported_by_writers(tree)

    assert len(found) == 1
    assert found[0].startswith("homeserver/services/admin/rooms.py:1")
