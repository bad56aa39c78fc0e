"""Changing the password and closing the account, over HTTP."""

from typing import Any

from tests.api.client import PASSWORD, Client

NEW = "a new password"


def auth(client: Client, session: str, password: str = PASSWORD) -> dict[str, Any]:
    identifier = {"type": "m.id.user", "user": client.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": password, "session": session}


def test_a_changed_password_ends_other_sessions_and_counts_at_once(alice: Client) -> None:
    other = alice.login_again()
    session = alice.post("account", "password", body={"new_password": NEW}, status=401)["session"]

    alice.post("account", "password", body={"new_password": NEW, "auth": auth(alice, session)})

    assert alice.get("account", "whoami")["user_id"] == alice.user_id
    other.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    alice.login_again(NEW)
    identifier = {"type": "m.id.user", "user": alice.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    Client(alice.url).post("login", body=body, status=403, errcode="M_FORBIDDEN")


def test_other_sessions_go_on_where_the_user_wants_it(alice: Client) -> None:
    other = alice.login_again()
    wish = {"new_password": NEW, "logout_devices": False}

    alice.post("account", "password", body={**wish, "auth": auth(alice, "")})

    assert other.get("account", "whoami")["device_id"] == other.device_id


def test_a_session_begun_for_one_password_sets_no_other(alice: Client) -> None:
    session = alice.post("account", "password", body={"new_password": NEW}, status=401)["session"]

    body = {"new_password": "another", "auth": auth(alice, session)}
    alice.post("account", "password", body=body, status=403, errcode="M_FORBIDDEN")


def test_a_new_password_that_cannot_be_is_refused(alice: Client) -> None:
    alice.post("account", "password", body={}, status=400, errcode="M_BAD_JSON")
    alice.post("account", "password", body={"new_password": ""}, status=400, errcode="M_WEAK_PASSWORD")
    alice.post("account", "password", body={"new_password": "x" * 600}, status=400, errcode="M_INVALID_PARAM")


def test_a_closed_account_is_closed_and_its_user_leaves(alice: Client, bob: Client) -> None:
    room_id = bob.create_room_with(alice)
    session = alice.post("account", "deactivate", body={"erase": True}, status=401)["session"]

    answer = alice.post("account", "deactivate", body={"erase": True, "auth": auth(alice, session)})

    assert answer == {"id_server_unbind_result": "success"}
    alice.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    identifier = {"type": "m.id.user", "user": alice.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    Client(alice.url).post("login", body=body, status=403, errcode="M_FORBIDDEN")
    assert bob.state(room_id, "m.room.member", alice.user_id)["membership"] == "leave"
    name = alice.user_id[1:].split(":")[0]
    bob.get("register", "available", query={"username": name}, status=400, errcode="M_USER_IN_USE")


def test_the_password_of_another_user_closes_nothing(alice: Client, bob: Client) -> None:
    body = {"auth": auth(bob, "")}

    alice.post("account", "deactivate", body=body, status=403, errcode="M_FORBIDDEN")

    assert alice.get("account", "whoami")["user_id"] == alice.user_id
