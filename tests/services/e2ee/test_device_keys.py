"""Publishing, querying and claiming device keys."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.errors import BadJson
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.e2ee.device_keys import ONE_TIME_KEYS_PER_DEVICE
from homeserver.services.errors import InvalidParameter, UnknownToken
from homeserver.services.events.news import DeviceListWritten, KeyCountsWritten
from homeserver.storage.device_keys import KeyCounts, key_counts
from homeserver.storage.devices import rename_device
from tests.services.e2ee.signed_keys import (
    LAPTOP,
    PHONE,
    JsonObject,
    Listener,
    add_device,
    cross_signing_key,
    device_keys,
    one_time_key,
    public,
    publish_device,
    publish_identity,
    signed,
)
from tests.services.world import ALICE, BOB, CAROL, World, now

SIGNED = "signed_curve25519"


def upload(world: World, user_id: UserID = ALICE, device_id: DeviceID = PHONE, **keys: Any) -> dict[str, int]:
    return now(world.device_keys.upload(user_id, device_id, **keys))


def query(world: World, viewer: UserID, *users: str) -> dict[UserID, dict[DeviceID, JsonObject]]:
    return now(world.device_keys.query(viewer, {user: [] for user in users})).devices


def claim(world: World, wanted: Mapping[str, Mapping[str, str]]) -> JsonObject:
    claimed = now(world.device_keys.claim(wanted)).keys
    keys: JsonObject = orjson.loads(orjson.dumps(claimed))
    return keys


def claim_one(world: World, user_id: str = ALICE, device_id: str = PHONE, algorithm: str = SIGNED) -> JsonObject:
    """The key that is handed out, with its full ID; {} for none."""
    keys: JsonObject = claim(world, {user_id: {device_id: algorithm}}).get(user_id, {}).get(device_id, {})
    return keys


def counts(world: World, user_id: UserID = ALICE, device_id: DeviceID = PHONE) -> KeyCounts:
    return world.sync_database.read(key_counts, user_id, device_id)


def test_others_see_what_a_device_published_and_how_it_is_called(world: World) -> None:
    keys = publish_device(world, ALICE, PHONE, "Alice's phone")
    publish_device(world, ALICE, LAPTOP)

    seen = query(world, BOB, ALICE)[ALICE]

    assert seen[PHONE] == {**keys, "unsigned": {"device_display_name": "Alice's phone"}}
    assert seen[LAPTOP] == {**device_keys(ALICE, LAPTOP), "unsigned": {}}


def test_devices_without_keys_are_not_shown(world: World) -> None:
    add_device(world, ALICE)

    assert query(world, BOB, ALICE) == {ALICE: {}}


def test_a_query_can_name_devices(world: World) -> None:
    publish_device(world, ALICE, PHONE)
    publish_device(world, ALICE, LAPTOP)

    found = now(world.device_keys.query(BOB, {ALICE: [PHONE, "UNKNOWN"]}))

    assert found.devices[ALICE].keys() == {PHONE}


def test_users_of_other_servers_are_reported_as_unreachable(world: World) -> None:
    publish_device(world, ALICE)

    found = now(world.device_keys.query(BOB, {ALICE: [], "@eve:elsewhere.example": []}))
    claimed = now(world.device_keys.claim({"@eve:elsewhere.example": {"PHONE": SIGNED}}))

    assert found.devices.keys() == {ALICE}
    assert found.unreachable == claimed.unreachable == {"elsewhere.example"}


def test_a_query_is_one_read_and_a_claim_one_write(world: World) -> None:
    for user_id in (ALICE, BOB, CAROL):
        publish_device(world, user_id)
    before = (world.database.counts.reads, world.database.counts.writes)

    query(world, ALICE, ALICE, BOB, CAROL)
    claim(world, {user_id: {PHONE: SIGNED} for user_id in (ALICE, BOB, CAROL)})

    assert (world.database.counts.reads, world.database.counts.writes) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": BOB},
        {"device_id": "LAPTOP"},
        {"keys": {"ed25519:PHONE": 1}},
        {"keys": None},
        {"algorithms": "m.olm"},
        {"signatures": {ALICE: {"ed25519:PHONE": None}}},
        {"signatures": [ALICE]},
        {"unsigned": 1},
        {"extra": 0.5},
        {"extra": "x" * 40_000},
    ],
)
def test_keys_of_others_and_keys_of_another_shape_are_refused_and_change_nothing(
    world: World, wrong: JsonObject
) -> None:
    publish_device(world, ALICE)

    with pytest.raises(BadJson):
        upload(world, device_keys={**device_keys(ALICE), **wrong}, one_time_keys={f"{SIGNED}:1": one_time_key(ALICE)})

    assert query(world, BOB, ALICE)[ALICE][PHONE]["keys"] == device_keys(ALICE)["keys"]
    assert counts(world) == KeyCounts({}, [])


def test_signatures_by_other_users_in_a_devices_keys_are_not_kept(world: World) -> None:
    add_device(world, ALICE)
    keys = device_keys(ALICE)
    forged = {**keys, "signatures": {**keys["signatures"], BOB: {"ed25519:BOBS": "forged"}}, "unsigned": {"a": 1}}

    upload(world, device_keys=forged)

    assert query(world, BOB, ALICE)[ALICE][PHONE] == {**keys, "unsigned": {}}


def test_a_device_that_was_logged_out_publishes_nothing(world: World) -> None:
    with pytest.raises(UnknownToken):
        upload(world, device_keys=device_keys(ALICE))

    assert query(world, BOB, ALICE) == {ALICE: {}}


def test_keys_belong_to_a_device(world: World) -> None:
    with pytest.raises(InvalidParameter):
        now(world.device_keys.upload(ALICE, None, device_keys=device_keys(ALICE)))


def test_new_device_keys_are_told_to_those_who_share_a_room(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    add_device(world, ALICE)
    alice, bob, carol = (Listener(world, user_id) for user_id in (ALICE, BOB, CAROL))

    upload(world, device_keys=device_keys(ALICE))

    told = [DeviceListWritten(world.database.position, ALICE)]
    assert alice.heard() == told
    assert bob.heard() == told
    assert carol.heard() == []


def test_the_same_device_keys_again_are_no_news(world: World) -> None:
    keys = publish_device(world, ALICE)
    alice = Listener(world, ALICE)

    upload(world, device_keys=keys)

    assert alice.heard() == []


def test_changed_device_keys_lose_the_signatures_that_were_added(world: World) -> None:
    keys = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    cross_signed = signed(keys, ALICE, f"{ALICE} self_signing")
    assert now(world.cross_signing.upload_signatures(ALICE, {ALICE: {PHONE: cross_signed}})) == {}
    assert query(world, BOB, ALICE)[ALICE][PHONE]["signatures"] == cross_signed["signatures"]

    changed = device_keys(ALICE, algorithms=["m.megolm.v1.aes-sha2"])
    upload(world, device_keys=changed)

    assert query(world, BOB, ALICE)[ALICE][PHONE]["signatures"] == changed["signatures"]


def test_device_keys_that_are_uploaded_again_keep_the_signatures_that_were_added(world: World) -> None:
    keys = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    cross_signed = signed(keys, ALICE, f"{ALICE} self_signing")
    now(world.cross_signing.upload_signatures(ALICE, {ALICE: {PHONE: cross_signed}}))

    upload(world, device_keys=keys)

    assert query(world, BOB, ALICE)[ALICE][PHONE]["signatures"] == cross_signed["signatures"]


def test_one_time_keys_are_counted_and_handed_out_untouched(world: World) -> None:
    publish_device(world, ALICE)
    key = {**one_time_key(ALICE), "org.example.more": {"nested": [1, "two"]}}

    uploaded = upload(world, one_time_keys={f"{SIGNED}:AAA": key, "org.example.new:B": {"kem": "big"}, "plain:C": "c"})

    assert uploaded == {SIGNED: 1, "org.example.new": 1, "plain": 1}
    assert claim_one(world) == {f"{SIGNED}:AAA": key}
    assert claim_one(world, algorithm="org.example.new") == {"org.example.new:B": {"kem": "big"}}
    assert claim_one(world, algorithm="plain") == {"plain:C": "c"}
    assert claim_one(world) == {}
    assert upload(world) == {}


def test_a_key_is_never_handed_out_again_even_if_its_upload_is_tried_again(world: World) -> None:
    publish_device(world, ALICE)
    keys = {f"{SIGNED}:1": one_time_key(ALICE)}
    upload(world, one_time_keys=keys)
    claimed = claim_one(world)

    again = upload(world, one_time_keys=keys)

    assert claimed == keys
    assert again == {}
    assert claim_one(world) == {}


def test_uploading_a_key_twice_stores_it_once(world: World) -> None:
    publish_device(world, ALICE)
    keys = {f"{SIGNED}:1": one_time_key(ALICE)}

    assert upload(world, one_time_keys=keys) == upload(world, one_time_keys=keys) == {SIGNED: 1}


def test_another_key_under_the_id_of_one_that_waits_is_refused_with_all_that_came_with_it(world: World) -> None:
    publish_device(world, ALICE)
    upload(world, one_time_keys={f"{SIGNED}:1": one_time_key(ALICE, "first")})

    with pytest.raises(InvalidParameter):
        upload(world, one_time_keys={f"{SIGNED}:2": one_time_key(ALICE), f"{SIGNED}:1": one_time_key(ALICE, "other")})

    assert counts(world).one_time == {SIGNED: 1}
    assert claim_one(world) == {f"{SIGNED}:1": one_time_key(ALICE, "first")}


def test_the_id_of_a_key_that_was_handed_out_can_be_given_to_another(world: World) -> None:
    publish_device(world, ALICE)
    upload(world, one_time_keys={f"{SIGNED}:1": one_time_key(ALICE, "first")})
    claim_one(world)

    upload(world, one_time_keys={f"{SIGNED}:1": one_time_key(ALICE, "second")})

    assert claim_one(world) == {f"{SIGNED}:1": one_time_key(ALICE, "second")}


def test_the_keys_of_one_upload_come_before_those_of_the_next(world: World) -> None:
    publish_device(world, ALICE)
    upload(world, one_time_keys={f"{SIGNED}:z": one_time_key(ALICE)})
    upload(world, one_time_keys={f"{SIGNED}:a": one_time_key(ALICE)})

    assert [*claim_one(world), *claim_one(world)] == [f"{SIGNED}:z", f"{SIGNED}:a"]


def test_when_no_one_time_key_is_left_the_fallback_key_is_handed_out_and_counts_as_used(world: World) -> None:
    publish_device(world, ALICE)
    fallback = {f"{SIGNED}:F": {**one_time_key(ALICE), "fallback": True}}
    upload(world, one_time_keys={f"{SIGNED}:1": one_time_key(ALICE)}, fallback_keys=fallback)

    first = claim_one(world)
    unused = counts(world).unused_fallback
    second, third = claim_one(world), claim_one(world)

    assert first.keys() == {f"{SIGNED}:1"}
    assert unused == [SIGNED]
    assert second == third == fallback
    assert counts(world).unused_fallback == []


def test_a_used_fallback_key_that_is_uploaded_again_stays_used_and_a_new_one_is_unused(world: World) -> None:
    publish_device(world, ALICE)
    upload(world, fallback_keys={f"{SIGNED}:F": one_time_key(ALICE)})
    claim_one(world)

    upload(world, fallback_keys={f"{SIGNED}:F": one_time_key(ALICE)})
    same = counts(world).unused_fallback
    upload(world, fallback_keys={f"{SIGNED}:G": one_time_key(ALICE, "new")})

    assert same == []
    assert counts(world).unused_fallback == [SIGNED]
    assert claim_one(world).keys() == {f"{SIGNED}:G"}


def test_claims_for_many_devices_each_get_their_own_key(world: World) -> None:
    for user_id in (ALICE, BOB):
        for device_id in (PHONE, LAPTOP):
            publish_device(world, user_id, device_id)
            text = f"{user_id} {device_id}"
            upload(world, user_id, device_id, one_time_keys={f"{SIGNED}:1": one_time_key(user_id, text, device_id)})

    claimed = claim(world, {user_id: dict.fromkeys((PHONE, LAPTOP, "X"), SIGNED) for user_id in (ALICE, BOB, CAROL)})

    assert {
        (user_id, device_id): key[f"{SIGNED}:1"]["key"]
        for user_id, devices in claimed.items()
        for device_id, key in devices.items()
    } == {(user_id, device_id): f"{user_id} {device_id}" for user_id in (ALICE, BOB) for device_id in (PHONE, LAPTOP)}


def test_a_device_is_told_when_its_keys_are_uploaded_or_claimed(world: World) -> None:
    publish_device(world, ALICE)
    alice = Listener(world, ALICE)

    upload(world, one_time_keys={f"{SIGNED}:1": one_time_key(ALICE)})
    uploaded = alice.heard()
    claim_one(world)
    claimed = alice.heard()
    claim_one(world)

    assert [type(change) for change in uploaded + claimed] == [KeyCountsWritten] * 2
    assert claimed == [KeyCountsWritten(world.database.position, frozenset({(ALICE, PHONE)}))]
    assert alice.heard() == []


def test_a_device_cannot_hoard_one_time_keys(world: World) -> None:
    publish_device(world, ALICE)
    for start in range(0, ONE_TIME_KEYS_PER_DEVICE, 500):
        upload(world, one_time_keys={f"plain:{start + number}": "key" for number in range(500)})

    with pytest.raises(InvalidParameter):
        upload(world, one_time_keys={"plain:more": "key"})

    assert counts(world).one_time == {"plain": ONE_TIME_KEYS_PER_DEVICE}


@pytest.mark.parametrize(
    "keys",
    [
        {"one_time_keys": {"noalgorithm": "key"}},
        {"one_time_keys": {"a:b": 1}},
        {"one_time_keys": {"a:b": ["key"]}},
        {"one_time_keys": {f"{SIGNED}:1": "unsigned"}},
        {"one_time_keys": {f"{SIGNED}:1": {"key": "no signatures"}}},
        {"one_time_keys": {"a:\x00": "key"}},
        {"one_time_keys": {"a:b": "x" * 20_000}},
        {"one_time_keys": {"a:b": {"c": 1.5}}},
        {"one_time_keys": {f"a:{number}": "key" for number in range(501)}},
        {"one_time_keys": ["a:b"]},
        {"fallback_keys": {"a:1": "key", "a:2": "key"}},
        {"fallback_keys": {f"a{number}:1": "key" for number in range(100)}},
    ],
)
def test_hostile_keys_are_refused(world: World, keys: JsonObject) -> None:
    publish_device(world, ALICE)

    with pytest.raises((BadJson, InvalidParameter)):
        upload(world, **keys)

    assert counts(world) == KeyCounts({}, [])


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        {"alice": []},
        {ALICE: "PHONE"},
        {ALICE: [1]},
        {ALICE: [""]},
        {ALICE: {"PHONE": 1}},
        {ALICE: [str(number) for number in range(10_001)]},
    ],
)
def test_hostile_queries_are_refused(world: World, wanted: object) -> None:
    with pytest.raises(BadJson):
        now(world.device_keys.query(BOB, wanted))


@pytest.mark.parametrize("wanted", [None, {"alice": {}}, {ALICE: [PHONE]}, {ALICE: {PHONE: 1}}, {ALICE: {PHONE: ""}}])
def test_hostile_claims_are_refused(world: World, wanted: object) -> None:
    with pytest.raises(BadJson):
        now(world.device_keys.claim(wanted))


def test_cross_signing_keys_are_shown_and_the_user_signing_key_to_its_owner_alone(world: World) -> None:
    publish_identity(world, ALICE)

    own = now(world.device_keys.query(ALICE, {ALICE: []})).cross_signing
    others = now(world.device_keys.query(BOB, {ALICE: []})).cross_signing

    assert own.keys() == {KeyUsage.MASTER, KeyUsage.SELF_SIGNING, KeyUsage.USER_SIGNING}
    assert others.keys() == {KeyUsage.MASTER, KeyUsage.SELF_SIGNING}
    shown = others[KeyUsage.MASTER][ALICE]
    assert {**shown, "signatures": {}} == {**cross_signing_key(ALICE, "master"), "signatures": {}}
    master_id = f"ed25519:{public(f'{ALICE} master')}"
    assert others[KeyUsage.SELF_SIGNING][ALICE]["signatures"][ALICE].keys() == {master_id}


def test_a_new_name_of_a_device_is_shown(world: World) -> None:
    publish_device(world, ALICE, PHONE, "old")

    world.sync_database.write(rename_device, ALICE, PHONE, "new")

    assert query(world, BOB, ALICE)[ALICE][PHONE]["unsigned"] == {"device_display_name": "new"}
