"""Which address a request comes from, when proxies stand between."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

UNIX_SOCKET: Final = "unix"  # what a peer without an address is called


class TrustedProxies:
    """The proxies whose X-Forwarded-For is believed."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network], *, trusts_unix_socket: bool = False) -> None:
        self._networks = tuple(networks)
        self._trusts_unix_socket = trusts_unix_socket

    def client_of(self, peer: str, forwarded: Sequence[str]) -> str:
        """The rightmost address in X-Forwarded-For that is not a trusted proxy's; the peer when it is none itself.

        `forwarded` holds every such header in order. What stands left of a broken entry counts for nothing.
        """
        if not forwarded or not self._is_trusted(peer):
            return peer
        client = peer
        for entry in reversed(",".join(forwarded).split(",")):
            address = _parse(entry.strip())
            if address is None:
                break
            client = str(address)
            if not self._is_trusted(client):
                break
        return client

    def _is_trusted(self, peer: str) -> bool:
        if peer == UNIX_SOCKET:
            return self._trusts_unix_socket
        address = _parse(peer)
        return address is not None and any(address in network for network in self._networks)


def _parse(entry: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps with a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1]:80."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        address = ip_address(entry.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
