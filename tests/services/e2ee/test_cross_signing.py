"""Cross-signing: whose keys are accepted, and which signatures are kept and shown."""

from typing import Any

import pytest

from homeserver.core.cross_signing import KeyUsage
from homeserver.core.errors import BadJson, BadKeySignature, KeyIDInUse, MissingMasterKey
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.e2ee.cross_signing import MOST_SIGNED_KEYS
from homeserver.services.errors import NotFound
from homeserver.services.events.news import DeviceListWritten
from tests.services.e2ee.signed_keys import (
    LAPTOP,
    PHONE,
    JsonObject,
    Listener,
    add_device,
    cross_signing_key,
    identity,
    public,
    publish_device,
    publish_identity,
    signed,
)
from tests.services.world import ALICE, BOB, CAROL, World, now

MALLORY = UserID("@mallory:example.org")
ALICES_MASTER = public(f"{ALICE} master")
BOBS_MASTER = public(f"{BOB} master")


def upload(world: World, user_id: UserID, keys: JsonObject, *, is_authenticated: bool = False) -> bool:
    return now(world.cross_signing.upload_keys(user_id, keys, is_authenticated=is_authenticated))


def sign(world: World, signer: UserID, target: str, key_id: str, signed_key: Any) -> Any:
    """Why the signed key was refused, or None."""
    failures = now(world.cross_signing.upload_signatures(signer, {target: {key_id: signed_key}}))
    return failures.get(target, {}).get(key_id)


def shown_key(world: World, viewer: UserID, owner: UserID, usage: KeyUsage = KeyUsage.MASTER) -> JsonObject:
    return now(world.device_keys.query(viewer, {owner: []})).cross_signing.get(usage, {}).get(owner, {})


def shown_device(world: World, viewer: UserID, owner: UserID, device_id: DeviceID = PHONE) -> JsonObject:
    return now(world.device_keys.query(viewer, {owner: []})).devices[owner][device_id]


def signers_of(key: JsonObject) -> dict[str, set[str]]:
    return {user: set(by_key) for user, by_key in key.get("signatures", {}).items()}


def test_the_first_keys_need_no_authentication(world: World) -> None:
    assert upload(world, ALICE, identity(ALICE))

    assert shown_key(world, BOB, ALICE)["keys"] == {f"ed25519:{ALICES_MASTER}": ALICES_MASTER}


def test_the_same_keys_again_need_no_authentication_and_are_no_news(world: World) -> None:
    keys = publish_identity(world, ALICE)
    alice = Listener(world, ALICE)

    assert upload(world, ALICE, keys)
    assert upload(world, ALICE, {"master_key": keys["master_key"]})

    assert alice.heard() == []


@pytest.mark.parametrize("replaced", ["master_key", "self_signing_key", "user_signing_key"])
def test_other_keys_need_authentication(world: World, replaced: str) -> None:
    old, new = publish_identity(world, ALICE), identity(ALICE, "2")
    if replaced == "master_key":
        body = new
    else:
        usage = replaced.removesuffix("_key")
        body = {replaced: signed(cross_signing_key(ALICE, usage, "other"), ALICE, f"{ALICE} master")}

    assert not upload(world, ALICE, body)
    unchanged = {usage: shown_key(world, ALICE, ALICE, usage)["keys"] for usage in KeyUsage}
    assert upload(world, ALICE, body, is_authenticated=True)

    assert unchanged == {usage: old[f"{usage.value}_key"]["keys"] for usage in KeyUsage}
    assert shown_key(world, ALICE, ALICE, KeyUsage(replaced.removesuffix("_key")))["keys"] == body[replaced]["keys"]


def test_a_key_that_was_missing_needs_authentication_once_there_is_a_master_key(world: World) -> None:
    keys = identity(ALICE)
    assert upload(world, ALICE, {"master_key": keys["master_key"]})

    assert not upload(world, ALICE, keys)


def test_the_same_public_key_with_something_else_beside_it_is_another_key(world: World) -> None:
    keys = publish_identity(world, ALICE)

    assert not upload(world, ALICE, {"master_key": {**keys["master_key"], "extra": 1}})


def test_keys_are_told_to_those_who_share_a_room(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    bob, carol = Listener(world, BOB), Listener(world, CAROL)

    publish_identity(world, ALICE)

    assert bob.heard() == [DeviceListWritten(world.database.position, ALICE)]
    assert carol.heard() == []


def test_another_user_signing_key_is_told_to_its_user_alone(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    publish_identity(world, ALICE)
    before = world.database.position
    alice, bob = Listener(world, ALICE), Listener(world, BOB)
    key = signed(cross_signing_key(ALICE, "user_signing", "other"), ALICE, f"{ALICE} master")

    assert upload(world, ALICE, {"user_signing_key": key}, is_authenticated=True)

    assert alice.heard() == [DeviceListWritten(world.database.position, ALICE)]
    assert bob.heard() == []
    assert now(world.device_lists.changes_since(ALICE, before)) == ({ALICE}, set())
    assert now(world.device_lists.changes_since(BOB, before)) == (set(), set())
    assert now(world.device_lists.changes_since(ALICE, world.database.position)) == (set(), set())


def test_a_user_signing_key_that_comes_with_another_key_is_told_to_all(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    publish_identity(world, ALICE)
    before = world.database.position

    assert upload(world, ALICE, identity(ALICE, "2"), is_authenticated=True)

    assert now(world.device_lists.changes_since(BOB, before)) == ({ALICE}, set())


def test_keys_of_somebody_else_are_refused(world: World) -> None:
    with pytest.raises(BadJson):
        upload(world, MALLORY, identity(ALICE))

    assert shown_key(world, BOB, ALICE) == {}


def test_keys_that_the_master_key_did_not_sign_are_refused_with_all_that_came_with_them(world: World) -> None:
    keys = {**identity(ALICE), "self_signing_key": cross_signing_key(ALICE, "self_signing")}
    forged = {**identity(ALICE), "self_signing_key": identity(ALICE, "2")["self_signing_key"]}

    for body in (keys, forged):
        with pytest.raises((BadJson, BadKeySignature)):
            upload(world, ALICE, body)

    assert shown_key(world, ALICE, ALICE) == {}


def test_other_keys_without_a_master_key_are_refused(world: World) -> None:
    with pytest.raises(MissingMasterKey):
        upload(world, ALICE, {"self_signing_key": identity(ALICE)["self_signing_key"]})


def test_a_key_that_is_the_id_of_a_device_is_refused(world: World) -> None:
    add_device(world, ALICE, DeviceID(ALICES_MASTER))

    with pytest.raises(KeyIDInUse):
        upload(world, ALICE, identity(ALICE))


def test_signatures_by_others_in_an_uploaded_key_are_not_kept(world: World) -> None:
    keys = identity(ALICE)
    keys["master_key"]["signatures"] = {BOB: {"ed25519:x": "forged"}, ALICE: {"ed25519:y": "forged"}}

    upload(world, ALICE, keys)

    assert signers_of(shown_key(world, BOB, ALICE)) == {}


def test_a_device_may_sign_the_master_key_as_it_is_uploaded(world: World) -> None:
    publish_device(world, ALICE)
    keys = identity(ALICE)
    keys["master_key"] = signed(keys["master_key"], ALICE, f"{ALICE} {PHONE}", PHONE)

    upload(world, ALICE, keys)

    assert shown_key(world, BOB, ALICE) == keys["master_key"]


def test_the_self_signing_key_signs_a_device_for_all_to_see(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    device = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    bob = Listener(world, BOB)

    cross_signed = signed(device, ALICE, f"{ALICE} self_signing")
    failure = sign(world, ALICE, ALICE, PHONE, cross_signed)

    assert failure is None
    assert shown_device(world, BOB, ALICE)["signatures"] == cross_signed["signatures"]
    assert bob.heard() == [DeviceListWritten(world.database.position, ALICE)]


def test_a_signature_that_is_there_already_is_no_news(world: World) -> None:
    device = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    cross_signed = signed(device, ALICE, f"{ALICE} self_signing")
    sign(world, ALICE, ALICE, PHONE, cross_signed)
    alice = Listener(world, ALICE)

    assert sign(world, ALICE, ALICE, PHONE, cross_signed) is None
    assert alice.heard() == []


def test_a_device_signs_its_users_master_key(world: World) -> None:
    publish_device(world, ALICE)
    publish_identity(world, ALICE)
    master = signed(cross_signing_key(ALICE, "master"), ALICE, f"{ALICE} {PHONE}", PHONE)

    assert sign(world, ALICE, ALICE, ALICES_MASTER, master) is None

    assert signers_of(shown_key(world, BOB, ALICE)) == {ALICE: {"ed25519:PHONE"}}


def test_whom_a_user_verified_is_for_the_eyes_of_that_user_alone(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    publish_identity(world, ALICE)
    publish_identity(world, BOB)
    alice, bob, carol = (Listener(world, user_id) for user_id in (ALICE, BOB, CAROL))

    bobs = signed(cross_signing_key(BOB, "master"), ALICE, f"{ALICE} user_signing")
    failure = sign(world, ALICE, BOB, BOBS_MASTER, bobs)

    assert failure is None
    user_signing = f"ed25519:{public(f'{ALICE} user_signing')}"
    assert signers_of(shown_key(world, ALICE, BOB)) == {ALICE: {user_signing}}
    assert signers_of(shown_key(world, BOB, BOB)) == {}
    assert signers_of(shown_key(world, CAROL, BOB)) == {}
    assert alice.heard() == [DeviceListWritten(world.database.position, BOB)]
    assert bob.heard() == carol.heard() == []


def test_a_user_who_was_verified_is_among_the_changed_for_the_signer(world: World) -> None:
    publish_identity(world, ALICE)
    publish_identity(world, BOB)
    before = world.database.position

    sign(world, ALICE, BOB, BOBS_MASTER, signed(cross_signing_key(BOB, "master"), ALICE, f"{ALICE} user_signing"))

    assert now(world.device_lists.changes_since(ALICE, before)) == ({BOB}, set())
    assert now(world.device_lists.changes_since(BOB, before)) == (set(), set())


def test_no_signature_is_kept_that_does_not_verify(world: World) -> None:
    """Whoever may upload signatures must not be able to have the server vouch for keys with them."""
    publish_device(world, ALICE)
    device = publish_device(world, ALICE, LAPTOP)
    publish_identity(world, ALICE)
    self_signing = public(f"{ALICE} self_signing")
    attempts: list[JsonObject] = [
        {**device, "signatures": {ALICE: {f"ed25519:{self_signing}": "forged"}}},
        {**device, "signatures": {ALICE: {f"ed25519:{self_signing}": ""}}},
        signed(device, ALICE, "another key", self_signing),
        signed(device, ALICE, f"{ALICE} user_signing"),
        signed(device, ALICE, f"{ALICE} master"),
        signed(device, ALICE, f"{ALICE} {PHONE}", PHONE),
        signed({**device, "algorithms": []}, ALICE, f"{ALICE} self_signing"),
        signed(device, BOB, f"{ALICE} self_signing"),
        device,
    ]

    failures = [sign(world, ALICE, ALICE, LAPTOP, attempt) for attempt in attempts]

    assert [type(failure) for failure in failures] == [BadKeySignature] * len(attempts)
    assert shown_device(world, ALICE, ALICE, LAPTOP)["signatures"] == device["signatures"]


def test_keys_of_others_cannot_be_signed_but_for_their_master_key_by_ones_own_user_signing_key(world: World) -> None:
    device = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    publish_identity(world, MALLORY)
    publish_device(world, MALLORY)
    master = cross_signing_key(ALICE, "master")
    self_signing = public(f"{ALICE} self_signing")

    failures = [
        sign(world, MALLORY, ALICE, PHONE, signed(device, MALLORY, f"{MALLORY} self_signing")),
        sign(world, MALLORY, ALICE, PHONE, signed(device, ALICE, f"{MALLORY} self_signing", self_signing)),
        sign(world, MALLORY, ALICE, self_signing, signed(cross_signing_key(ALICE, "self_signing"), MALLORY, "x")),
        sign(world, MALLORY, ALICE, ALICES_MASTER, signed(master, MALLORY, f"{MALLORY} self_signing")),
        sign(world, MALLORY, ALICE, ALICES_MASTER, signed(master, MALLORY, f"{MALLORY} {PHONE}", PHONE)),
        sign(world, MALLORY, ALICE, ALICES_MASTER, signed(master, ALICE, f"{ALICE} {PHONE}", PHONE)),
        sign(world, MALLORY, ALICE, BOBS_MASTER, signed(master, MALLORY, f"{MALLORY} user_signing")),
    ]

    assert all(isinstance(failure, NotFound | BadKeySignature) for failure in failures)
    for viewer in (ALICE, MALLORY, BOB):
        assert signers_of(shown_device(world, viewer, ALICE)) == {ALICE: {"ed25519:PHONE"}}
        assert signers_of(shown_key(world, viewer, ALICE)) == {}


def test_one_bad_signature_does_not_keep_the_others_out(world: World) -> None:
    device = publish_device(world, ALICE)
    publish_identity(world, ALICE)

    failures = now(
        world.cross_signing.upload_signatures(
            ALICE,
            {
                ALICE: {PHONE: signed(device, ALICE, f"{ALICE} self_signing"), "NOWHERE": device, ALICES_MASTER: "key"},
                "@eve:elsewhere.example": {"x": {}},
            },
        )
    )

    assert {user: {key: type(why) for key, why in keys.items()} for user, keys in failures.items()} == {
        ALICE: {"NOWHERE": NotFound, ALICES_MASTER: BadJson},
        "@eve:elsewhere.example": {"x": NotFound},
    }
    assert len(shown_device(world, BOB, ALICE)["signatures"][ALICE]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"alice": {}},
        {ALICE: []},
        {ALICE: None},
        {ALICE: {str(number): {} for number in range(MOST_SIGNED_KEYS + 1)}},
    ],
)
def test_hostile_uploads_of_signatures_are_refused(world: World, body: JsonObject) -> None:
    with pytest.raises(BadJson):
        now(world.cross_signing.upload_signatures(ALICE, body))


@pytest.mark.parametrize(
    "hostile", [None, 1, "key", [], {}, {"signatures": 1}, {"signatures": {ALICE: 1}}, {"signatures": {"x": {}}}]
)
def test_a_hostile_signed_key_is_a_failure_of_its_own(world: World, hostile: object) -> None:
    publish_device(world, ALICE)

    assert isinstance(sign(world, ALICE, ALICE, PHONE, hostile), BadJson)


def test_a_new_master_key_ends_all_that_hung_on_the_old_one(world: World) -> None:
    device = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    publish_identity(world, BOB)
    sign(world, ALICE, ALICE, PHONE, signed(device, ALICE, f"{ALICE} self_signing"))
    sign(world, ALICE, BOB, BOBS_MASTER, signed(cross_signing_key(BOB, "master"), ALICE, f"{ALICE} user_signing"))
    sign(world, BOB, ALICE, ALICES_MASTER, signed(cross_signing_key(ALICE, "master"), BOB, f"{BOB} user_signing"))

    new = {"master_key": identity(ALICE, "2")["master_key"]}
    assert upload(world, ALICE, new, is_authenticated=True)

    assert shown_key(world, BOB, ALICE)["keys"] == new["master_key"]["keys"]
    assert signers_of(shown_key(world, BOB, ALICE)) == {}
    assert shown_key(world, ALICE, ALICE, KeyUsage.SELF_SIGNING) == {}
    assert shown_key(world, ALICE, ALICE, KeyUsage.USER_SIGNING) == {}
    assert shown_device(world, BOB, ALICE)["signatures"] == device["signatures"]
    assert signers_of(shown_key(world, ALICE, BOB)) == {}


def test_a_new_self_signing_key_leaves_devices_to_be_signed_anew(world: World) -> None:
    device = publish_device(world, ALICE)
    publish_identity(world, ALICE)
    sign(world, ALICE, ALICE, PHONE, signed(device, ALICE, f"{ALICE} self_signing"))

    body = {"self_signing_key": signed(cross_signing_key(ALICE, "self_signing", "new"), ALICE, f"{ALICE} master")}
    assert upload(world, ALICE, body, is_authenticated=True)

    assert shown_device(world, BOB, ALICE)["signatures"] == device["signatures"]
    assert sign(world, ALICE, ALICE, PHONE, signed(device, ALICE, "new")) is None
    assert shown_key(world, ALICE, ALICE, KeyUsage.USER_SIGNING) != {}
