"""The operator's guide tells every setting with its default, and shows no configuration that would be refused."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeserver.settings.sections import Listener, Settings, Tls
from homeserver.settings.template import render
from tests.docs.pages import Block, blocks_of, read
from tests.settings.configurations import load
from tests.settings.test_template import settable

GUIDE = "docs/operating.md"
ENTRY = re.compile(r"^ *- `(?P<name>[a-z0-9_.]+)`: (?:`(?P<default>[^`]*)`)?", re.MULTILINE)
WITHOUT_DEFAULT = {"server_name", "data_dir", "listeners", "port"}


def entries() -> dict[str, str | None]:
    """The settings that the guide lists, and their defaults as it writes them."""
    section = read(GUIDE).partition("## Settings\n")[2].partition("\n## ")[0]
    return {match["name"]: match["default"] for match in ENTRY.finditer(section)}


def default_of(name: str) -> Any:  # Any: YAML
    """What the configuration file has where nobody changed it."""
    if name in {each.name for each in fields(Listener)}:
        value = next(each.default for each in fields(Listener) if each.name == name)
        return list(value) if isinstance(value, tuple) else value
    found: Any = yaml.safe_load(render("example.org"))
    for key in name.split("."):
        assert isinstance(found, Mapping)
        found = found[key]
    return found


def test_the_guide_tells_every_setting_and_no_other() -> None:
    settings = set(settable(Settings(server_name="example.org"))) | {each.name for each in fields(Listener)}

    assert set(entries()) == settings
    assert all(f"`{each.name}`" in read(GUIDE) for each in fields(Tls))


@pytest.mark.parametrize("name", sorted(set(settable(Settings(server_name="example.org"))) - WITHOUT_DEFAULT))
def test_the_guide_tells_the_default(name: str) -> None:
    told = entries()[name]

    assert told is not None
    assert yaml.safe_load(told) == default_of(name)


@pytest.mark.parametrize("name", sorted({each.name for each in fields(Listener)} - WITHOUT_DEFAULT))
def test_the_guide_tells_the_defaults_of_a_listener(name: str) -> None:
    told = entries()[name]

    assert told is not None
    assert yaml.safe_load(told) == default_of(name)


@pytest.mark.parametrize("block", list(blocks_of(GUIDE, "yaml")), ids=lambda block: f"line {block.line}")
def test_a_configuration_that_the_guide_shows_is_understood(tmp_path: Path, block: Block) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()

    settings = load(tmp_path, f"server_name: example.org\n{block.text}")

    assert settings != Settings(server_name="example.org", data_dir=settings.data_dir)
