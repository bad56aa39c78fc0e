"""Keys over HTTP: what is read of a query, and what it is answered with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import parse_published_keys
from homeserver.core.signing import SigningKey, verify_json
from homeserver.http.endpoint import Surface
from homeserver.http.federation.keys import FederationKeyEndpoints
from homeserver.runtime.caches import CacheBudget
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.events.remote_keys import RemoteKeys
from homeserver.services.federation.key_document import OwnKeyDocument
from homeserver.services.federation.key_notary import KeyNotary
from tests.databases import fresh_sqlite
from tests.fakes.key_source import FakeKeySource, Publisher
from tests.http.conftest import Serve, Served, in_reactor
from tests.services.world import SERVER, World

ONE, GONE = ServerName("one.example"), ServerName("gone.example")
KEY = SigningKey("a", b"\x01" * 32)


@pytest.fixture
def world(tmp_path: Path, running_reactor: None) -> Iterator[World]:
    """A world on the reactor's thread, where its database is used."""
    made: World = in_reactor(lambda: World(fresh_sqlite(tmp_path / "homeserver.db")))
    yield made
    in_reactor(made.close)


@pytest.fixture
def publisher(world: World) -> Publisher:
    """A server that publishes its key for an hour."""
    return Publisher(ONE, KEY, world.clock.now_ms() + 3_600_000)


@pytest.fixture
def site(serve: Serve, world: World, publisher: Publisher) -> Served:
    source = FakeKeySource()
    source.publish(publisher)
    own = OwnSigningKeys(world.key)
    remote = RemoteKeys(world.database, source, (), CacheBudget(1 << 20), world.clock)
    document = OwnKeyDocument(own, SERVER, world.clock)
    notary = KeyNotary(world.database, remote, own, document, SERVER, world.clock)
    return serve(FederationKeyEndpoints(document, notary), served={Surface.FEDERATION})


def query(site: Served, server_keys: Any) -> Any:
    answer = site.request("POST", "/_matrix/key/v2/query", orjson.dumps({"server_keys": server_keys}))
    assert answer.status == 200, answer.body
    return answer.json["server_keys"]


@pytest.mark.parametrize("path", ["/_matrix/key/v2/server", "/_matrix/key/v2/server/ed25519:whichever"])
def test_the_own_keys_are_told_to_anybody(site: Served, world: World, path: str) -> None:
    answer = site.request("GET", path)

    (key,) = parse_published_keys(answer.json, SERVER, fetched_ms=world.clock.now_ms())
    assert key.verify_key == world.key.verify_key
    assert answer.body == orjson.dumps(answer.json, option=orjson.OPT_SORT_KEYS)


def test_the_keys_of_one_server_are_told_with_both_signatures(site: Served, world: World, publisher: Publisher) -> None:
    for path in (ONE, f"{ONE}/ed25519:a", f"{ONE}?minimum_valid_until_ts={publisher.valid_until_ms}"):
        (document,) = site.request("GET", f"/_matrix/key/v2/query/{path}").json["server_keys"]

        verify_json(document, SERVER, world.key.verify_key)
        verify_json(document, ONE, KEY.verify_key)


def test_the_keys_of_several_servers_are_told_as_far_as_they_are_known(site: Served) -> None:
    found = query(site, {ONE: {"ed25519:a": {"minimum_valid_until_ts": 1}}, GONE: {"ed25519:b": {}}, SERVER: {}})

    assert {each["server_name"] for each in found} == {ONE, SERVER}


def test_what_is_not_known_is_an_empty_list(site: Served) -> None:
    assert site.request("GET", f"/_matrix/key/v2/query/{GONE}").json == {"server_keys": []}
    assert query(site, {GONE: {"ed25519:b": {}}, ONE: {}}) == []
    assert query(site, {}) == []


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_BAD_JSON"),
        ({"server_keys": []}, "M_BAD_JSON"),
        ({"server_keys": {ONE: []}}, "M_BAD_JSON"),
        ({"server_keys": {ONE: {"ed25519:a": 1}}}, "M_BAD_JSON"),
        ({"server_keys": {ONE: {"ed25519:a": {"minimum_valid_until_ts": "x"}}}}, "M_BAD_JSON"),
        ({"server_keys": {ONE: {"ed25519:a": {"minimum_valid_until_ts": 2**53}}}}, "M_BAD_JSON"),
        ({"server_keys": {"no server": {}}}, "M_INVALID_PARAM"),
        ({"server_keys": {f"s{number}.example": {} for number in range(1000)}}, "M_INVALID_PARAM"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(site: Served, body: Any, errcode: str) -> None:
    answer = site.request("POST", "/_matrix/key/v2/query", orjson.dumps(body))

    assert (answer.status, answer.json["errcode"]) == (400, errcode)


@pytest.mark.parametrize("path", ["no%20server", f"{ONE}?minimum_valid_until_ts=x", "a.example:99999"])
def test_a_path_that_makes_no_sense_is_refused(site: Served, path: str) -> None:
    answer = site.request("GET", f"/_matrix/key/v2/query/{path}")

    assert (answer.status, answer.json["errcode"]) == (400, "M_INVALID_PARAM")
