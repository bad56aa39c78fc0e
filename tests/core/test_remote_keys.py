"""Devices and keys as other servers tell them."""

from typing import Any

import pytest

from homeserver.core.cross_signing import KeyUsage, parse_cross_signing_key
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.remote_keys import (
    LONGEST_NAME,
    MOST_DEVICES,
    parse_listed_devices,
    parse_queried_devices,
    parse_remote_device,
    parse_remote_identity,
)
from tests.services.e2ee.signed_keys import LAPTOP, PHONE, cross_signing_key, device_keys, identity, public, signed

EVE = UserID("@eve:elsewhere.example")
MASTER_ID = f"ed25519:{public(f'{EVE} master')}"


def identity_of(master: Any, self_signing: Any, **devices: Any) -> tuple[Any, Any]:
    parsed = parse_queried_devices(EVE, devices)
    found = parse_remote_identity(EVE, master, self_signing, devices=parsed)
    master_key, self_signing_key = (None if key is None else key.payload for key in (found.master, found.self_signing))
    return master_key, self_signing_key


def test_a_device_is_taken_as_it_is_but_for_what_is_not_its_owners_to_say() -> None:
    keys = device_keys(EVE, algorithms=["m.of.tomorrow"], more={"one": 1})
    told = {**keys, "signatures": {**keys["signatures"], "@mal:x.example": {"ed25519:M": "forged"}}, "unsigned": {}}

    device = parse_remote_device(EVE, PHONE, told, "phone")

    assert device is not None
    assert (device.device_id, device.keys, device.display_name) == (PHONE, keys, "phone")


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": "@mal:elsewhere.example"},
        {"device_id": LAPTOP},
        {"keys": []},
        {"keys": {"ed25519:PHONE": 1}},
        {"algorithms": None},
        {"signatures": None},
        {"signatures": {EVE: {"x": 1}}},
        {"extra": 0.5},
        {"extra": "x" * 40_000},
        {"extra": 2**60},
    ],
)
def test_a_device_that_is_malformed_is_dropped_alone(wrong: dict[str, Any]) -> None:
    told = {PHONE: {**device_keys(EVE), **wrong}, LAPTOP: device_keys(EVE, LAPTOP)}
    listed = [{"device_id": device_id, "keys": keys} for device_id, keys in told.items()]

    assert parse_queried_devices(EVE, told).keys() == {LAPTOP}
    assert parse_listed_devices(EVE, listed).keys() == {LAPTOP}


def test_a_listed_device_may_have_no_keys() -> None:
    listed = parse_listed_devices(EVE, [{"device_id": PHONE, "device_display_name": "old"}, {"keys": {}}, None, 1])

    assert {device_id: device.keys for device_id, device in listed.items()} == {PHONE: None}


@pytest.mark.parametrize("keys", [None, {}, {**device_keys(EVE), "keys": {}}])
def test_a_device_of_which_no_key_is_told_is_one_without_keys(keys: Any) -> None:
    listed = [{"device_id": PHONE, "keys": keys}, {"device_id": LAPTOP, "keys": device_keys(EVE, LAPTOP)}]

    devices = parse_listed_devices(EVE, listed)

    assert devices.keys() == {PHONE, LAPTOP}
    assert devices[PHONE].keys is None
    assert devices[LAPTOP].keys == device_keys(EVE, LAPTOP)


@pytest.mark.parametrize(
    ("name", "kept"),
    [(None, None), (1, None), ({}, None), ("a\x00b", "ab"), ("x" * 1000, "x" * LONGEST_NAME), ("ä", "ä")],
)
def test_a_name_is_kept_as_far_as_it_can_be(name: object, kept: str | None) -> None:
    device = parse_remote_device(EVE, PHONE, None, name)

    assert device is not None
    assert device.display_name == kept


def test_a_user_has_no_endless_devices() -> None:
    listed = [{"device_id": f"D{number}"} for number in range(MOST_DEVICES + 1)]

    assert len(parse_listed_devices(EVE, listed)) == MOST_DEVICES


def test_cross_signing_keys_are_kept_with_the_signatures_that_are_right() -> None:
    keys = identity(EVE)
    master = signed(keys["master_key"], EVE, f"{EVE} {PHONE}", PHONE)
    told = signed(signed(master, EVE, "somebody else", LAPTOP), "@mal:x.example", "mal")

    shown, self_signing = identity_of(told, keys["self_signing_key"], PHONE=device_keys(EVE))

    assert shown == master
    assert self_signing == keys["self_signing_key"]


def test_a_wrong_signature_of_a_device_is_left_out() -> None:
    master = {**identity(EVE)["master_key"], "signatures": {EVE: {"ed25519:PHONE": "forged"}}}

    shown, _ = identity_of(master, None, PHONE=device_keys(EVE))

    assert shown == identity(EVE)["master_key"]


@pytest.mark.parametrize(
    "self_signing",
    [
        cross_signing_key(EVE, "self_signing"),
        {**cross_signing_key(EVE, "self_signing"), "signatures": {EVE: {MASTER_ID: "forged"}}},
        signed(cross_signing_key(EVE, "self_signing"), EVE, "another"),
        signed(cross_signing_key(EVE, "user_signing"), EVE, f"{EVE} master"),
        signed(cross_signing_key("@mal:x.example", "self_signing"), EVE, f"{EVE} master"),
        [],
        "key",
    ],
)
def test_a_self_signing_key_that_the_master_key_did_not_sign_is_dropped(self_signing: Any) -> None:
    master = identity(EVE)["master_key"]

    assert identity_of(master, self_signing) == (master, None)


def test_a_self_signing_key_may_be_signed_by_the_master_key_that_is_known() -> None:
    master = parse_cross_signing_key(identity(EVE)["master_key"], user_id=EVE, usage=KeyUsage.MASTER)
    self_signing = identity(EVE)["self_signing_key"]

    known = parse_remote_identity(EVE, None, self_signing, devices={}, known_master=master)
    unknown = parse_remote_identity(EVE, None, self_signing, devices={})

    assert [key.payload for key in known.keys] == [self_signing]
    assert unknown.keys == ()


@pytest.mark.parametrize("devices", [None, [], "x", {PHONE: None}, {PHONE: []}, {1: {}}])
def test_devices_of_another_shape_are_none(devices: Any) -> None:
    assert parse_queried_devices(EVE, devices) == {}


def test_the_ids_of_devices_are_bounded() -> None:
    assert parse_remote_device(EVE, DeviceID("x" * 10_000), None, None) is None
    assert parse_remote_device(EVE, None, None, None) is None
