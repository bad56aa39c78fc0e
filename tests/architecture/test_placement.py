"""What stands in which room, in the package as it is and in made-up ones that break each rule."""

import pytest

from tests.architecture import placement_rules
from tests.architecture.source_tree import Tree, made_up, read_tree


@pytest.fixture(scope="module")
def homeserver() -> Tree:
    return read_tree()


def test_sql_stands_in_storage_alone(homeserver: Tree) -> None:
    assert placement_rules.sql_outside_storage(homeserver) == []


def test_twisted_requests_are_known_to_one_file(homeserver: Tree) -> None:
    assert placement_rules.requests_outside_the_door(homeserver) == []


def test_the_global_reactor_is_imported_by_one_file(homeserver: Tree) -> None:
    assert placement_rules.reactors_outside_run(homeserver) == []


def test_three_files_may_catch_everything(homeserver: Tree) -> None:
    assert placement_rules.catch_alls(homeserver) == []


def test_no_import_is_for_the_type_checker_alone(homeserver: Tree) -> None:
    assert placement_rules.type_checking_blocks(homeserver) == []


def test_imports_stand_at_the_top(homeserver: Tree) -> None:
    assert placement_rules.imports_below_the_top(homeserver) == []


def test_core_and_storage_functions_are_not_async(homeserver: Tree) -> None:
    assert placement_rules.async_where_none_may_be(homeserver) == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "\n  SELECT room_id\n    FROM rooms",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "INSERT INTO rooms (room_id) VALUES (:room_id)",
        "UPDATE rooms SET blocked = TRUE",
        "DELETE FROM rooms",
        "CREATE TABLE rooms (room_id TEXT)",
        "CREATE UNIQUE INDEX i ON rooms (room_id)",
    ],
)
def test_a_statement_outside_storage_is_found(text: str) -> None:
    tree = made_up({"homeserver/services/rooms/sending.py": f"QUERY = {text!r}"})

    assert len(placement_rules.sql_outside_storage(tree)) == 1


@pytest.mark.parametrize("text", ["With the room, select a member", "UPDATE", "Cannot SELECT more than 100 events"])
def test_prose_is_not_taken_for_a_statement(text: str) -> None:
    tree = made_up({"homeserver/services/rooms/sending.py": f"REASON = {text!r}"})

    assert placement_rules.sql_outside_storage(tree) == []


def test_a_statement_in_storage_and_one_in_a_docstring_are_let_through() -> None:
    tree = made_up(
        {
            "homeserver/storage/rooms.py": "QUERY = 'DELETE FROM rooms'",
            "homeserver/services/rooms/sending.py": '"""Never runs DELETE FROM rooms itself."""',
        }
    )

    assert placement_rules.sql_outside_storage(tree) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from twisted.web.http import Request",
        "from twisted.web.iweb import IRequest",
        "from twisted.web import server",
        "import twisted.web.server",
    ],
)
def test_a_request_outside_its_door_is_found(statement: str) -> None:
    tree = made_up({"homeserver/http/client/sync.py": statement, "homeserver/http/resource.py": statement})

    found = placement_rules.requests_outside_the_door(tree)

    assert len(found) == 1
    assert found[0].startswith("homeserver/http/client/sync.py:1")


@pytest.mark.parametrize("statement", ["from twisted.internet import reactor", "import twisted.internet.reactor"])
def test_a_reactor_outside_run_is_found(statement: str) -> None:
    tree = made_up({"homeserver/runtime/clock.py": statement, "homeserver/cli/run.py": statement})

    assert len(placement_rules.reactors_outside_run(tree)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept (ValueError, BaseException):\n    pass",
        "try:\n    f()\nexcept:\n    pass",
        "with contextlib.suppress(Exception):\n    f()",
    ],
)
def test_a_catch_all_is_found(source: str) -> None:
    tree = made_up({"homeserver/services/rooms/sending.py": source, "homeserver/runtime/loops.py": source})

    assert len(placement_rules.catch_alls(tree)) == 1


def test_a_named_exception_may_be_caught() -> None:
    tree = made_up({"homeserver/core/event.py": "try:\n    f()\nexcept ValueError:\n    pass"})

    assert placement_rules.catch_alls(tree) == []


@pytest.mark.parametrize(
    "source", ["from typing import TYPE_CHECKING", "import typing\nif typing.TYPE_CHECKING:\n    x = 1"]
)
def test_an_import_for_the_type_checker_is_found(source: str) -> None:
    tree = made_up({"homeserver/core/event.py": source})

    assert len(placement_rules.type_checking_blocks(tree)) == 1


@pytest.mark.parametrize(
    "source", ["def f():\n    import json", "try:\n    import json\nexcept ImportError:\n    json = None"]
)
def test_an_import_below_the_top_is_found(source: str) -> None:
    tree = made_up({"homeserver/core/event.py": source})

    assert len(placement_rules.imports_below_the_top(tree)) == 1


def test_async_in_a_storage_function_is_found() -> None:
    source = "async def receipts_since(tx): ..."
    tree = made_up(
        {
            "homeserver/storage/receipts.py": source,
            "homeserver/core/receipts.py": source,
            "homeserver/storage/database.py": source,
            "homeserver/services/rooms/receipts.py": source,
        }
    )

    assert len(placement_rules.async_where_none_may_be(tree)) == 2
