"""Whose certificates are believed, and how keys are exchanged."""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

import datetime
import ssl
from pathlib import Path

import pytest
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from homeserver.outbound.errors import Unreachable
from homeserver.outbound.exchange import Answer
from homeserver.outbound.https import Https
from homeserver.outbound.routes import Route
from homeserver.outbound.tls import BadTrustRoot, TlsClients
from homeserver.runtime.tls_groups import INCOMING, OUTGOING, TlsGroups
from tests.outbound.https_servers import HttpsServer, Outside, answering, ask_for, json_answer
from tests.tls import A_DAY, CertificateAuthority

GOOD = answering(json_answer(b"{}"))


def send(outside: Outside, server: HttpsServer, certificate_name: str, https: Https | None = None) -> Answer:
    route = Route(certificate_name, certificate_name, (("127.0.0.1", server.port),))
    return outside.wait((https or outside.https).send(route, ask_for()))


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["example.org"], "example.org"),
        (["EXAMPLE.org"], "example.ORG"),
        (["*.example.org"], "matrix.example.org"),
        (["other.example", "example.org"], "example.org"),
        (["127.0.0.1"], "127.0.0.1"),
        (["2001:db8::1"], "2001:db8:0::1"),
        (["my--server.example.org"], "my--server.example.org"),
    ],
)
def test_a_certificate_for_the_name_is_believed(outside: Outside, names: list[str], wanted: str) -> None:
    server = outside.serve(GOOD, *names)

    assert send(outside, server, wanted).status == 200


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["example.com"], "example.org"),
        (["example.org"], "matrix.example.org"),
        (["*.example.org"], "example.org"),
        (["*.example.org"], "a.b.example.org"),
        (["example.org"], "127.0.0.1"),
        (["127.0.0.2"], "127.0.0.1"),
        (["::ffff:127.0.0.1"], "127.0.0.1"),
    ],
)
def test_a_certificate_for_another_name_is_not_and_nothing_is_sent(
    outside: Outside, names: list[str], wanted: str
) -> None:
    server = outside.serve(GOOD, *names)

    with pytest.raises(Unreachable):
        send(outside, server, wanted)

    outside.turn_until(lambda: server.ended == 1)
    assert server.received == []


@pytest.mark.parametrize(
    ("wanted", "sent"), [("example.org", "example.org"), ("127.0.0.1", None), ("2001:db8::1", None)]
)
def test_names_are_sent_to_choose_a_certificate_by_and_addresses_are_not(
    outside: Outside, wanted: str, sent: str | None
) -> None:
    server = outside.serve(GOOD, wanted)

    send(outside, server, wanted)

    assert server.names == [sent]


@pytest.mark.parametrize("name", ["127", "", "-"])
def test_a_name_that_no_certificate_can_have_leads_nowhere(outside: Outside, name: str) -> None:
    server = outside.serve(GOOD)

    with pytest.raises(Unreachable):
        send(outside, server, name)


def test_a_certificate_of_an_unknown_authority_is_not_believed(outside: Outside, tmp_path: Path) -> None:
    stranger = CertificateAuthority(tmp_path, "Somebody")
    server = HttpsServer(stranger.issue("example.org"), GOOD)
    outside.servers.append(server)

    with pytest.raises(Unreachable, match="certificate"):
        send(outside, server, "example.org")


@pytest.mark.parametrize(("since_days", "until_days"), [(-10, -1), (1, 10)])
def test_a_certificate_counts_only_in_its_time(outside: Outside, since_days: int, until_days: int) -> None:
    now = datetime.datetime.now(datetime.UTC)
    certificate = outside.authority.issue("example.org", since=now + since_days * A_DAY, until=now + until_days * A_DAY)
    server = HttpsServer(certificate, GOOD)
    outside.servers.append(server)

    with pytest.raises(Unreachable, match="certificate"):
        send(outside, server, "example.org")


def test_if_nothing_is_verified_any_certificate_will_do(outside: Outside) -> None:
    server = outside.serve(GOOD, "example.com")

    assert send(outside, server, "example.org", outside.client(verifies=False)).status == 200


def test_the_roots_of_the_system_alone_do_not_include_the_tests_authority(outside: Outside) -> None:
    server = outside.serve(GOOD)

    with pytest.raises(Unreachable, match="certificate"):
        send(outside, server, "example.org", outside.client(has_ca_file=False))


def test_a_file_without_certificates_is_refused_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("nothing")

    with pytest.raises(BadTrustRoot, match=r"roots\.pem"):
        TlsClients(TlsGroups(), ca_file=tmp_path / "roots.pem").load()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_a_server_that_speaks_only_what_is_out_of_date_is_not_spoken_with(outside: Outside) -> None:
    server = outside.serve(GOOD)
    server.context.minimum_version = ssl.TLSVersion.TLSv1
    server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    server.context.set_ciphers("DEFAULT:@SECLEVEL=0")

    with pytest.raises(Unreachable):
        send(outside, server, "example.org")


def test_a_server_that_does_not_speak_tls_is_not_reached(outside: Outside) -> None:
    class Plain(Protocol):
        def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
            assert self.transport is not None
            self.transport.write(json_answer(b"{}"))

    port = outside.wait(_listening(outside, Factory.forProtocol(Plain)))
    route = Route("example.org", "example.org", (("127.0.0.1", port),))

    with pytest.raises(Unreachable):
        outside.wait(outside.https.send(route, ask_for()))


def test_our_own_listener_and_our_own_client_agree_on_a_group_that_withstands_quantum_computers(
    outside: Outside,
) -> None:
    class Answering(Protocol):
        def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
            assert self.transport is not None
            self.transport.write(json_answer(b"{}"))

    certificate = outside.authority.issue("example.org")
    tls = DefaultOpenSSLContextFactory(str(certificate.private_key), str(certificate.certificate))
    outside.groups.watch(tls.getContext())
    site = TLSMemoryBIOFactory(
        tls, isClient=False, wrappedFactory=Factory.forProtocol(Answering), clock=outside.reactor
    )
    port = outside.wait(_listening(outside, site))

    outside.wait(outside.https.send(Route("example.org", "example.org", (("127.0.0.1", port),)), ask_for()))

    assert outside.groups.counts == {(OUTGOING, "X25519MLKEM768"): 1, (INCOMING, "X25519MLKEM768"): 1}
    assert outside.https.group_of(ask_for().destination) == "X25519MLKEM768"


def test_with_a_classical_peer_the_group_is_a_classical_one(outside: Outside) -> None:
    server = outside.serve(GOOD)
    server.context.set_ecdh_curve("prime256v1")

    send(outside, server, "example.org")

    [(direction, group)] = outside.groups.counts
    assert (direction, group.lower()) in ((OUTGOING, "secp256r1"), (OUTGOING, "p-256"), (OUTGOING, "prime256v1"))


async def _listening(outside: Outside, factory: IProtocolFactory) -> int:
    port = await TCP4ServerEndpoint(outside.reactor, 0, interface="127.0.0.1").listen(factory)
    number: int = port.getHost().port
    return number
