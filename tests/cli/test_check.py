"""`homeserver check`."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from homeserver.cli.check import find_problems
from homeserver.core.signing import SigningKey
from homeserver.runtime.data_folder import DataFolder
from homeserver.settings.risks import find_risks
from homeserver.settings.sections import Federation, Listener, RateLimits, Registration, Settings, Tls
from tests.server import homeserver


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A server that could start."""
    path = tmp_path / "signing.key"
    path.write_text(SigningKey("a_test", bytes(range(32))).to_line())
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    return Settings(server_name="example.org", data_dir=tmp_path, listeners=(Listener(port=0),))


def problems(settings: Settings, database: str | None = None) -> list[str]:
    return list(find_problems(settings, lambda _: database))


def test_a_configuration_in_order_is_told_what_it_serves(tmp_path: Path) -> None:
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)

    done = homeserver("check", "-c", "homeserver.yaml", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Server example.org, for clients at https://example.org/\n"
        "  http://127.0.0.1:8008/ serves client, federation, media, admin\n"
        f"Database: {tmp_path}/homeserver.db\n"
        "Registration: closed\n"
        "homeserver.yaml is in order.\n"
    )


def test_every_mistake_of_a_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "homeserver.yaml").write_text("server_name: 1\nlistener: []\ncache_size: big\n")

    done = homeserver("check", "-c", "homeserver.yaml", folder=tmp_path)

    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        'homeserver.yaml:1: server_name: must be text: write "1" with quotes',
        "homeserver.yaml:2: listener: there is no such setting; did you mean listeners?",
        "homeserver.yaml:3: cache_size: must be a size: bytes, or a number with K, M or G, like 64M",
        "homeserver: the configuration has 3 mistakes",
    ]


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = homeserver("check", folder=tmp_path)

    assert done.returncode == 78
    assert done.stderr.startswith("columba-data/homeserver.yaml:1: cannot be read: No such file or directory\n")


def test_a_problem_of_the_deployment_is_told_and_fails_the_check(tmp_path: Path) -> None:
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)
    (tmp_path / "homeserver.db").write_bytes(b"this is no database, but long enough for one" * 5)

    done = homeserver("check", "-c", "homeserver.yaml", folder=tmp_path)

    assert done.returncode == 1
    assert f"Problem: {tmp_path}/homeserver.db is not an SQLite database\n" in done.stdout


def test_a_server_that_could_start_has_no_problems(settings: Settings) -> None:
    assert problems(settings) == []


def test_a_database_that_cannot_be_used_is_a_problem(settings: Settings) -> None:
    assert problems(settings, "the database cannot be reached") == ["the database cannot be reached"]


def test_a_port_that_is_taken_is_a_problem(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        found = problems(replace(settings, listeners=(Listener(port=port),)))

    assert found == [f"127.0.0.1 port {port} cannot be listened on: Address already in use"]


def test_the_database_and_the_ports_of_a_server_that_runs_are_left_alone(settings: Settings) -> None:
    folder = DataFolder.hold(settings.data_dir, "homeserver run")

    found = problems(settings, "somebody looked at the database")

    assert found == []
    folder.release()


def test_a_signing_key_that_others_can_read_is_a_problem(settings: Settings) -> None:
    settings.signing_key_file.chmod(0o640)

    (found,) = problems(settings)

    assert "is open to other users (mode 0640)" in found


def test_a_signing_key_that_is_none_is_a_problem(settings: Settings) -> None:
    settings.signing_key_file.write_text("ed25519 a_test tooshort\n")

    (found,) = problems(settings)

    assert found.startswith(f"{settings.signing_key_file} holds no signing key")


def test_a_server_that_has_lost_its_key_has_a_problem(settings: Settings) -> None:
    settings.signing_key_file.unlink()
    new = problems(settings)
    settings.media_folder.mkdir()

    (found,) = problems(settings)

    assert new == []
    assert found == f"the signing key {settings.signing_key_file} cannot be read: No such file or directory"


def test_a_data_folder_that_is_a_file_is_a_problem(settings: Settings) -> None:
    (settings.data_dir / "file").write_text("")

    found = problems(replace(settings, data_dir=settings.data_dir / "file", signing_key=settings.signing_key_file))

    assert found == [f"the data folder {settings.data_dir}/file is no folder"]


def test_files_that_are_no_certificate_are_a_problem(settings: Settings) -> None:
    pem = settings.data_dir / "cert.pem"
    pem.write_text("not a certificate")

    (found,) = problems(replace(settings, listeners=(Listener(port=0, tls=Tls(pem, pem)),)))

    assert found.startswith(f"{pem} and {pem} cannot be used for TLS")


def test_a_careful_server_has_no_risks_and_a_careless_one_is_told_them() -> None:
    careful = Settings(server_name="example.org")
    careless = Settings(
        server_name="example.org",
        listeners=(Listener(port=8008, bind="0.0.0.0", serve=("client", "metrics")),),
        registration=Registration(enabled=True, require_token=False),
        federation=Federation(verify_certificates=False, allow_private_addresses=True),
        rate_limits=RateLimits(enabled=False),
    )

    assert list(find_risks(careful)) == []
    assert len(list(find_risks(careless))) == 6


def test_open_registration_on_this_computer_alone_is_no_risk() -> None:
    settings = Settings(server_name="localhost:8008", registration=Registration(enabled=True, require_token=False))

    assert list(find_risks(settings)) == []
