"""`homeserver check`: says what is wrong with a configuration or a deployment, or else what would be served."""

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from homeserver.cli.configuration import FAILED, configuration_file, read_settings, takes_configuration
from homeserver.cli.database import find_database_problem
from homeserver.cli.setup import is_new
from homeserver.core.errors import BadKey
from homeserver.core.signing import SigningKey
from homeserver.runtime.data_folder import find_exposure, find_holder
from homeserver.settings.risks import find_risks
from homeserver.settings.sections import Listener, Settings


@click.command(short_help="say what is wrong with a configuration, or what it would serve")
@takes_configuration
def check(config: Path | None) -> int:
    """Say what is wrong with a configuration, or what it would serve.

    Reads the configuration and looks at the data folder, the signing key, the certificates, the database and the
    ports. Changes nothing. The exit code is 0 when the server would start.
    """
    path = configuration_file(config)
    settings = read_settings(path)
    problems = list(find_problems(settings, find_database_problem))
    for line in (*_describe(settings), *(f"Note: {note}" for note in find_risks(settings))):
        print(line)
    for problem in problems:
        print(f"Problem: {problem}")
    if problems:
        return FAILED
    print(f"{path} is in order.")
    return 0


def find_problems(settings: Settings, database: Callable[[Settings], str | None]) -> Iterator[str]:
    """What would keep the server from starting, or is dangerous, as sentences."""
    yield from _folder_problems(settings)
    if not is_new(settings):
        yield from _key_problems(settings.signing_key_file)
    for listener in settings.listeners:
        yield from _tls_problems(listener)
    if find_holder(settings.data_dir) is None:
        if (problem := database(settings)) is not None:
            yield problem
        for listener in settings.listeners:
            yield from _port_problems(listener)


def _describe(settings: Settings) -> Iterator[str]:
    yield f"Server {settings.server_name}, for clients at {settings.base_url}"
    for listener in settings.listeners:
        scheme = "http" if listener.tls is None else "https"
        host = f"[{listener.bind}]" if ":" in listener.bind else listener.bind
        yield f"  {scheme}://{host}:{listener.port}/ serves {', '.join(listener.serve)}"
    if is_new(settings):
        yield f"New: the signing key {settings.signing_key_file} will be made at the first start"
    yield f"Database: {settings.sqlite_file if settings.database == 'sqlite' else 'PostgreSQL'}"
    if not settings.registration.enabled:
        yield "Registration: closed"
    else:
        yield f"Registration: open{' with a token' if settings.registration.require_token else ''}"
    holder = find_holder(settings.data_dir)
    if holder is not None:
        yield f"In use by {holder}; its database and ports were not looked at"


def _folder_problems(settings: Settings) -> Iterator[str]:
    folder = settings.data_dir
    if not folder.exists():
        existing = next(parent for parent in folder.parents if parent.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            yield f"the data folder {folder} cannot be made"
    elif not folder.is_dir():
        yield f"the data folder {folder} is no folder"
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield f"the data folder {folder} cannot be written"


def _key_problems(path: Path) -> Iterator[str]:
    try:
        SigningKey.from_line(path.read_text(encoding="ascii"))
        exposure = find_exposure(path)
    except OSError as problem:
        yield f"the signing key {path} cannot be read: {problem.strerror}"
    except (BadKey, UnicodeDecodeError) as problem:
        yield f"{path} holds no signing key: {problem}"
    else:
        if exposure is not None:
            yield f"{exposure}: whoever reads the signing key can speak in this server's name"


def _tls_problems(listener: Listener) -> Iterator[str]:
    if listener.tls is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            listener.tls.certificate, listener.tls.private_key, password=""
        )
    except (ssl.SSLError, OSError) as problem:
        yield f"{listener.tls.certificate} and {listener.tls.private_key} cannot be used for TLS: {problem}"


def _port_problems(listener: Listener) -> Iterator[str]:
    family = socket.AF_INET6 if ":" in listener.bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.bind, listener.port))
        except OSError as problem:
            yield f"{listener.bind} port {listener.port} cannot be listened on: {problem.strerror}"
