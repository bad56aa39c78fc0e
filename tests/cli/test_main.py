"""The command `homeserver`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import AdminServer, typed
from tests.server import homeserver


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = typed("--help", folder=tmp_path)

    assert done.returncode == 0
    for command in ("init", "run", "check", "admin"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("arguments", [[], ["fly"], ["init", "folder"], ["admin"], ["admin", "user"]])
def test_a_command_that_is_none_is_refused_with_the_usage(tmp_path: Path, arguments: list[str]) -> None:
    done = homeserver(*arguments, folder=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: homeserver")
    assert list(tmp_path.iterdir()) == []


def test_any_request_can_be_sent_to_the_api_of_administrators(tmp_path: Path) -> None:
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)
    server = AdminServer()
    server.answer = {"rooms": ["!ä:example.org"]}

    with server.listening(tmp_path / "admin.sock"):
        done = homeserver(
            "admin", "call", "POST", "/_columba/admin/v1/rooms", '{"a": 1}', "-c", "homeserver.yaml", folder=tmp_path
        )

    assert done.stdout == '{\n  "rooms": [\n    "!ä:example.org"\n  ]\n}\n'
    assert server.requests == [("POST", "/_columba/admin/v1/rooms", {"a": 1})]


def test_where_there_is_no_configuration_it_is_said_how_to_name_one(tmp_path: Path) -> None:
    done = homeserver("admin", "user", "list", folder=tmp_path)

    reason = "there is no configuration in columba-data/homeserver.yaml: name it by -c FILE"
    assert (done.returncode, done.stderr) == (78, f"homeserver: {reason}\n")


def test_a_body_that_is_no_json_is_refused(tmp_path: Path) -> None:
    done = homeserver("admin", "call", "POST", "/x", "{a}", folder=tmp_path)

    assert done.returncode == 2
    assert "Invalid value for '[BODY]': it is no JSON" in done.stderr


def test_a_shell_is_told_how_to_complete_what_is_typed(tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", "import sys; from homeserver.cli.main import main; sys.exit(main())"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "_HOMESERVER_COMPLETE": "bash_complete",
            "COMP_WORDS": "homeserver admin fed",
            "COMP_CWORD": "2",
        },
        check=False,
    )

    assert (completed.returncode, completed.stdout) == (0, "plain,federation\n")


def test_who_reads_no_further_ends_the_command(tmp_path: Path) -> None:
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)
    server = AdminServer()
    server.answer = {"reports": []}
    reading, writing = os.pipe()
    os.close(reading)

    with server.listening(tmp_path / "admin.sock"), os.fdopen(writing, "w") as gone:
        ended = subprocess.run(
            [sys.executable, "-m", "homeserver", "admin", "call", "GET", "/x", "-c", "homeserver.yaml"],
            cwd=tmp_path,
            stdout=gone,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )

    assert ended.returncode == 141
