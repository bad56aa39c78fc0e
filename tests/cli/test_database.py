"""What is wrong with a database, found from outside."""

from pathlib import Path

from homeserver.cli.database import find_database_problem
from homeserver.settings.sections import Settings
from homeserver.storage.sqlite import open_sqlite


def test_a_database_that_is_still_to_be_made_has_no_problem_and_is_not_made(tmp_path: Path) -> None:
    settings = Settings(server_name="example.org", data_dir=tmp_path)

    assert find_database_problem(settings) is None
    assert list(tmp_path.iterdir()) == []


def test_the_database_of_a_server_has_no_problem(tmp_path: Path) -> None:
    settings = Settings(server_name="example.org", data_dir=tmp_path)
    open_sqlite(settings.sqlite_file)
    before = settings.sqlite_file.read_bytes()

    assert find_database_problem(settings) is None
    assert settings.sqlite_file.read_bytes() == before


def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    settings = Settings(server_name="example.org", data_dir=tmp_path)
    settings.sqlite_file.write_bytes(b"no database" * 20)

    assert find_database_problem(settings) == f"{settings.sqlite_file} is not an SQLite database"


def test_a_database_that_does_not_answer_is_a_problem_told_without_the_password() -> None:
    settings = Settings(server_name="example.org", database="postgresql://columba:s3cret@127.0.0.1:1/columba")

    problem = find_database_problem(settings)

    assert problem is not None
    assert "the database cannot be used" in problem
    assert "s3cret" not in problem
