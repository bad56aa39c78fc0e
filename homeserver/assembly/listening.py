"""The ports of a server, and the socket of its owner."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from homeserver.http.client_address import TrustedProxies
from homeserver.http.endpoint import BoundEndpoint, Surface
from homeserver.http.resource import Listening, Site, Traffic
from homeserver.http.router import Router
from homeserver.runtime.startup import StartRefused
from homeserver.runtime.tls_groups import TlsGroups
from homeserver.settings.sections import Listener, Settings


class Ports:
    """What this server listens on, once it has begun to."""

    def __init__(self, settings: Settings, reactor: Any, tls_groups: TlsGroups) -> None:  # Any: many interfaces at once
        self._settings = settings
        self._reactor = reactor
        self._tls_groups = tls_groups
        self._open: list[Any] = []

    def listen(self, traffic: Traffic, endpoints: Sequence[BoundEndpoint]) -> Sequence[str]:
        """Begin to listen everywhere, and return the addresses. Raises StartRefused."""
        addresses = [self._listen(traffic, endpoints, listener) for listener in self._settings.listeners]
        self._listen_to_owner(traffic, endpoints)
        return addresses

    async def close(self) -> None:
        """Accept no more connections."""
        ports, self._open = self._open, []
        for port in ports:
            await port.stopListening()
        if ports:
            self._settings.admin_socket.unlink(missing_ok=True)

    def _listen(self, traffic: Traffic, endpoints: Sequence[BoundEndpoint], listener: Listener) -> str:
        limits = self._settings.limits
        listening = Listening(
            Router(endpoints, {Surface(name) for name in listener.serve}),
            TrustedProxies(self._settings.trusted_proxies),
            body_limit_bytes=limits.body_bytes,
            upload_limit_bytes=limits.upload_bytes,
        )
        site = Site(traffic, listening)
        try:
            if listener.tls is None:
                port = self._reactor.listenTCP(listener.port, site, interface=listener.bind)
            else:
                tls = DefaultOpenSSLContextFactory(  # type: ignore[no-untyped-call]
                    str(listener.tls.private_key), str(listener.tls.certificate)
                )
                self._tls_groups.watch(tls.getContext())  # type: ignore[no-untyped-call]
                port = self._reactor.listenSSL(listener.port, site, tls, interface=listener.bind)
        except CannotListenError as taken:
            raise StartRefused(f"cannot listen on {listener.bind} port {listener.port}: {taken.socketError}") from taken
        self._open.append(port)
        host = "localhost" if listener.bind in ("127.0.0.1", "0.0.0.0", "::", "::1") else listener.bind  # noqa: S104 - compared
        return f"{'http' if listener.tls is None else 'https'}://{host}:{port.getHost().port}/"

    def _listen_to_owner(self, traffic: Traffic, endpoints: Sequence[BoundEndpoint]) -> None:
        path = self._settings.admin_socket
        path.unlink(missing_ok=True)  # of a server that was killed: this one holds the folder's lock
        listening = Listening(Router(endpoints, {Surface.ADMIN}), TrustedProxies(()), by_owner=True)
        try:
            self._open.append(self._reactor.listenUNIX(str(path), Site(traffic, listening), mode=0o600))
        except CannotListenError as wrong:
            raise StartRefused(f"cannot listen on {path}: {wrong.socketError}") from wrong
