"""What files and services look like, in the package as it is and in made-up ones that break each rule."""

import pytest

from tests.architecture import shape_rules
from tests.architecture.source_tree import Tree, made_up, read_tree


@pytest.fixture(scope="module")
def homeserver() -> Tree:
    return read_tree()


@pytest.fixture(scope="module")
def tests() -> Tree:
    return read_tree("tests")


def test_every_file_begins_with_a_docstring(homeserver: Tree) -> None:
    assert shape_rules.files_without_docstring(homeserver) == []


def test_a_package_is_a_docstring(homeserver: Tree) -> None:
    assert shape_rules.packages_with_code(homeserver) == []


def test_no_service_names_more_than_seven_collaborators(homeserver: Tree) -> None:
    assert shape_rules.crowded_services(homeserver) == []


def test_tests_mirror_the_package(homeserver: Tree, tests: Tree) -> None:
    assert shape_rules.mirrors_of_nothing(homeserver, tests) == []


def test_folders_of_tests_are_packages(tests: Tree) -> None:
    assert shape_rules.folders_of_tests_without_init(tests) == []


def test_a_file_without_a_docstring_is_found() -> None:
    tree = made_up({"homeserver/core/a.py": "x = 1", "homeserver/core/b.py": '"""Text."""'})

    assert len(shape_rules.files_without_docstring(tree)) == 1


def test_a_package_that_exports_again_is_found() -> None:
    tree = made_up(
        {
            "homeserver/core/__init__.py": '"""Text."""\nfrom homeserver.core.event import Event',
            "homeserver/__init__.py": '"""Text."""\nfrom importlib.metadata import version\n__version__ = version("c")',
        }
    )

    found = shape_rules.packages_with_code(tree)

    assert len(found) == 1
    assert found[0].startswith("homeserver/core/__init__.py")


def _service(*fields: str) -> Tree:
    """Make a service whose fields have these types."""
    body = "\n".join(f"    f{number}: {kind}" for number, kind in enumerate(fields))
    return made_up(
        {
            "homeserver/storage/database.py": "class Database:\n    async def write(self): ...",
            "homeserver/runtime/clock.py": "class Clock: ...",
            "homeserver/core/identifiers.py": "ServerName = str",
            "homeserver/services/errors.py": "@dataclass(frozen=True, slots=True)\nclass Record:\n    name: str",
            "homeserver/services/rooms/sending.py": (
                "from homeserver.core.identifiers import ServerName\n"
                "from homeserver.runtime.clock import Clock\n"
                "from homeserver.services.errors import Record\n"
                "from homeserver.storage.database import Database\n"
                f"@dataclass(frozen=True)\nclass Sending:\n{body}\n"
            ),
        }
    )


def test_an_eighth_collaborator_is_found() -> None:
    assert len(shape_rules.crowded_services(_service(*["Database"] * 8))) == 1
    assert shape_rules.crowded_services(_service(*["Database"] * 7)) == []


def test_a_collaborator_that_may_be_absent_counts() -> None:
    assert len(shape_rules.crowded_services(_service(*["Database | None"] * 8))) == 1


def test_values_records_and_the_clock_are_no_collaborators() -> None:
    values = ["str", "int | None", "ServerName", "Clock", "Record", "Callable[[Database], None]", "tuple[str, ...]"]

    assert shape_rules.crowded_services(_service(*["Database"] * 7, *values)) == []


def test_the_parameters_of_a_written_constructor_count() -> None:
    parameters = ", ".join(f"p{number}: Database" for number in range(8))
    tree = made_up(
        {
            "homeserver/storage/database.py": "class Database: ...",
            "homeserver/services/rooms/sending.py": (
                "from homeserver.storage.database import Database\n"
                f"class Sending:\n    def __init__(self, {parameters}) -> None: ..."
            ),
        }
    )

    assert len(shape_rules.crowded_services(tree)) == 1


def test_a_test_file_named_after_nothing_is_found() -> None:
    tree = made_up({"homeserver/storage/receipts.py": "", "homeserver/storage/migrations/runner.py": ""})
    tests = made_up(
        {
            "tests/storage/test_receipts.py": "",
            "tests/storage/test_receipts_of_threads.py": "",
            "tests/storage/test_migrations.py": "",
            "tests/storage/test_tokens.py": "",
            "tests/journeys/test_two_servers.py": "",
        }
    )

    found = shape_rules.mirrors_of_nothing(tree, tests)

    assert len(found) == 1
    assert found[0].startswith("tests/storage/test_tokens.py")


def test_a_folder_of_tests_that_is_no_package_is_found() -> None:
    tests = made_up(
        {"tests/core/test_event.py": "", "tests/storage/__init__.py": "", "tests/storage/test_rooms.py": ""}
    )

    found = shape_rules.folders_of_tests_without_init(tests)

    assert len(found) == 1
    assert found[0].startswith("tests/core/__init__.py")
