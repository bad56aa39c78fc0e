"""Device management, over HTTP."""

from typing import Any

from tests.api.client import PASSWORD, Client


def auth(client: Client, session: str, password: str = PASSWORD) -> dict[str, Any]:
    identifier = {"type": "m.id.user", "user": client.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": password, "session": session}


def device_ids(client: Client) -> set[str]:
    return {device["device_id"] for device in client.get("devices")["devices"]}


def test_devices_are_shown_to_their_user(alice: Client, bob: Client) -> None:
    other = alice.login_again(initial_device_display_name="tablet")

    assert device_ids(alice) == {alice.device_id, other.device_id}
    shown = alice.get("devices", other.device_id)
    assert (shown["device_id"], shown["display_name"]) == (other.device_id, "tablet")
    bob.get("devices", other.device_id, status=404, errcode="M_NOT_FOUND")


def test_a_device_is_renamed(alice: Client, bob: Client) -> None:
    alice.put("devices", alice.device_id, body={"display_name": "phone"})

    assert alice.get("devices", alice.device_id)["display_name"] == "phone"
    bob.put("devices", alice.device_id, body={"display_name": "mine"}, status=404, errcode="M_NOT_FOUND")
    alice.put("devices", alice.device_id, body={"display_name": "x" * 1000}, status=413, errcode="M_TOO_LARGE")


def test_a_device_is_deleted_once_the_password_was_shown(alice: Client) -> None:
    other = alice.login_again()
    asked = alice.delete("devices", other.device_id, body={}, status=401)
    assert asked["flows"] == [{"stages": ["m.login.password"]}]

    wrong = auth(alice, asked["session"], "wrong")
    refused = alice.delete("devices", other.device_id, body={"auth": wrong}, status=401, errcode="M_FORBIDDEN")
    assert refused["session"] == asked["session"]
    alice.delete("devices", other.device_id, body={"auth": auth(alice, asked["session"])})

    assert device_ids(alice) == {alice.device_id}
    other.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")


def test_a_session_that_was_begun_for_one_device_deletes_no_other(alice: Client) -> None:
    one, other = alice.login_again(), alice.login_again()
    session = alice.delete("devices", one.device_id, status=401)["session"]

    body = {"auth": auth(alice, session)}
    alice.delete("devices", other.device_id, body=body, status=403, errcode="M_FORBIDDEN")

    assert other.device_id in device_ids(alice)


def test_the_password_of_another_user_deletes_nothing(alice: Client, bob: Client) -> None:
    other = alice.login_again()
    session = alice.delete("devices", other.device_id, status=401)["session"]

    body = {"auth": auth(bob, session)}
    alice.delete("devices", other.device_id, body=body, status=403, errcode="M_FORBIDDEN")

    assert other.device_id in device_ids(alice)


def test_many_devices_are_deleted_together(alice: Client) -> None:
    others = [alice.login_again() for _ in range(3)]
    wanted = {"devices": [other.device_id for other in others]}
    session = alice.post("delete_devices", body=wanted, status=401)["session"]

    changed = {"devices": [alice.device_id], "auth": auth(alice, session)}
    alice.post("delete_devices", body=changed, status=403, errcode="M_FORBIDDEN")
    alice.post("delete_devices", body={**wanted, "auth": auth(alice, session)})

    assert device_ids(alice) == {alice.device_id}


def test_whoever_shares_a_room_and_the_user_learn_of_a_new_device(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob)
    since, own_since = bob.token(), alice.token()

    alice.login_again()

    assert alice.user_id in bob.sync(since)["device_lists"]["changed"]
    assert alice.user_id in alice.sync(own_since)["device_lists"]["changed"]


def test_a_device_that_logs_in_once_more_is_not_announced(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob)
    since = bob.token()

    alice.login_again(device_id=alice.device_id)

    assert "device_lists" not in bob.sync(since)


def test_whoever_shares_a_room_learns_of_a_deleted_device(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob)
    other = alice.login_again()
    since = bob.token()

    other.post("logout")

    assert alice.user_id in bob.sync(since)["device_lists"]["changed"]
