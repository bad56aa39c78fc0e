"""`homeserver admin server backup`, `restore` and what belongs to them."""

import json
import time
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.backups import WITH_KEY, WITHOUT_KEY, backup, backups, check, export, restore, size_of
from homeserver.cli.configuration import CommandFailed
from homeserver.core.signing import SigningKey
from homeserver.runtime.data_folder import DataFolder
from homeserver.services.admin.backup_archive import Outside, Whose
from homeserver.storage.opening import open_backend
from homeserver.storage.sqlite import SQLiteBackend
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor
from tests.databases import SyncDatabase, migrated_file
from tests.services.admin.backed_up import back_up

# Any: JSON, throughout.

BACKUPS = f"{ADMIN_API}/backups"
NAME = "columba-20231114-221320-123.backup"
MAKING: dict[str, Any] = {
    "name": NAME,
    "kind": "backup",
    "path": f"/srv/backups/{NAME}",
    "finished": False,
    "failure": None,
    "size_bytes": None,
    "stage": "writing",
    "rows": 3,
    "of_rows": 7,
}
MADE: dict[str, Any] = {**MAKING, "finished": True, "size_bytes": 5 << 20, "stage": "verifying", "rows": 7}
KEY = SigningKey("a", bytes(32))


def _group(command: click.Command) -> click.Group:
    """A topic that has this command."""
    group = click.Group("server")
    group.add_command(command)
    return group


def typed(command: Any, *words: str) -> None:
    """Type the words after `homeserver admin server COMMAND`, where no server is needed."""
    command.main(words, standalone_mode=False)


def test_a_backup_is_followed_until_it_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{BACKUPS: (200, MAKING), f"{BACKUPS}/{NAME}": (200, MADE)})

    typed_at(door, _group(backup), "backup")
    typed_at(door, _group(backup), "backup", "--without-key", "--json")

    assert [body for method, _, body in door.asked if method == "POST"] == [
        {"signing_key": True},
        {"signing_key": False},
    ]
    told, *_, as_json = capsys.readouterr().out.splitlines(keepends=True)
    assert told == f"Wrote /srv/backups/{NAME}: 7 rows, 5.0 MiB; it was read again.\n"
    assert json.loads(as_json) == {**MADE, "has_signing_key": False}


def test_what_becomes_of_the_key_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{BACKUPS: (200, MADE)})

    typed_at(door, _group(backup), "backup")
    with_key = capsys.readouterr().out
    typed_at(door, _group(backup), "backup", "--without-key")

    assert with_key.endswith(f"{WITH_KEY}\n")
    assert capsys.readouterr().out.endswith(f"{WITHOUT_KEY}\n")


def test_a_backup_that_comes_to_nothing_is_a_failure() -> None:
    door = ScriptedDoor(**{BACKUPS: (200, {**MADE, "size_bytes": None, "failure": "the disk is nearly full"})})

    with pytest.raises(CommandFailed, match="was not made: the disk is nearly full"):
        typed_at(door, _group(backup), "backup")


def test_an_export_is_made_in_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{f"{ADMIN_API}/exports": (200, {**MADE, "path": "/srv/backups/a.jsonl.gz"})})

    typed_at(door, _group(export), "export")

    assert capsys.readouterr().out == "Wrote /srv/backups/a.jsonl.gz: 7 lines, 5.0 MiB.\n"


def test_backups_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    kept = {"name": NAME, "kind": "backup", "made_ts": 1_700_000_000_123, "size_bytes": 5}
    listed = {"folder": "/srv/backups", "keep": 7, "backups": [kept], "under_way": None}
    door = ScriptedDoor(**{BACKUPS: (200, listed)})

    typed_at(door, _group(backups), "backups")

    assert capsys.readouterr().out == f"/srv/backups/{NAME}: 2023-11-14 22:13:20 UTC, 5 bytes\n"


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5.0 TiB")],
)
def test_sizes_are_told_for_people(count: int, told: str) -> None:
    assert size_of(count) == told


class Machine:
    """An empty computer, and the backup of a server."""

    def __init__(self, folder: Path, *, server_name: str = "example.org", key: str | None = KEY.to_line()) -> None:
        self.folder = folder / "machine"
        self.folder.mkdir()
        self.configuration = self.folder / "homeserver.yaml"
        self.configuration.write_text(yaml.safe_dump({"server_name": server_name, "data_dir": "."}))
        self.backup = folder / "made.backup"
        public = KEY.verify_key
        whose = Whose("example.org", "1.2.3", 1_700_000_000_123, "sqlite", public.key_id, public.to_base64())
        back_up(SQLiteBackend(migrated_file()), self.backup, Outside(key, "server_name: example.org\n"), whose)

    @property
    def key(self) -> Path:
        return self.folder / "signing.key"

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()} - {"lock"}

    def restore(self, *words: str) -> None:
        typed(restore, str(self.backup), "-c", str(self.configuration), *words)


def test_a_backup_is_looked_at_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)

    typed(check, str(machine.backup))
    described = capsys.readouterr().out
    typed(check, str(machine.backup), "--json")
    told = json.loads(capsys.readouterr().out)
    typed(check, str(machine.backup), "--configuration")

    assert f"{machine.backup} is whole: example.org as of 2023-11-14 22:13:20 UTC" in described
    assert "with the key ed25519:a" in described
    assert (told["server_name"], told["has_signing_key"]) == ("example.org", True)
    assert capsys.readouterr().out == "server_name: example.org\n"
    assert machine.names == {"homeserver.yaml"}


def test_a_backup_that_is_damaged_is_said_to_be(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    whole = machine.backup.read_bytes()
    machine.backup.write_bytes(whole[:-20])

    with pytest.raises(CommandFailed, match="cut short"):
        typed(check, str(machine.backup))
    with pytest.raises(CommandFailed, match="cut short"):
        machine.restore()
    machine.backup.write_text("something else")
    with pytest.raises(CommandFailed, match="no archive"):
        typed(check, str(machine.backup))
    with pytest.raises(CommandFailed, match="cannot be read"):
        typed(check, str(tmp_path / "nowhere"))

    assert machine.names == {"homeserver.yaml"}


def test_a_backup_is_put_back_with_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)

    machine.restore()

    assert machine.key.read_text() == KEY.to_line()
    assert machine.key.stat().st_mode & 0o777 == 0o600
    database = SyncDatabase(open_backend("sqlite", machine.folder))
    assert database.read(lambda tx: tx.one("SELECT mark FROM continuity")) == ("put back",)
    database.close()
    told = capsys.readouterr().out
    assert told.startswith("Restored ")
    assert told.endswith(f"  homeserver admin room verify --all -c {machine.configuration}\n")


def test_a_dry_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)

    machine.restore("--dry-run")

    assert machine.names == {"homeserver.yaml"}
    assert capsys.readouterr().out.endswith("It could be restored. Nothing was changed.\n")


def test_without_the_key_one_is_told_to_put_it_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, key=None)

    machine.restore()

    assert f"Put your copy at {machine.key} first." in capsys.readouterr().out
    assert machine.names == {"homeserver.yaml", "homeserver.db"}


def test_the_key_that_is_there_already_stays_if_it_is_the_same(tmp_path: Path) -> None:
    machine = Machine(tmp_path, key=None)
    machine.key.write_text(KEY.to_line())

    machine.restore()

    assert machine.key.read_text() == KEY.to_line()


@pytest.mark.parametrize("text", [SigningKey("a", b"\x01" * 32).to_line(), SigningKey("b", bytes(32)).to_line(), "?"])
def test_another_key_is_not_replaced(tmp_path: Path, text: str) -> None:
    machine = Machine(tmp_path)
    machine.key.write_text(text)

    with pytest.raises(CommandFailed, match="key"):
        machine.restore()

    assert machine.key.read_text() == text
    assert machine.names == {"homeserver.yaml", "signing.key"}


def test_where_a_database_is_nothing_is_put_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (machine.folder / "homeserver.db").write_text("a database")

    with pytest.raises(CommandFailed, match="is there already"):
        machine.restore()

    assert (machine.folder / "homeserver.db").read_text() == "a database"


def test_while_a_server_runs_nothing_is_put_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    held = DataFolder.hold(machine.folder, "homeserver run")

    with pytest.raises(CommandFailed, match="stop the server first"):
        machine.restore()

    held.release()
    assert machine.names == {"homeserver.yaml"}


def test_the_backup_of_another_server_is_not_put_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path, server_name="elsewhere.example")

    with pytest.raises(CommandFailed, match=r"is of example\.org"):
        machine.restore()

    assert machine.names == {"homeserver.yaml"}


def test_a_backup_from_the_future_is_not_put_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.backup.unlink()
    key = KEY.verify_key
    soon_ms = time.time_ns() // 1_000_000 + 3_600_000
    whose = Whose("example.org", "1.2.3", soon_ms, "sqlite", key.key_id, key.to_base64())
    back_up(SQLiteBackend(migrated_file()), machine.backup, whose=whose)

    with pytest.raises(CommandFailed, match="clock"):
        machine.restore()

    assert machine.names == {"homeserver.yaml"}
