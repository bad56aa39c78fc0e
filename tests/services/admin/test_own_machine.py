"""What the doctor finds on the machine."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeserver.runtime.loops import Loops
from homeserver.runtime.own_figures import OwnFigures
from homeserver.services.admin.doctor import Finding, Level
from homeserver.services.admin.own_machine import Files, OwnMachine
from tests.services.world import World, call_now, now
from tests.tls import CertificateAuthority


def examined(world: World, files: Files, risks: Sequence[str] = ()) -> dict[str, list[Finding]]:
    figures = OwnFigures(world.clock, Loops(world.clock))
    machine = OwnMachine(files, risks, figures, world.backend, call_now, world.clock)
    found: dict[str, list[Finding]] = {}
    for each in now(machine.findings()):
        found.setdefault(each.name, []).append(each)
    return found


def secret(folder: Path, mode: int) -> Path:
    path = folder / f"secret{mode:o}"
    path.write_text("secret")
    path.chmod(mode)
    return path


def test_a_machine_that_is_well_is_said_to_be(world: World, tmp_path: Path) -> None:
    found = examined(world, Files(tmp_path, [secret(tmp_path, 0o600), tmp_path / "not there"], []))

    assert [each.level for name in ("settings", "files", "database") for each in found[name]] == [Level.OK] * 3
    assert all(each.advice is None for some in found.values() for each in some if each.level is Level.OK)


def test_what_others_can_read_and_what_is_dangerous_is_named(world: World, tmp_path: Path) -> None:
    exposed = secret(tmp_path, 0o644)

    found = examined(world, Files(tmp_path, [exposed, secret(tmp_path, 0o600)], []), ["everybody can register"])
    of_settings = examined(world, Files(tmp_path, [], [], exposed))

    (files,) = found["files"]
    assert (files.level, str(exposed) in files.told) == (Level.ERROR, True)
    assert files.advice is not None
    assert [each.level for each in of_settings["files"]] == [Level.WARNING]
    (settings,) = found["settings"]
    assert (settings.level, settings.told) == (Level.WARNING, "everybody can register")


def test_a_disk_that_is_not_there_is_an_error(world: World, tmp_path: Path) -> None:
    (disk,) = examined(world, Files(tmp_path / "gone", [], []))["disk"]

    assert disk.level is Level.ERROR


@pytest.mark.parametrize(
    ("days", "level"), [(-1, Level.ERROR), (3, Level.WARNING), (60, Level.OK)], ids=["expired", "soon", "later"]
)
def test_a_certificate_is_renewed_in_time(world: World, tmp_path: Path, days: int, level: Level) -> None:
    today = datetime.fromtimestamp(world.clock.now_ms() / 1000, UTC)
    until = today + timedelta(days=days)
    issued = CertificateAuthority(tmp_path).issue("example.org", since=today - timedelta(days=90), until=until)

    (found,) = examined(world, Files(tmp_path, [], [issued.certificate]))["certificate"]

    assert found.level is level
    assert f"until {until:%Y-%m-%d %H:%M}" in found.told


def test_what_is_no_certificate_is_an_error(world: World, tmp_path: Path) -> None:
    (found,) = examined(world, Files(tmp_path, [], [secret(tmp_path, 0o600)]))["certificate"]

    assert found.level is Level.ERROR
