"""The door to a server elsewhere: the administrators' API over HTTPS, opened by an administrator's access token.

The token comes from the environment or the keyring, never from the command line, which others on the computer can
read. It is sent to the host of the URL alone: redirects are not followed.
"""

import http.client
import importlib
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import click
import orjson

from homeserver.cli.admin_client import TIMEOUT_S
from homeserver.cli.configuration import CommandFailed

TOKEN_VARIABLE: Final = "COLUMBA_ADMIN_TOKEN"  # noqa: S105 - where it is, not what
KEYRING_SERVICE: Final = "columba"
UNCHANGED: Final = "/?&=%:@!$'()*+,;~"
MOST_ANSWER_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is."""

    host: str
    port: int
    prefix: str = ""  # of every path; without a slash at its end
    is_encrypted: bool = True

    @property
    def url(self) -> str:
        """The same, written in one way however it was given; in the keyring the token has this name."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme, usual = ("https", 443) if self.is_encrypted else ("http", 80)
        return f"{scheme}://{host}{'' if self.port == usual else f':{self.port}'}{self.prefix}"


class RemoteDoor:
    """See AdminDoor."""

    def __init__(self, place: Place, token: str, trusted: ssl.SSLContext | None = None) -> None:
        """`trusted` says whose certificates are, instead of those that the system trusts."""
        self._place = place
        self._token = token
        self._trusted = trusted

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """See AdminDoor."""
        place = self._place
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            payload = None if body is None else orjson.dumps(body)
            connection.request(method, f"{place.prefix}{quote(path, safe=UNCHANGED)}", payload, headers)
            response = connection.getresponse()
            answered = response.read(MOST_ANSWER_BYTES + 1)
        except ssl.SSLCertVerificationError as problem:
            raise CommandFailed(
                f"the certificate of {place.url} is not valid: {problem.verify_message}; nothing was sent"
            ) from None
        except (OSError, http.client.HTTPException) as problem:
            raise CommandFailed(f"there is no answer from {place.url}: {problem}") from problem
        finally:
            connection.close()
        if 300 <= response.status < 400:
            raise CommandFailed(f"{place.url} sends elsewhere, where the token is not sent: name the server by --url")
        return response.status, self._decoded(answered, response.status)

    def _connection(self) -> http.client.HTTPConnection:
        place = self._place
        if not place.is_encrypted:
            return http.client.HTTPConnection(place.host, place.port, timeout=TIMEOUT_S)
        context = self._trusted or ssl.create_default_context()
        return http.client.HTTPSConnection(place.host, place.port, timeout=TIMEOUT_S, context=context)

    def _decoded(self, answered: bytes, status: int) -> Any:
        if len(answered) > MOST_ANSWER_BYTES:
            raise CommandFailed(f"{self._place.url} answered with more than {MOST_ANSWER_BYTES} bytes")
        try:
            return orjson.loads(answered)
        except orjson.JSONDecodeError:
            raise CommandFailed(
                f"{self._place.url} answered with status {status} and something else than JSON: is the administrators' "
                "API served there?"
            ) from None


def remote_door(url: str, environment: Mapping[str, str]) -> RemoteDoor:
    """The door to the server at `url`. Raises click.BadParameter, CommandFailed."""
    place = place_of(url)
    return RemoteDoor(place, find_token(place, environment))


def place_of(url: str) -> Place:
    """Where `--url` leads. Raises click.BadParameter: also for HTTP, unless to this computer."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as problem:
        raise click.BadParameter(f"it is no URL: {problem}", param_hint="--url") from problem
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter("write https://matrix.example.org", param_hint="--url")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise click.BadParameter(
            "a URL here has a host and perhaps a port and a path, and nothing else", param_hint="--url"
        )
    is_encrypted = parts.scheme == "https"
    if not is_encrypted and not _is_this_computer(parts.hostname):
        raise click.BadParameter("the token could be read on its way: use https://", param_hint="--url")
    usual = 443 if is_encrypted else 80
    return Place(parts.hostname, usual if port is None else port, parts.path.rstrip("/"), is_encrypted=is_encrypted)


def find_token(place: Place, environment: Mapping[str, str]) -> str:
    """The token for a server. Raises CommandFailed; what is wrong with a token is told without it."""
    token = environment.get(TOKEN_VARIABLE, "") or _kept_in_keyring(place)
    if not token:
        raise CommandFailed(
            f"no access token is known for {place.url}: put it into the environment as {TOKEN_VARIABLE}, or into the "
            f"keyring: keyring set {KEYRING_SERVICE} {place.url} (after: pip install 'columba[keyring]')"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CommandFailed(f"what is given as access token for {place.url} is none: it has blanks, or unusual letters")
    return token


def _kept_in_keyring(place: Place) -> str:
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        return ""
    try:
        kept: str | None = keyring.get_password(KEYRING_SERVICE, place.url)
    except keyring.errors.KeyringError as problem:
        raise CommandFailed(f"the keyring cannot be read: {problem}") from problem
    return kept or ""


def _is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
