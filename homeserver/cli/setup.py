"""`homeserver init`: writes a configuration and a signing key for a new server."""

import os
from pathlib import Path
from typing import Final

import click

from homeserver.cli.configuration import FILE_NAME, CommandFailed, is_server_name
from homeserver.core.signing import SigningKey
from homeserver.runtime.randomness import Randomness, SystemRandomness
from homeserver.settings.sections import Settings
from homeserver.settings.template import render

KEY_FILE_NAME: Final = "signing.key"


@click.command(short_help="write the configuration and the signing key of a new server")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--server-name",
    metavar="NAME",
    required=True,
    help="The last part of your users' names, like example.org; it can never be changed.",
)
def init(folder: Path, server_name: str) -> None:
    """Write the configuration and the signing key of a new server.

    Writes FOLDER/homeserver.yaml, with comments, and a fresh FOLDER/signing.key. What is there already is never
    overwritten.
    """
    if not is_server_name(server_name):
        raise CommandFailed(
            f"{server_name!r} is no server name: write example.org, or example.org:8448, without https://"
        )
    write_server(folder, render(server_name, data_dir="."), SystemRandomness())
    configuration = folder / FILE_NAME
    print(
        f"Wrote {configuration}\n"
        f"Wrote {folder / KEY_FILE_NAME} (keep a copy in a safe place)\n\n"
        f"Look through the configuration, then:\n"
        f"  homeserver check -c {configuration}\n"
        f"  homeserver run -c {configuration}"
    )


def write_server(folder: Path, configuration: str, randomness: Randomness) -> None:
    """Write the configuration file and a fresh signing key into `folder`. Raises CommandFailed if one is there."""
    texts = {KEY_FILE_NAME: _fresh_key(randomness), FILE_NAME: configuration}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in texts:
            if (folder / name).exists():
                raise CommandFailed(f"{folder / name} is there already; nothing was changed")
        for name, text in texts.items():
            _write_new(folder / name, text)
    except OSError as problem:
        raise CommandFailed(f"{problem.filename or folder} cannot be written: {problem.strerror}") from problem


def is_new(settings: Settings) -> bool:
    """True if the server of `settings` has no signing key yet and has never run: it may get a key of its own."""
    left_by_a_run = (settings.signing_key_file, settings.sqlite_file, settings.media_folder)
    return not any(path.exists() for path in left_by_a_run)


def make_signing_key(settings: Settings, randomness: Randomness) -> None:
    """Write a signing key for a new server whose configuration was not written by `init`. Raises CommandFailed."""
    if not is_new(settings):
        return
    try:
        _write_new(settings.signing_key_file, _fresh_key(randomness))
    except OSError as problem:
        raise CommandFailed(
            f"the signing key {settings.signing_key_file} cannot be written: {problem.strerror}"
        ) from problem
    print(f"Wrote a fresh signing key, {settings.signing_key_file} (keep a copy in a safe place)")


def _fresh_key(randomness: Randomness) -> str:
    return SigningKey(randomness.opaque_id("a_", 6), randomness.bytes(32)).to_line()


def _write_new(path: Path, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())  # a key that others have seen must not be lost
