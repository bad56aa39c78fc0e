"""Configuration files for tests."""

from pathlib import Path
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import parse_server_name
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.settings.load import load_settings
from homeserver.settings.reading import Rules, SettingsError
from homeserver.settings.sections import Settings


def is_server_name(value: str) -> bool:
    try:
        parse_server_name(value)
    except BadIdentifier:
        return False
    return True


RULES: Final = Rules(is_server_name, tuple(ROOM_VERSIONS))


def load(folder: Path, text: str) -> Settings:
    """The settings of a configuration file with this text."""
    path = folder / "homeserver.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, RULES)


def mistakes(folder: Path, text: str) -> list[str]:
    """What is wrong with this text, as "file:line: message"."""
    try:
        load(folder, text)
    except SettingsError as error:
        return [str(mistake).removeprefix(f"{folder}/") for mistake in error.mistakes]
    return []
