"""What is noted on the way to a server. What it means is tried in tests/services/federation/test_reachability.py."""

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.expeditions import Expedition, Expeditions
from homeserver.outbound.names import Service
from homeserver.outbound.tls import TlsClients
from homeserver.outbound.well_known import WellKnown
from homeserver.runtime.randomness import SeededRandomness
from tests.outbound.https_servers import Outside, answering, ask_for, json_answer
from tests.outbound.test_well_known import Web

NAME = "example.org"


def begin(outside: Outside) -> Expedition:
    tls = TlsClients(outside.groups, ca_file=outside.authority.file)
    guard = AddressGuard(allows_private=True)
    well_known = WellKnown(Web(), outside.clock)
    return Expeditions(
        outside.reactor, outside.clock, SeededRandomness(), outside.names, guard, tls, well_known, "Columba/test"
    ).begin()


@pytest.mark.parametrize(
    ("date", "is_known"),
    [(("Date: Tue, 15 Nov 1994 08:12:31 GMT",), True), (("Date: yesterday",), False), ((), False)],
)
def test_the_way_and_the_clock_are_noted(outside: Outside, date: tuple[str, ...], is_known: bool) -> None:
    server = outside.serve(answering(json_answer(b"{}", 200, *date)))
    records = [Service(0, 1, server.port, "host.example.org")]
    outside.names.records[f"_matrix-fed._tcp.{NAME}"] = records
    outside.names.hosts["host.example.org"] = ["127.0.0.1"]
    expedition = begin(outside)

    answer = outside.wait(expedition.exchange(ask_for(destination=NAME)))
    outside.wait(expedition.close())

    seen = expedition.seen
    assert answer.status == 200
    assert [(each.host, each.server) for each in seen.delegations] == [(NAME, None)]
    assert [(each.name, each.records) for each in seen.services] == [(f"_matrix-fed._tcp.{NAME}", records)]
    assert [(each.host, [str(one) for one in each.addresses]) for each in seen.addresses] == [
        ("host.example.org", ["127.0.0.1"])
    ]
    assert seen.certificate is not None
    assert seen.certificate.issuer == "CN=The tests' authority"
    assert seen.certificate.good_until_ms > outside.clock.now_ms()
    assert (seen.clock_ahead_ms is not None and seen.clock_ahead_ms < 0) == is_known
    assert expedition.group_of(ServerName(NAME)) is not None


def test_what_failed_on_the_way_is_noted_too(outside: Outside) -> None:
    outside.names.broken.add(f"_matrix-fed._tcp.{NAME}")
    expedition = begin(outside)

    with pytest.raises(Unreachable):
        outside.wait(expedition.exchange(ask_for(destination=NAME)))

    seen = expedition.seen
    assert [each.problem is None for each in seen.services] == [False, True]
    assert [each.problem is None for each in seen.addresses] == [False]
    assert (seen.certificate, expedition.group_of(ServerName(NAME))) == (None, None)
