"""The configuration's word for a database leads to that database."""

from pathlib import Path

import pytest

from homeserver.storage.database import DatabaseRefused
from homeserver.storage.opening import open_backend
from tests.postgres import Postgres


def test_sqlite_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    assert open_backend("sqlite", tmp_path).dialect.name == "sqlite"
    assert (tmp_path / "homeserver.db").stat().st_size > 0


def test_a_url_is_postgresql(tmp_path: Path, postgres: Postgres) -> None:
    assert open_backend(postgres.url_of_empty_database(), tmp_path).dialect.name == "postgresql"


def test_anything_else_is_refused_without_saying_it_again(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused) as refusal:
        open_backend("mysql://columba:secret@host/name", tmp_path)

    assert "secret" not in refusal.value.reason
