"""The door to a server elsewhere."""

import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import click
import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.remote_door import Place, RemoteDoor, find_token, place_of, remote_door
from tests.cli.commands import AdminServer
from tests.server import homeserver
from tests.tls import CertificateAuthority

TOKEN = "syt_secret"
HERE = "https://127.0.0.1:1"


def trusting(authority: CertificateAuthority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


def test_a_request_goes_to_the_server_with_the_token(tmp_path: Path) -> None:
    authority, server = CertificateAuthority(tmp_path), AdminServer()
    server.answer = {"keys": []}

    with server.listening_at_port(authority.issue("127.0.0.1")) as port:
        door = RemoteDoor(Place("127.0.0.1", port, "/matrix"), TOKEN, trusting(authority))
        answer = door.call("POST", "/_columba/admin/v1/ä?a=%20", {"a": 1})

    assert answer == (200, {"keys": []})
    assert server.requests == [("POST", "/matrix/_columba/admin/v1/%C3%A4?a=%20", {"a": 1})]
    assert server.authorizations == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("name", ["elsewhere.example", "127.0.0.1"])
def test_a_certificate_that_is_anothers_or_of_nobody_keeps_the_token_here(tmp_path: Path, name: str) -> None:
    authority, server = CertificateAuthority(tmp_path), AdminServer()
    trusted = trusting(authority) if name == "elsewhere.example" else None

    with server.listening_at_port(authority.issue(name)) as port:
        door = RemoteDoor(Place("127.0.0.1", port), TOKEN, trusted)
        with pytest.raises(CommandFailed, match=r"is not valid: .*; nothing was sent") as failed:
            door.call("GET", "/x")

    assert server.requests == []
    assert TOKEN not in failed.value.reason


def test_a_redirect_is_told_and_not_followed() -> None:
    server, other = AdminServer(), AdminServer()

    with server.listening_at_port() as port, other.listening_at_port() as elsewhere:
        server.status, server.headers = 307, {"Location": f"http://127.0.0.1:{elsewhere}/x"}
        with pytest.raises(CommandFailed, match="sends elsewhere, where the token is not sent"):
            RemoteDoor(Place("127.0.0.1", port, is_encrypted=False), TOKEN).call("GET", "/x")

    assert (len(server.requests), other.requests) == (1, [])


def test_an_answer_that_is_no_json_is_told() -> None:
    server = AdminServer()
    server.status, server.answer = 404, b"<html>"

    with (
        server.listening_at_port() as port,
        pytest.raises(CommandFailed, match="status 404 and something else than JSON"),
    ):
        RemoteDoor(Place("127.0.0.1", port, is_encrypted=False), TOKEN).call("GET", "/x")


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(CommandFailed, match=r"there is no answer from https://127\.0\.0\.1:1"):
        RemoteDoor(place_of(HERE), TOKEN).call("GET", "/x")


@pytest.mark.parametrize(
    ("url", "place", "written"),
    [
        ("https://b.example", Place("b.example", 443), "https://b.example"),
        ("https://B.example:443/", Place("b.example", 443), "https://b.example"),
        ("https://b.example:8443/m/", Place("b.example", 8443, "/m"), "https://b.example:8443/m"),
        ("https://[2001:db8::1]", Place("2001:db8::1", 443), "https://[2001:db8::1]"),
        ("http://localhost:8008", Place("localhost", 8008, is_encrypted=False), "http://localhost:8008"),
        ("http://[::1]", Place("::1", 80, is_encrypted=False), "http://[::1]"),
    ],
)
def test_a_url_names_a_place(url: str, place: Place, written: str) -> None:
    assert place_of(url) == place
    assert place.url == written


@pytest.mark.parametrize(
    "url",
    [
        "b.example",
        "ftp://b.example",
        "https://",
        "http://b.example",
        "http://10.0.0.1",
        "https://alice:secret@b.example",
        "https://b.example/?a=1",
        "https://b.example/#a",
        "https://b.example:99999",
        "https://[::1",
    ],
)
def test_what_is_no_url_of_a_server_or_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        place_of(url)

    assert "secret" not in refused.value.format_message()


def test_the_token_is_that_of_the_environment() -> None:
    assert find_token(place_of(HERE), {"COLUMBA_ADMIN_TOKEN": TOKEN}) == TOKEN


@pytest.mark.parametrize("token", ["two words", "two\nlines", "tökèn"])
def test_what_cannot_be_a_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        find_token(place_of(HERE), {"COLUMBA_ADMIN_TOKEN": token})

    assert token not in refused.value.reason


class _Keyring(ModuleType):
    """As much of the library as is used."""

    def __init__(self, kept: Mapping[tuple[str, str], str]) -> None:
        super().__init__("keyring")
        self._kept = kept

    def get_password(self, service: str, username: str) -> str | None:
        return self._kept.get((service, username))


def test_the_token_may_lie_in_the_keyring_under_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", _Keyring({("columba", "https://b.example"): TOKEN}))

    assert find_token(place_of("https://B.example/"), {}) == TOKEN
    with pytest.raises(CommandFailed, match=r"no access token is known for https://c\.example"):
        find_token(place_of("https://c.example"), {})


def test_without_the_library_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(CommandFailed, match="put it into the environment as COLUMBA_ADMIN_TOKEN"):
        remote_door(HERE, {})


def test_the_command_line_names_one_server_and_a_wrong_url_is_bad_usage(tmp_path: Path) -> None:
    both = homeserver("admin", "keys", "show", "--url", HERE, "-c", "a.yaml", folder=tmp_path)
    wrong = homeserver("admin", "keys", "show", "--url", "http://b.example", folder=tmp_path)
    unknown = homeserver("admin", "keys", "show", "--url", HERE, folder=tmp_path)

    assert [both.returncode, wrong.returncode, unknown.returncode] == [2, 2, 1]
    assert "give one of them" in both.stderr
    assert "use https://" in wrong.stderr
    assert "no access token is known" in unknown.stderr
