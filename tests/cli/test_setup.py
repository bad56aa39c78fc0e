"""`homeserver init`."""

from pathlib import Path

from homeserver.cli.configuration import read_settings
from homeserver.cli.setup import make_signing_key
from homeserver.core.signing import SigningKey
from homeserver.runtime.randomness import SeededRandomness
from homeserver.settings.sections import Settings
from tests.server import homeserver


def test_init_writes_a_configuration_and_a_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    done = homeserver("init", "srv/columba", "--server-name", "example.org", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "srv" / "columba"
    settings = read_settings(folder / "homeserver.yaml")
    assert (settings.server_name, settings.data_dir) == ("example.org", folder)
    assert SigningKey.from_line(settings.signing_key_file.read_text()).key_id.startswith("ed25519:a_")
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "homeserver.yaml": 0o600,
        "signing.key": 0o600,
    }


def test_the_next_steps_that_init_tells_are_in_order(tmp_path: Path) -> None:
    told = homeserver("init", "columba", "--server-name", "example.org", folder=tmp_path).stdout

    checked = homeserver("check", "-c", "columba/homeserver.yaml", folder=tmp_path)

    assert "homeserver check -c columba/homeserver.yaml" in told
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "columba/homeserver.yaml is in order.\n" in checked.stdout


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "homeserver.yaml").unlink()

    again = homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)

    assert again.returncode == 1
    assert again.stderr == "homeserver: signing.key is there already; nothing was changed\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"signing.key": before["signing.key"]}


def test_two_servers_have_different_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        homeserver("init", name, "--server-name", "example.org", folder=tmp_path)

    assert (tmp_path / "a" / "signing.key").read_text() != (tmp_path / "b" / "signing.key").read_text()


def test_init_refuses_what_is_no_server_name(tmp_path: Path) -> None:
    done = homeserver("init", "columba", "--server-name", "https://example.org", folder=tmp_path)

    assert done.returncode == 1
    assert "'https://example.org' is no server name" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_says_when_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = homeserver("init", "file/columba", "--server-name", "example.org", folder=tmp_path)

    assert (done.returncode, done.stderr) == (1, "homeserver: file/columba cannot be written: Not a directory\n")


def test_a_new_server_without_init_gets_a_key_once(tmp_path: Path) -> None:
    settings = Settings(server_name="example.org", data_dir=tmp_path)

    make_signing_key(settings, SeededRandomness(1))
    first = settings.signing_key_file.read_text()
    make_signing_key(settings, SeededRandomness(2))

    assert settings.signing_key_file.read_text() == first


def test_a_server_that_has_lost_its_key_gets_no_other_one(tmp_path: Path) -> None:
    settings = Settings(server_name="example.org", data_dir=tmp_path)
    settings.sqlite_file.write_bytes(b"events that were signed by the old key")

    make_signing_key(settings, SeededRandomness(1))

    assert not settings.signing_key_file.exists()
