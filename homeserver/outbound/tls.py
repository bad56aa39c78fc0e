"""TLS towards others: whom we trust, and whether a certificate is that of the server we mean."""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final

from OpenSSL.crypto import X509
from OpenSSL.SSL import SSL_CB_HANDSHAKE_DONE, VERIFY_FAIL_IF_NO_PEER_CERT, VERIFY_PEER, Connection, Context
from OpenSSL.SSL import Error as TlsError
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion, platformTrust
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.outbound.errors import Unreachable
from homeserver.outbound.routes import literal_of
from homeserver.runtime.tls_groups import OUTGOING, TlsGroups

LOWEST: Final = TLSVersion.TLSv1_2


class BadTrustRoot(Exception):  # noqa: N818 - named after what is wrong
    """A file of certificates to trust that holds none."""


class TlsClients:
    """Makes the client's end of TLS connections.

    Trusts what the operating system trusts, and `ca_file` besides. The roots are read once, because that takes a while.
    """

    def __init__(
        self,
        groups: TlsGroups,
        *,
        verifies: bool = True,
        ca_file: Path | None = None,
        see_certificate: Callable[[X509], None] | None = None,
    ) -> None:
        """`see_certificate` is shown the certificate of each server with which a connection came about."""
        self._groups = groups
        self.verifies: Final = verifies
        self._ca_file = ca_file
        self._see_certificate = see_certificate

    def watched(self, see_certificate: Callable[[X509], None]) -> "TlsClients":
        """The same, who trusts the same roots, for somebody who wants to see certificates."""
        watched = TlsClients(
            self._groups, verifies=self.verifies, ca_file=self._ca_file, see_certificate=see_certificate
        )
        watched.context = self.context
        return watched

    @cached_property
    def context(self) -> Context:
        """What all connections have in common. Raises BadTrustRoot."""
        options = CertificateOptions(trustRoot=platformTrust() if self.verifies else None, raiseMinimumTo=LOWEST)
        context: Context = options.getContext()
        if self.verifies and self._ca_file is not None:
            try:
                context.load_verify_locations(str(self._ca_file))
            except TlsError as error:
                raise BadTrustRoot(f"{self._ca_file} holds no certificates that can be trusted: {error}") from error
        return context

    def load(self) -> None:
        """Read the roots now, not at the first connection. Raises BadTrustRoot."""
        _ = self.context

    def expecting(self, name: str, learn_group: Callable[[str], None]) -> IOpenSSLClientConnectionCreator:
        """For a connection to the server whose certificate is for `name`, a host name or an address.

        `learn_group` is told the group of its key exchange. Raises Unreachable if no certificate can have that name.
        """
        try:
            wanted = DNS_ID(name) if literal_of(name) is None else IPAddress_ID(name)
        except ValueError as error:
            raise Unreachable(f"no certificate can be for {name:.255}") from error

        def note(connection: Connection) -> None:
            learn_group(self._groups.note(OUTGOING, connection))
            certificate = connection.get_peer_certificate()
            if self._see_certificate is not None and certificate is not None:
                self._see_certificate(certificate)

        return _Expecting(self.context, wanted if self.verifies else None, _server_name(name), note)


@implementer(IOpenSSLClientConnectionCreator)
class _Expecting:
    """What Twisted asks for a connection when it begins to speak TLS."""

    def __init__(
        self, context: Context, wanted: ServiceID | None, server_name: bytes | None, note: Callable[[Connection], None]
    ) -> None:
        self._context = context
        self._wanted = wanted
        self._server_name = server_name
        self._note = note

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:  # noqa: N802, N803 - Twisted's
        connection = Connection(self._context, None)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name)
        if self._wanted is not None:
            connection.set_verify(VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, _verifier(self._wanted, tlsProtocol))
        connection.set_info_callback(self._informed)
        return connection

    def _informed(self, connection: Connection, where: int, _: int) -> None:
        if where & SSL_CB_HANDSHAKE_DONE:
            self._note(connection)


def _server_name(name: str) -> bytes | None:
    """What is sent as SNI: no addresses, the specification and that of TLS say."""
    return name.encode("ascii") if literal_of(name) is None else None


def _verifier(wanted: ServiceID, protocol: TLSMemoryBIOProtocol) -> Callable[[Connection, X509, int, int, int], bool]:
    """Judges each certificate of a chain: OpenSSL has looked at its issuer, the last one must also have the name."""

    def is_good(_: Connection, certificate: X509, __: int, depth: int, is_good_so_far: int) -> bool:
        if depth != 0 or not is_good_so_far:
            return bool(is_good_so_far)
        try:
            verify_service_identity(extract_patterns(certificate), [wanted], [])
        except (VerificationError, CertificateError):
            protocol.failVerification(Failure())
            return False
        return True

    return is_good
