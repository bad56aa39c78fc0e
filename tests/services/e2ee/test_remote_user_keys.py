"""Keys of other servers' users, as users of this server see them, beside those of this server's users."""

from collections.abc import Mapping

import orjson
import pytest

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.identifiers import ServerName, UserID
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.federation_client import FederationClient
from homeserver.outbound.gate import OpenGate
from homeserver.runtime.randomness import SeededRandomness
from homeserver.services.e2ee.device_keys import DeviceKeys
from homeserver.services.e2ee.remote_device_keys import RemoteDeviceKeys
from homeserver.services.e2ee.remote_user_keys import RemoteUserKeys
from homeserver.services.e2ee.remote_users import RemoteUsers
from tests.fakes.key_servers import KeyServers
from tests.services.e2ee.signed_keys import LAPTOP, PHONE, device_keys, identity, one_time_key, publish_device
from tests.services.world import ALICE, BOB, SERVER, World, now

ONE, TWO = ServerName("one.example"), ServerName("two.example")
EVE, MAL = UserID(f"@eve:{ONE}"), UserID(f"@mal:{TWO}")
SIGNED = "signed_curve25519"


@pytest.fixture
def servers() -> KeyServers:
    return KeyServers()


@pytest.fixture
def keys(world: World, servers: KeyServers) -> DeviceKeys:
    client = FederationClient(servers, OpenGate(), SERVER, world.key, world.clock)
    remote_users = RemoteUsers(world.database, world.device_lists, client, world.clock, SeededRandomness(), SERVER)
    elsewhere = RemoteUserKeys(world.database, RemoteDeviceKeys(client, world.clock), remote_users, SERVER)
    return DeviceKeys(
        world.database, world.device_lists, elsewhere, world.key_visibility, world.news, world.clock, SERVER
    )


def test_users_of_all_servers_are_told_in_one_answer(world: World, keys: DeviceKeys, servers: KeyServers) -> None:
    mine = publish_device(world, BOB)
    person = servers.person(EVE)
    person.devices = {PHONE: device_keys(EVE), LAPTOP: device_keys(EVE, LAPTOP)}
    person.names[PHONE] = "Eve's phone"

    found = now(keys.query(ALICE, {BOB: [], EVE: []}))

    assert found.unreachable == set()
    assert found.devices == {
        BOB: {PHONE: {**mine, "unsigned": {}}},
        EVE: {
            PHONE: {**device_keys(EVE), "unsigned": {"device_display_name": "Eve's phone"}},
            LAPTOP: {**device_keys(EVE, LAPTOP), "unsigned": {}},
        },
    }


def test_cross_signing_keys_are_shown_but_for_those_that_sign_other_users(
    keys: DeviceKeys, servers: KeyServers
) -> None:
    mine = identity(EVE)
    person = servers.person(EVE)
    person.master, person.self_signing = mine["master_key"], mine["self_signing_key"]
    servers.tampers["query"] = lambda answer: {**answer, "user_signing_keys": {EVE: mine["user_signing_key"]}}

    found = now(keys.query(ALICE, {EVE: []}))

    assert found.cross_signing == {
        KeyUsage.MASTER: {EVE: mine["master_key"]},
        KeyUsage.SELF_SIGNING: {EVE: mine["self_signing_key"]},
    }


def test_a_server_that_does_not_answer_hides_nobody_else(world: World, keys: DeviceKeys, servers: KeyServers) -> None:
    publish_device(world, BOB)
    servers.failures[TWO] = Unreachable("gone")

    found = now(keys.query(ALICE, {BOB: [], EVE: [], MAL: []}))

    assert {user_id: set(devices) for user_id, devices in found.devices.items()} == {BOB: {PHONE}, EVE: set()}
    assert found.unreachable == {TWO}


def test_keys_are_claimed_everywhere(world: World, keys: DeviceKeys, servers: KeyServers) -> None:
    publish_device(world, BOB)
    now(keys.upload(BOB, PHONE, one_time_keys={f"{SIGNED}:1": one_time_key(BOB)}))
    servers.person(EVE).one_time[PHONE] = {f"{SIGNED}:7": one_time_key(EVE)}
    servers.failures[TWO] = Unreachable("gone")
    wanted: Mapping[str, Mapping[str, str]] = {user_id: {PHONE: SIGNED} for user_id in (BOB, EVE, MAL)}

    first = now(keys.claim(wanted))
    second = now(keys.claim(wanted))

    assert orjson.loads(orjson.dumps(first.keys)) == {
        BOB: {PHONE: {f"{SIGNED}:1": one_time_key(BOB)}},
        EVE: {PHONE: {f"{SIGNED}:7": one_time_key(EVE)}},
    }
    assert second.keys == {}
    assert first.unreachable == second.unreachable == {TWO}


def test_nobody_is_asked_where_all_users_are_of_this_server(keys: DeviceKeys, servers: KeyServers) -> None:
    now(keys.query(ALICE, {BOB: []}))
    now(keys.claim({BOB: {PHONE: SIGNED}}))

    assert servers.asked == []
