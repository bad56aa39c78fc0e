"""Server names, taken apart."""

from ipaddress import ip_address

import pytest

from homeserver.outbound.address_guard import Address
from homeserver.outbound.routes import literal_of, split_port


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("example.org", "example.org", None),
        ("example.org:1", "example.org", 1),
        ("example.org:00443", "example.org", 443),
        ("1.2.3.4:65535", "1.2.3.4", 65535),
        ("[::1]", "::1", None),
        ("[2001:db8::1]:8448", "2001:db8::1", 8448),
    ],
)
def test_a_name_is_a_host_and_perhaps_a_port(name: str, host: str, port: int | None) -> None:
    assert split_port(name) == (host, port)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("1.2.3.4", ip_address("1.2.3.4")),
        ("::1", ip_address("::1")),
        ("example.org", None),
        ("127.1", None),
        ("2130706433", None),
        ("0x7f.0.0.1", None),
        ("", None),
    ],
)
def test_only_a_whole_address_is_a_literal(host: str, address: Address | None) -> None:
    assert literal_of(host) == address
