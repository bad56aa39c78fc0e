"""The domain name system: addresses of hosts, and service records. What follows from them is in resolver.py."""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Protocol

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.names.client import Resolver
from twisted.names.dns import SRV, Record_SRV
from twisted.names.error import DNSNameError, DNSQueryTimeoutError, DomainError, ResolverError

from homeserver.outbound.address_guard import Address
from homeserver.outbound.errors import Unreachable

# A look-up holds a thread for as long as the name's servers take; others need threads too.
LOOKUPS_AT_ONCE: Final = 6
MOST_ADDRESSES: Final = 16
MOST_SERVICES: Final = 32
QUERY_TIMEOUTS_S: Final = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record. Its target is a host name without a dot at the end; empty when there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


class Names(Protocol):
    """What is asked of the domain name system."""

    async def addresses(self, host: str) -> Sequence[Address]:
        """The addresses of a host, the preferred first; not empty. Raises Unreachable."""

    async def services(self, name: str) -> Sequence[Service]:
        """The SRV records of a name such as "_matrix-fed._tcp.example.org". Raises Unreachable if nobody can say."""


class SystemNames:
    """Asks as the operating system is set up to ask."""

    # Any: a reactor is many interfaces; in_thread runs a function in a thread, as deferToThread does
    def __init__(
        self,
        reactor: Any,
        in_thread: Callable[..., Awaitable[Any]],
        *,
        servers: Sequence[tuple[str, int]] = (),
        timeouts_s: Sequence[float] = QUERY_TIMEOUTS_S,
    ) -> None:
        """`servers` are asked for service records instead of the system's; a query is repeated after `timeouts_s`."""
        self._reactor = reactor
        self._in_thread = in_thread
        self._servers = servers
        self._timeouts_s = timeouts_s
        self._turns = DeferredSemaphore(LOOKUPS_AT_ONCE)
        self._resolver: Resolver | None = None

    async def addresses(self, host: str) -> Sequence[Address]:
        """See Names."""
        await self._turns.acquire()
        try:
            found = await self._in_thread(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # unknown names, and those with labels of impossible lengths
            raise Unreachable(f"no address is known of {host:.255}: {error}") from error
        finally:
            self._turns.release()
        addresses = [ip_address(place[0]) for _, _, _, _, place in found]
        return list(dict.fromkeys(addresses))[:MOST_ADDRESSES]

    async def services(self, name: str) -> Sequence[Service]:
        """See Names."""
        if self._resolver is None:
            self._resolver = Resolver(
                resolv=None if self._servers else "/etc/resolv.conf",
                servers=list(self._servers),
                timeout=self._timeouts_s,
                reactor=self._reactor,
            )
        try:
            answers, _, _ = await self._resolver.lookupService(name)
        except DNSNameError:
            return ()
        except (DomainError, NoAnswer, DNSQueryTimeoutError, ResolverError, OSError) as error:
            raise Unreachable(f"the domain name system has no answer about {name:.255}: {error!r}") from error
        records = [answer.payload for answer in answers if answer.type == SRV][:MOST_SERVICES]
        return [_service(record) for record in records if isinstance(record, Record_SRV)]


def _service(record: Record_SRV) -> Service:
    target = record.target.name.decode("ascii", "replace").rstrip(".")
    return Service(record.priority, record.weight, record.port, target)
