"""Counts of key exchanges."""

import contextlib
from pathlib import Path

import pytest
from OpenSSL.SSL import TLS1_2_VERSION, TLS_CLIENT_METHOD, TLS_SERVER_METHOD, Connection, Context, WantReadError

from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tls_groups import INCOMING, OUTGOING, TlsGroups
from tests.tls import CertificateAuthority


class Ends:
    """Both ends of TLS connections that have no sockets."""

    def __init__(self, folder: Path) -> None:
        certificate = CertificateAuthority(folder).issue("example.org")
        self.server = Context(TLS_SERVER_METHOD)
        self.server.use_certificate_file(str(certificate.certificate))
        self.server.use_privatekey_file(str(certificate.private_key))
        self.client = Context(TLS_CLIENT_METHOD)

    def connect(self) -> Connection:
        """The client's end of a new connection, its handshake done."""
        client, server = Connection(self.client, None), Connection(self.server, None)
        client.set_connect_state()
        server.set_accept_state()
        for _ in range(4):
            for end, other in ((client, server), (server, client)):
                with contextlib.suppress(WantReadError):
                    end.do_handshake()
                with contextlib.suppress(WantReadError):
                    other.bio_write(end.bio_read(1 << 16))
        return client


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    """Both ends, with a certificate."""
    return Ends(tmp_path)


def test_two_ends_that_know_it_agree_on_a_group_that_withstands_quantum_computers(ends: Ends) -> None:
    groups = TlsGroups()
    groups.watch(ends.server)

    for _ in range(3):
        groups.note(OUTGOING, ends.connect())

    assert groups.counts == {(INCOMING, "X25519MLKEM768"): 3, (OUTGOING, "X25519MLKEM768"): 3}


def test_with_a_client_of_an_older_version_the_group_is_another(ends: Ends) -> None:
    groups = TlsGroups()
    groups.watch(ends.server)
    ends.client.set_max_proto_version(TLS1_2_VERSION)

    group = groups.note(OUTGOING, ends.connect())

    assert group.lower() == "x25519"
    assert groups.counts[INCOMING, group] == 1


def test_the_counts_are_exported(ends: Ends) -> None:
    groups, metrics = TlsGroups(), Metrics()
    metrics.tls(groups)

    groups.note(OUTGOING, ends.connect())

    line = b'columba_tls_handshakes_total{direction="outgoing",group="X25519MLKEM768"} 1.0'
    assert line in metrics.render()
