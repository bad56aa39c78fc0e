"""The commented configuration file, in the package and in config/."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeserver.settings.sections import DEFAULT_RATE_LIMITS, Listener, Settings, Tls
from homeserver.settings.template import render
from tests.settings.configurations import load

EXAMPLE = Path(__file__).parents[2] / "config" / "homeserver.yaml"


def settable(value: Any, prefix: str = "") -> Iterator[str]:  # Any: a dataclass
    """The names of all settings in a section: "federation.retry.first_s"."""
    for each in (each for each in fields(value) if each.compare):  # the file that all was read from is no setting
        inner = getattr(value, each.name)
        if is_dataclass(inner) and each.name != "rate_limits":
            yield from settable(inner, f"{prefix}{each.name}.")
        else:
            yield prefix + each.name


def written(value: Any, prefix: str = "") -> Iterator[str]:  # Any: YAML
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from written(inner, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_the_example_is_what_a_new_configuration_looks_like() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == render("example.org")


def test_the_example_has_every_setting_and_no_other() -> None:
    example = yaml.safe_load(render("example.org"))

    assert sorted(written(example)) == sorted(settable(Settings(server_name="example.org")))
    assert set(example["listeners"][0]) == {each.name for each in fields(Listener)}
    assert all(f"{each.name}:" in render("example.org") for each in fields(Tls))


def test_the_example_has_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, render("example.org"))

    assert settings == Settings(server_name="example.org", data_dir=tmp_path / "columba-data")


def test_every_setting_of_the_example_has_a_comment_above_or_beside_it() -> None:
    lines = render("example.org").splitlines()
    top = [number for number, line in enumerate(lines) if line[:1].isalpha()]

    uncommented = [
        lines[number]
        for number in top
        if not lines[number - 1].startswith("#") and not lines[number + 1].strip().startswith("#")
    ]

    assert uncommented == []


def test_the_example_tells_the_default_rate_limits() -> None:
    text = render("example.org")

    for name, limit in DEFAULT_RATE_LIMITS.items():
        assert f"#   {name}: {{rate_hz: {limit.rate_hz:g}, burst: {limit.burst}}}\n" in text


@pytest.mark.parametrize("server_name", ["example.org", "localhost:8008", "[::1]:8448", "1.2.3.4", "1.5", "on"])
def test_a_server_name_is_read_as_it_was_given(tmp_path: Path, server_name: str) -> None:
    settings = load(
        tmp_path,
        render(server_name, public_base_url="http://localhost:8008/", data_dir=".", has_open_registration=True),
    )

    default = Settings(server_name=server_name, public_base_url="http://localhost:8008/", data_dir=tmp_path)
    assert settings == replace(default, registration=replace(default.registration, enabled=True, require_token=False))
