"""Forwarded addresses are believed as far as trusted proxies vouch for them."""

from ipaddress import ip_network

import pytest

from homeserver.http.client_address import UNIX_SOCKET, TrustedProxies

PROXIES = TrustedProxies([ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("::1/128")])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("::1", ["192.0.2.1"], "192.0.2.1"),
        ("::ffff:127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("198.51.100.9", ["192.0.2.1"], "198.51.100.9"),
        ("127.0.0.1", ["203.0.113.5, 192.0.2.1, 10.0.0.3"], "192.0.2.1"),
        ("127.0.0.1", ["203.0.113.5", "192.0.2.1", "10.0.0.3"], "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.9, 10.0.0.3"], "10.0.0.9"),
        ("127.0.0.1", ["nonsense, 10.0.0.3"], "10.0.0.3"),
        ("127.0.0.1", ["nonsense"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1:4711"], "192.0.2.1"),
        ("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        (UNIX_SOCKET, ["192.0.2.1"], UNIX_SOCKET),
    ],
)
def test_the_client_is_the_rightmost_that_is_no_proxy(peer: str, forwarded: list[str], client: str) -> None:
    assert PROXIES.client_of(peer, forwarded) == client


def test_a_proxy_behind_a_unix_socket_may_be_trusted() -> None:
    proxies = TrustedProxies((), trusts_unix_socket=True)

    assert proxies.client_of(UNIX_SOCKET, ["192.0.2.1"]) == "192.0.2.1"
