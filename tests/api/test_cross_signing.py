"""Cross-signing keys and signatures over HTTP: when a password is asked for, and what the errors are."""

from typing import Any

from tests.api.client import PASSWORD, Client
from tests.services.e2ee.signed_keys import cross_signing_key, device_keys, identity, public, signed


def upload(client: Client, body: Any, **options: Any) -> Any:
    return client.post("keys", "device_signing", "upload", body=body, **options)


def password_of(client: Client, session: str) -> Any:
    identifier = {"type": "m.id.user", "user": client.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "session": session}


def master_of(viewer: Client, owner: Client) -> Any:
    answer = viewer.post("keys", "query", body={"device_keys": {owner.user_id: []}})
    return answer["master_keys"].get(owner.user_id)


def test_the_first_keys_and_the_same_again_need_no_password(alice: Client) -> None:
    keys = identity(alice.user_id)

    assert upload(alice, keys) == {}
    assert upload(alice, keys) == {}


def test_the_names_of_before_the_specification_had_them_are_known(alice: Client) -> None:
    unstable = "/_matrix/client/unstable"

    assert alice.post(unstable, "keys", "device_signing", "upload", body={}) == {}
    assert alice.post(unstable, "keys", "signatures", "upload", body={}) == {"failures": {}}


def test_other_keys_need_the_password(alice: Client, bob: Client) -> None:
    old, new = identity(alice.user_id), identity(alice.user_id, "2")
    upload(alice, old)

    asked = upload(alice, new, status=401)
    unchanged = master_of(bob, alice)
    wrong = {**password_of(alice, asked["session"]), "password": "wrong"}
    upload(alice, {**new, "auth": wrong}, status=401, errcode="M_FORBIDDEN")
    upload(alice, {**new, "auth": password_of(alice, asked["session"])})

    assert {"stages": ["m.login.password"]} in asked["flows"]
    assert unchanged["keys"] == old["master_key"]["keys"]
    assert master_of(bob, alice)["keys"] == new["master_key"]["keys"]


def test_a_password_shown_for_some_keys_is_not_good_for_others(alice: Client, bob: Client) -> None:
    upload(alice, identity(alice.user_id))
    asked = upload(alice, identity(alice.user_id, "2"), status=401)

    swapped = {**identity(alice.user_id, "3"), "auth": password_of(alice, asked["session"])}
    upload(alice, swapped, status=403, errcode="M_FORBIDDEN")

    assert master_of(bob, alice)["keys"] == identity(alice.user_id)["master_key"]["keys"]


def test_wrong_keys_are_refused_by_their_kind_of_wrong(alice: Client, bob: Client) -> None:
    keys = identity(alice.user_id)
    forged = {**keys, "self_signing_key": identity(alice.user_id, "2")["self_signing_key"]}
    without_master = {"self_signing_key": keys["self_signing_key"]}

    upload(alice, forged, status=400, errcode="M_INVALID_SIGNATURE")
    upload(alice, without_master, status=400, errcode="M_MISSING_PARAM")
    upload(alice, identity(bob.user_id), status=400, errcode="M_BAD_JSON")
    upload(alice, {"master_key": "key"}, status=400, errcode="M_BAD_JSON")

    assert master_of(bob, alice) is None


def test_a_key_that_is_the_id_of_a_device_is_forbidden(alice: Client) -> None:
    alice.login_again(device_id=public(f"{alice.user_id} master"))

    upload(alice, identity(alice.user_id), status=403, errcode="M_FORBIDDEN")


def test_signatures_that_are_not_accepted_are_told_one_by_one(alice: Client, bob: Client) -> None:
    device = device_keys(alice.user_id, alice.device_id)
    alice.post("keys", "upload", body={"device_keys": device})
    upload(alice, identity(alice.user_id))
    upload(bob, identity(bob.user_id))
    bobs_master = public(f"{bob.user_id} master")

    answer = alice.post(
        "keys",
        "signatures",
        "upload",
        body={
            alice.user_id: {
                alice.device_id: signed(device, alice.user_id, f"{alice.user_id} user_signing"),
                "UNKNOWN": device,
            },
            bob.user_id: {
                bobs_master: signed(
                    cross_signing_key(bob.user_id, "master"), alice.user_id, f"{alice.user_id} user_signing"
                )
            },
        },
    )

    assert {key: why["errcode"] for key, why in answer["failures"][alice.user_id].items()} == {
        alice.device_id: "M_INVALID_SIGNATURE",
        "UNKNOWN": "M_NOT_FOUND",
    }
    assert bob.user_id not in answer["failures"]
    assert master_of(alice, bob)["signatures"].keys() == {alice.user_id}
    assert alice.user_id not in master_of(bob, bob).get("signatures", {})


def test_a_verified_user_is_told_to_the_signers_other_devices_alone(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob, preset="public_chat")
    for client in (alice, bob):
        upload(client, identity(client.user_id))
    laptop = alice.login_again()
    since = {client.device_id: client.token() for client in (laptop, bob)}

    master = signed(cross_signing_key(bob.user_id, "master"), alice.user_id, f"{alice.user_id} user_signing")
    alice.post("keys", "signatures", "upload", body={bob.user_id: {public(f"{bob.user_id} master"): master}})

    assert laptop.sync(since[laptop.device_id])["device_lists"]["changed"] == [bob.user_id]
    assert "device_lists" not in bob.sync(since[bob.device_id])
