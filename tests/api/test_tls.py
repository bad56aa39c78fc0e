"""Listeners that speak TLS, and whom the server itself trusts."""

import contextlib
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.outbound.exchange import Ask
from homeserver.outbound.routes import Route
from tests.outbound.https_servers import Outside
from tests.server import Port, Server, new_server
from tests.tls import CertificateAuthority

METRICS = "/_columba/metrics"
CANNOT_START = 69


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """An authority."""
    return CertificateAuthority(tmp_path)


@pytest.fixture
def secure(authority: CertificateAuthority) -> Iterator[tuple[Server, int]]:
    """A server with a listener that speaks TLS, and its port."""
    certificate = authority.issue("localhost")
    server, port = new_server(), Port()
    files = {"certificate": str(certificate.certificate), "private_key": str(certificate.private_key)}
    listener = {"port": port.number, "serve": ["client", "metrics"], "tls": files}
    server.settings["listeners"] = [*server.settings["listeners"], listener]
    with contextlib.closing(server), contextlib.closing(port):
        server.start()
        yield server, port.number


def test_the_key_exchange_withstands_quantum_computers_where_the_client_can_and_each_is_counted(
    secure: tuple[Server, int], authority: CertificateAuthority
) -> None:
    server, port = secure
    outside = Outside(authority)
    route = Route(f"localhost:{port}", "localhost", (("127.0.0.1", port),))
    with contextlib.closing(outside):
        ask = Ask(ServerName("localhost"), "GET", METRICS, {}, None, 1 << 20)
        modern = outside.wait(outside.https.send(route, ask))
        ours = outside.https.group_of(ServerName("localhost"))

    classical = ssl.create_default_context(cafile=str(authority.file))
    with urllib.request.urlopen(f"https://localhost:{port}{METRICS}", context=classical) as answer:
        counts = answer.read().decode()

    assert (modern.status, ours) == (200, "X25519MLKEM768")
    assert 'columba_tls_handshakes_total{direction="incoming",group="X25519MLKEM768"} 1.0' in counts
    assert 'columba_tls_handshakes_total{direction="incoming",group="x25519"} 1.0' in counts
    assert server.complaints == []


def test_a_file_of_trusted_certificates_that_holds_none_is_refused(tmp_path: Path) -> None:
    nonsense = tmp_path / "roots.pem"
    nonsense.write_text("no certificate")
    server = new_server()
    server.settings["federation"] = {"ca_file": str(nonsense)}

    with contextlib.closing(server):
        server.launch()
        ended = server.wait()

    assert ended.exit_code == CANNOT_START
    assert f"{nonsense} holds no certificates" in ended.stderr
    assert "Traceback" not in ended.stderr
