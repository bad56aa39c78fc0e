"""Where a server is to be reached, and what a name looks like when it is taken apart.

How a server name becomes a route is in resolver.py.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from homeserver.outbound.address_guard import Address


@dataclass(frozen=True, slots=True)
class Route:
    """How to speak with a server."""

    host_header: str
    certificate_name: str  # a host name, or an address without brackets
    targets: tuple[tuple[str, int], ...]  # host names or addresses with their ports, in the order to try them


def split_port(name: str) -> tuple[str, int | None]:
    """The host (without brackets) and the port of a server name, which has its grammar."""
    if name.startswith("["):
        host, _, port = name[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = name.partition(":")
    return host, int(port) if port else None


def literal_of(host: str) -> Address | None:
    """The address that `host` is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
