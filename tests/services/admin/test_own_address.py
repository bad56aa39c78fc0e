"""What the doctor finds on the ways to the server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import RemoteError, Unreachable
from homeserver.outbound.exchange import Answer
from homeserver.services.admin.doctor import Finding, Level
from homeserver.services.admin.own_address import Address, OwnAddress, host_of
from homeserver.services.federation.reachability import Step
from homeserver.storage.outboxes import StoredOutbox, store_outboxes
from tests.services.world import World, call_now, now

WELL_KNOWN = "https://example.org/.well-known/matrix/client"
ADDRESS = Address("example.org", "https://matrix.example.org/", is_federated=True, turn_uris=())
VERSIONS = "https://matrix.example.org/_matrix/client/versions"


def answer(body: Any, **headers: str) -> Answer:  # Any: JSON
    return Answer(200, headers, json.dumps(body).encode())


@dataclass
class Outside:
    """The web and other servers, well unless a test changes them."""

    pages: dict[str, Answer | RemoteError] = field(
        default_factory=lambda: {
            WELL_KNOWN: answer({"m.homeserver": {"base_url": "https://matrix.example.org"}}),
            VERSIONS: answer({"versions": ["v1.1"]}, **{"access-control-allow-origin": "*"}),
        }
    )
    own: Sequence[Step] = (Step("connection", is_ok=True, told="the certificate is valid"),)
    clocks: dict[str, bool] = field(default_factory=dict)
    address: Address = ADDRESS

    async def page(self, url: str) -> Answer:
        page = self.pages[url]
        if isinstance(page, RemoteError):
            raise page
        return page

    async def test_own(self) -> Sequence[Step]:
        return self.own

    async def test(self, name: str) -> Sequence[Step]:
        return [Step("keys", is_ok=True, told=""), Step("clock", is_ok=self.clocks[name], told="90 s ahead")]

    def findings(self, world: World) -> dict[str, Finding]:
        examined = OwnAddress(self.address, self, self, world.database, call_now)
        return {each.name: each for each in now(examined.findings())}


def test_a_server_that_is_found_is_said_to_be(world: World) -> None:
    found = Outside().findings(world)

    assert {name: each.level for name, each in found.items()} == {
        "client well-known": Level.OK,
        "clients": Level.OK,
        "federation: connection": Level.OK,
        "clock": Level.OK,
    }


@pytest.mark.parametrize(
    ("url", "page", "name", "told"),
    [
        (WELL_KNOWN, Unreachable("no such host"), "client well-known", "no such host"),
        (WELL_KNOWN, answer({"m.homeserver": {"base_url": "https://else.example"}}), "client well-known", "else"),
        (WELL_KNOWN, answer(["x"]), "client well-known", "names no base_url"),
        (WELL_KNOWN, Answer(200, {}, b"<html>"), "client well-known", "names no base_url"),
        (VERSIONS, Unreachable("no answer"), "clients", "no answer"),
        (VERSIONS, answer({"hello": 1}), "clients", "not answered by a Matrix server"),
        (VERSIONS, answer({"versions": []}), "clients", "Access-Control"),
    ],
)
def test_what_keeps_clients_away_is_an_error_with_advice(
    world: World, url: str, page: Answer | RemoteError, name: str, told: str
) -> None:
    outside = Outside()
    outside.pages[url] = page

    finding = outside.findings(world)[name]

    assert finding.level is Level.ERROR
    assert told in finding.told
    assert finding.advice


def test_a_server_whose_clients_need_no_well_known_is_warned_only(world: World) -> None:
    outside = Outside(address=Address("example.org", "https://example.org/", is_federated=False, turn_uris=()))
    outside.pages = {
        WELL_KNOWN: Unreachable("404"),
        "https://example.org/_matrix/client/versions": outside.pages[VERSIONS],
    }

    found = outside.findings(world)

    assert found["client well-known"].level is Level.WARNING
    assert found["federation"].told == "it is off"


def test_a_way_that_other_servers_cannot_go_is_told_with_what_to_do(world: World) -> None:
    outside = Outside(own=(Step("keys", is_ok=False, told="no answer"), Step("clock", is_ok=True, told="")))

    found = outside.findings(world)

    assert (found["federation: keys"].level, found["federation: keys"].told) == (Level.ERROR, "no answer")
    assert "/_matrix/key" in (found["federation: keys"].advice or "")
    assert "federation: clock" not in found


@pytest.mark.parametrize(
    ("clocks", "level"), [([True, True, False], Level.OK), ([False, False, True], Level.ERROR), ([False], Level.ERROR)]
)
def test_the_clock_is_wrong_when_most_others_say_so(world: World, clocks: list[bool], level: Level) -> None:
    outside = Outside(clocks={f"{number}.example": is_ok for number, is_ok in enumerate(clocks)})
    for number, name in enumerate(outside.clocks):
        outbox = StoredOutbox(ServerName(name), 1, number + 1, is_behind=False, transaction=None)
        world.sync_database.write(store_outboxes, [outbox])
    never = StoredOutbox(ServerName("never.example"), 0, None, is_behind=True, transaction=None)
    world.sync_database.write(store_outboxes, [never])

    assert outside.findings(world)["clock"].level is level


def test_a_turn_server_that_is_not_there_is_an_error(world: World) -> None:
    address = Address("example.org", "https://matrix.example.org/", is_federated=True, turn_uris=("turn:127.0.0.1:1",))

    finding = Outside(address=address).findings(world)["TURN"]

    assert finding.level is Level.ERROR
    assert finding.told.startswith("turn:127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("name", "host"), [("a.example", "a.example"), ("a.example:8448", "a.example"), ("[::1]:8448", "[::1]")]
)
def test_the_host_of_a_server_is_its_name_without_a_port(name: str, host: str) -> None:
    assert host_of(ServerName(name)) == host
