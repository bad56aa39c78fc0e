"""Who gets in where: every listener, and what other users of the machine can open.

What those can do who are in is in test_security.py; who is let into the administrators' endpoints is in
tests/hostile/test_admin_callers.py.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw
import pytest

from homeserver.http.endpoint import Endpoint
from tests.api.client import PASSWORD, TIMEOUT_S, Client, new_user
from tests.conformance.operations import declared
from tests.server import Port, Server, running

SHARED_SECRET: Final = secrets.token_urlsafe(24)
OPERATORS: Final = ("/_synapse/", "/_columba/")
OPERATORS_ENDPOINTS: Final = tuple(
    mark for mark in declared() if mark.path.startswith(OPERATORS) and mark.path != "/_columba/health"
)

# What may stand in a path, by the name of the parameter.
NAMES: Final = {
    "roomId": "!room:example.org",
    "roomAlias": "#alias:example.org",
    "roomIdOrAlias": "#alias:example.org",
    "userId": "@user:example.org",
    "eventId": "$event:example.org",
    "serverName": "example.org",
}


@dataclass(frozen=True)
class Doors:
    """A server with two ports, one of them for clients alone."""

    server: Server
    clients_url: str

    @property
    def url(self) -> str:
        """Where everything is served."""
        return self.server.url


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    """A running server."""
    everything, clients = Port(), Port()
    listeners = [
        {"port": everything.number, "serve": ["client", "federation", "media", "admin", "metrics"]},
        {"port": clients.number, "serve": ["client"]},
    ]
    registration = {
        "enabled": True,
        "require_token": False,
        "shared_secret": SHARED_SECRET,
        "allow_guest_access": True,
    }
    with running(settings={"listeners": listeners, "registration": registration}) as server:
        server.port.close()
        server.port = everything
        yield Doors(server, f"http://127.0.0.1:{clients.number}")
    clients.close()


@pytest.fixture(scope="module")
def admin(doors: Doors) -> Client:
    """A server administrator."""
    return deputy(doors.url, "root")


def deputy(url: str, name: str) -> Client:
    """A new server administrator."""
    nobody = Client(url)
    nonce = nobody.get("/_synapse/admin/v1/register")["nonce"]
    signed = b"\0".join(part.encode() for part in (nonce, name, PASSWORD, "admin"))
    mac = hmac.new(SHARED_SECRET.encode(), signed, hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": True, "mac": mac}
    return nobody.known_as(nobody.post("/_synapse/admin/v1/register", body=body))


def knock(url: str, mark: Endpoint, token: str | None, **headers: str) -> http.client.HTTPResponse:
    """Ask an endpoint, with what need not make sense to it."""
    path = re.sub(r"{(\w+)}", lambda name: quote(NAMES.get(name[1], "x"), safe=""), mark.path)
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request(mark.method, path, b"{}", {**shown, **headers})
        response = connection.getresponse()
        response.read()
        return response


def test_who_is_no_administrator_any_more_is_told_at_once(doors: Doors, admin: Client) -> None:
    path = ("/_synapse/admin/v1/registration_tokens",)
    second = deputy(doors.url, "deputy")
    second.get(*path)
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "deputy"}, "password": PASSWORD}

    second.post("account", "deactivate", body={"auth": auth})

    second.get(*path, status=401)
    admin.get(*path)


def test_a_port_for_clients_knows_nothing_of_what_is_for_operators(doors: Doors, admin: Client) -> None:
    assert Client(doors.clients_url, access_token=admin.access_token).get("account", "whoami")

    for mark in OPERATORS_ENDPOINTS:
        assert knock(doors.clients_url, mark, admin.access_token).status == 404, mark.name


def test_the_owners_socket_serves_administration_and_nothing_else(doors: Doors) -> None:
    class ToSocket(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.connect(str(doors.server.data_dir / "admin.sock"))

    def ask(method: str, path: str) -> int:
        with contextlib.closing(ToSocket("localhost", timeout=TIMEOUT_S)) as connection:
            connection.request(method, path)
            return connection.getresponse().status

    assert ask("GET", "/_synapse/admin/v1/registration_tokens") == 200
    assert ask("GET", "/_matrix/client/v3/sync") == 404
    assert ask("GET", "/_matrix/client/versions") == 404
    assert ask("GET", "/_columba/metrics") == 404


def test_other_users_of_the_machine_open_nothing(doors: Doors) -> None:
    folder = doors.server.data_dir

    files = {path.relative_to(folder): mode(path) for path in folder.rglob("*")}

    assert mode(folder) == 0o700
    assert {Path("signing.key"), Path("homeserver.db"), Path("admin.sock"), Path("lock")} <= set(files)
    assert {str(path): oct(found) for path, found in files.items() if found & 0o077} == {}


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.lstat().st_mode)


def test_secrets_are_neither_in_the_log_nor_in_the_database(doors: Doors, admin: Client) -> None:
    user = new_user(doors.url, "careful")
    query: dict[str, Any] = {"access_token": user.access_token}
    Client(doors.url).get("account", "whoami", query=query)
    Client(doors.url).get("account", "whoami", query={"access_token": "clba_unknown"}, status=401)
    key = (doors.server.data_dir / "signing.key").read_text().split()[2]

    with contextlib.closing(
        apsw.Connection(str(doors.server.sqlite_file), flags=apsw.SQLITE_OPEN_READONLY)
    ) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        stored = "\n".join(repr(row) for table in tables for row in database.execute(f'SELECT * FROM "{table}"'))

    assert "argon2id" in stored
    for secret in (SHARED_SECRET, PASSWORD, key, str(user.access_token), str(admin.access_token), "clba_unknown"):
        assert secret not in doors.server.log
        assert secret not in stored


def test_a_forwarded_address_from_a_client_moves_no_limit() -> None:
    settings = {"rate_limits": {"login": {"rate_hz": 0.001, "burst": 3}}, "trusted_proxies": ["192.0.2.1"]}
    with running(settings=settings) as server:
        client = Client(server.url)
        body = json.dumps({"type": "m.login.password", "user": "a", "password": "b"}).encode()

        statuses = [
            client.send("POST", "login", content=body, headers={"X-Forwarded-For": f"198.51.100.{number}"}).status
            for number in range(5)
        ]

    assert statuses == [403, 403, 403, 429, 429]
