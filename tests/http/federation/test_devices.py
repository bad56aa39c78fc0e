"""Devices over HTTP: what other servers ask for, and what they are answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from homeserver.http.endpoint import Surface
from homeserver.http.federation.devices import FederationDeviceEndpoints
from homeserver.services.federation.serving_devices import DeviceServing
from tests.databases import fresh_sqlite
from tests.http.conftest import Response, Serve, Served, in_reactor
from tests.services.e2ee.signed_keys import PHONE, one_time_key, publish_device, publish_identity
from tests.services.world import ALICE, SERVER, World, now

V1 = "/_matrix/federation/v1"
SIGNED = "signed_curve25519"
PEER = {"Authorization": "X-Matrix elsewhere.example"}


@pytest.fixture
def world(tmp_path: Path, running_reactor: None) -> Iterator[World]:
    """A world on the reactor's thread, where its database is used."""
    made: World = in_reactor(lambda: World(fresh_sqlite(tmp_path / "homeserver.db")))
    yield made
    in_reactor(made.close)


@pytest.fixture
def site(serve: Serve, world: World) -> Served:
    return serve(
        FederationDeviceEndpoints(DeviceServing(world.database, world.device_keys, world.key_visibility, SERVER)),
        served={Surface.FEDERATION},
    )


def post(site: Served, path: str, body: Any) -> Response:
    return site.request("POST", V1 + path, orjson.dumps(body), PEER)


def test_a_users_devices_have_a_stream_id_and_keys(site: Served, world: World) -> None:
    keys = in_reactor(lambda: publish_device(world, ALICE, PHONE, "phone"))
    in_reactor(lambda: publish_identity(world, ALICE))

    answer = site.request("GET", f"{V1}/user/devices/{ALICE}", headers=PEER).json

    assert answer["user_id"] == ALICE
    assert answer["devices"] == [{"device_id": PHONE, "device_display_name": "phone", "keys": keys}]
    assert isinstance(answer["stream_id"], int)
    assert answer["master_key"]["usage"] == ["master"]
    assert answer["self_signing_key"]["usage"] == ["self_signing"]


def test_keys_are_queried_by_user(site: Served, world: World) -> None:
    keys = in_reactor(lambda: publish_device(world, ALICE))
    in_reactor(lambda: publish_identity(world, ALICE))

    answer = post(site, "/user/keys/query", {"device_keys": {ALICE: [], "@eve:elsewhere.example": []}}).json

    assert answer["device_keys"] == {ALICE: {PHONE: {**keys, "unsigned": {}}}}
    assert answer.keys() == {"device_keys", "master_keys", "self_signing_keys"}
    assert answer["master_keys"].keys() == answer["self_signing_keys"].keys() == {ALICE}


def test_keys_are_claimed_by_device(site: Served, world: World) -> None:
    keys = {f"{SIGNED}:1": one_time_key(ALICE)}
    in_reactor(lambda: publish_device(world, ALICE))
    in_reactor(lambda: now(world.device_keys.upload(ALICE, PHONE, one_time_keys=keys)))

    answer = post(site, "/user/keys/claim", {"one_time_keys": {ALICE: {PHONE: SIGNED}}}).json

    assert answer == {"one_time_keys": {ALICE: {PHONE: keys}}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/user/keys/query", {}),
        ("/user/keys/query", {"device_keys": []}),
        ("/user/keys/query", {"device_keys": {ALICE: {"PHONE": 1}}}),
        ("/user/keys/claim", {}),
        ("/user/keys/claim", {"one_time_keys": {ALICE: [PHONE]}}),
        ("/user/keys/claim", {"one_time_keys": {"alice": {}}}),
    ],
)
def test_what_makes_no_sense_is_refused(site: Served, path: str, body: Any) -> None:
    answer = post(site, path, body)

    assert (answer.status, answer.json["errcode"]) == (400, "M_BAD_JSON")


def test_users_of_other_servers_are_not_found(site: Served) -> None:
    answer = site.request("GET", f"{V1}/user/devices/@eve:elsewhere.example", headers=PEER)

    assert (answer.status, answer.json["errcode"]) == (404, "M_NOT_FOUND")


def test_only_servers_that_sign_are_answered(site: Served) -> None:
    answers = [
        site.request("GET", f"{V1}/user/devices/{ALICE}"),
        site.request("POST", f"{V1}/user/keys/query", b'{"device_keys":{}}'),
        site.request("POST", f"{V1}/user/keys/claim", b'{"one_time_keys":{}}'),
    ]

    assert [answer.status for answer in answers] == [401] * 3
