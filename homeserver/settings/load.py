"""Reads the configuration file: YAML in, Settings out, or every mistake at once.

What can stand in it is in sections.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from homeserver.settings import kinds
from homeserver.settings.reading import Document, Mistake, Refused, Rules, SettingsError, compose
from homeserver.settings.sections import Settings

# A unix socket's path has 108 bytes, with the zero at its end.
SOCKET_PATH_LIMIT_BYTES: Final = 107


def load_settings(path: Path, rules: Rules) -> Settings:
    """The settings in the file `path`. Raises SettingsError."""
    document = Document(path, rules)
    try:
        settings = _read(document)
    except Refused:
        settings = None
    if settings is None or document.mistakes:
        raise SettingsError(_in_order(document))
    return settings


def _read(document: Document) -> Settings:
    whole = compose(document)
    if whole is None:
        document.mistakes.append(Mistake(document.path, 1, "the file is empty; server_name is missing"))
        raise Refused
    settings = kinds.section(Settings)(whole)
    place = document.path.resolve()
    settings = replace(settings, data_dir=document.path.parent.resolve() / settings.data_dir, file=place)
    if len(str(settings.admin_socket).encode()) > SOCKET_PATH_LIMIT_BYTES:
        raise whole.refuse(f"data_dir: {settings.admin_socket} is too long for a socket; choose a shorter path")
    return settings


def _in_order(document: Document) -> list[Mistake]:
    files = list(dict.fromkeys([document.path, *(mistake.path for mistake in document.mistakes)]))
    return sorted(document.mistakes, key=lambda mistake: (files.index(mistake.path), mistake.line))
