"""Which addresses may be connected to: those of the public internet, and no others.

What other servers and users name is looked up and then connected to; without this they could make us speak with our
own network. Asked about each address that is about to be connected to, after the name was resolved, so that a name
that resolves differently the second time gains nothing.
"""

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final

from homeserver.outbound.errors import Unreachable

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_V4: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, where clouds keep their secrets
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# All public unicast addresses are in here; loopback, mapped and translated IPv4 (NAT64), private, link-local, multicast
# are not.
_PUBLIC_V6: Final = ip_network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    ip_network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",  # documentation
    )
)


def is_allowed(address: Address) -> bool:
    """True for a unicast address of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


class AddressGuard:
    """Refuses addresses that are not public, unless the operator allows all of them (for tests on loopback)."""

    def __init__(self, *, allows_private: bool) -> None:
        self._allows_private = allows_private

    def check(self, address: Address) -> None:
        """Raises Unreachable for an address that must not be connected to."""
        if not self._allows_private and not is_allowed(address):
            raise Unreachable(f"{address} is not a public address")
