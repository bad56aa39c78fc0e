"""What other servers are given of this server's devices."""

from typing import Any

import orjson
import pytest

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.errors import BadJson
from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.services.errors import NotFound
from homeserver.services.federation.serving_devices import DeviceServing
from homeserver.storage.device_lists import device_updates
from tests.services.e2ee.signed_keys import (
    LAPTOP,
    PHONE,
    add_device,
    cross_signing_key,
    identity,
    one_time_key,
    public,
    publish_device,
    publish_identity,
    signed,
)
from tests.services.world import ALICE, BOB, SERVER, World, now

EVE = UserID("@eve:elsewhere.example")
SIGNED = "signed_curve25519"
PEER = ServerName("elsewhere.example")


def serving(world: World) -> DeviceServing:
    return DeviceServing(world.database, world.device_keys, world.key_visibility, SERVER)


def devices(world: World, user_id: UserID = ALICE) -> dict[str, Any]:
    return now(serving(world).devices(PEER, user_id))


def test_a_users_devices_are_given_with_their_keys_and_names(world: World) -> None:
    phone = publish_device(world, ALICE, PHONE, "Alice's phone")
    laptop = publish_device(world, ALICE, LAPTOP)
    add_device(world, ALICE, DeviceID("NO_KEYS"))

    answer = devices(world)

    assert answer["user_id"] == ALICE
    assert sorted(answer["devices"], key=lambda device: device["device_id"]) == [
        {"device_id": LAPTOP, "keys": laptop},
        {"device_id": PHONE, "keys": phone, "device_display_name": "Alice's phone"},
    ]


def test_the_stream_id_is_that_of_the_newest_update_that_is_sent(world: World) -> None:
    publish_device(world, ALICE)
    publish_device(world, BOB)
    publish_device(world, ALICE, LAPTOP)

    newest = max(
        update.position
        for update in world.sync_database.read(device_updates, after=0, upto=world.database.position)
        if update.user_id == ALICE
    )
    first = devices(world)["stream_id"]
    publish_identity(world, ALICE)

    assert first == newest
    assert devices(world)["stream_id"] > first
    assert devices(world, UserID(f"@nobody:{SERVER}"))["stream_id"] == 0


def test_cross_signing_keys_are_given_but_for_those_that_sign_other_users(world: World) -> None:
    publish_device(world, ALICE)
    publish_identity(world, ALICE)

    answer = devices(world)
    queried = now(serving(world).query(PEER, {ALICE: []}))

    assert answer["master_key"]["keys"] == cross_signing_key(ALICE, "master")["keys"]
    assert answer["self_signing_key"] == identity(ALICE)["self_signing_key"]
    assert answer.keys() == {"user_id", "stream_id", "devices", "master_key", "self_signing_key"}
    assert queried.cross_signing.keys() == {KeyUsage.MASTER, KeyUsage.SELF_SIGNING}


def test_who_verified_a_user_is_nothing_for_other_servers(world: World) -> None:
    publish_device(world, ALICE)
    publish_identity(world, ALICE)
    publish_identity(world, BOB)
    master = signed(cross_signing_key(ALICE, "master"), BOB, f"{BOB} user_signing")
    now(world.cross_signing.upload_signatures(BOB, {ALICE: {public(f"{ALICE} master"): master}}))

    shown = now(serving(world).query(PEER, {ALICE: []})).cross_signing[KeyUsage.MASTER][ALICE]

    assert BOB not in str(shown)
    assert BOB not in str(devices(world)["master_key"])


def test_a_query_can_name_devices_and_passes_over_users_elsewhere(world: World) -> None:
    publish_device(world, ALICE, PHONE, "Alice's phone")
    publish_device(world, ALICE, LAPTOP)

    queried = now(serving(world).query(PEER, {ALICE: [PHONE], EVE: [], BOB: []}))

    assert {user_id: set(of_user) for user_id, of_user in queried.devices.items()} == {ALICE: {PHONE}, BOB: set()}
    assert queried.devices[ALICE][PHONE]["unsigned"] == {"device_display_name": "Alice's phone"}


def test_the_devices_of_users_elsewhere_are_not_ours_to_give(world: World) -> None:
    with pytest.raises(NotFound):
        devices(world, EVE)


def test_a_claimed_key_is_handed_out_once_and_users_elsewhere_are_passed_over(world: World) -> None:
    publish_device(world, ALICE)
    keys = {f"{SIGNED}:1": one_time_key(ALICE)}
    now(world.device_keys.upload(ALICE, PHONE, one_time_keys=keys))
    wanted = {ALICE: {PHONE: SIGNED}, EVE: {PHONE: SIGNED}}

    first = orjson.loads(orjson.dumps(now(serving(world).claim(wanted))))
    second = now(serving(world).claim(wanted))

    assert first == {ALICE: {PHONE: keys}}
    assert second == {}


@pytest.mark.parametrize("wanted", [None, [], {"alice": []}, {ALICE: 1}, {ALICE: [PHONE, None]}])
def test_a_query_that_makes_no_sense_is_refused(world: World, wanted: Any) -> None:
    with pytest.raises(BadJson):
        now(serving(world).query(PEER, wanted))


@pytest.mark.parametrize("wanted", [None, [], {"alice": {}}, {ALICE: [PHONE]}, {ALICE: {PHONE: None}}])
def test_a_claim_that_makes_no_sense_is_refused(world: World, wanted: Any) -> None:
    with pytest.raises(BadJson):
        now(serving(world).claim(wanted))
