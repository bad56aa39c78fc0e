"""Login, logout and refreshing, over HTTP."""

from collections.abc import Iterator

import pytest

from tests.api.client import PASSWORD, V1, Client, new_user
from tests.server import Server, running


def password_login(user: str, password: str = PASSWORD) -> dict[str, object]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}


def test_the_ways_to_log_in_are_told(nobody: Client) -> None:
    flows = nobody.get("login")["flows"]

    assert [flow["type"] for flow in flows][:2] == ["m.login.password", "m.login.token"]
    assert flows[1]["get_login_token"] is True


def test_a_login_gives_a_token_that_tells_who_calls(alice: Client) -> None:
    other = alice.login_again(device_id="OTHER", initial_device_display_name="other")

    assert (other.user_id, other.device_id) == (alice.user_id, "OTHER")
    assert other.access_token != alice.access_token
    told = {"user_id": alice.user_id, "device_id": "OTHER", "is_guest": False}
    assert other.get("account", "whoami") == told


def test_the_older_way_to_name_the_user_still_works(alice: Client, nobody: Client) -> None:
    body = {"type": "m.login.password", "user": alice.user_id[1:].split(":")[0], "password": PASSWORD}

    assert nobody.post("login", body=body)["user_id"] == alice.user_id


def test_a_wrong_password_and_an_unknown_user_get_one_answer(alice: Client, nobody: Client) -> None:
    wrong = nobody.post("login", body=password_login(alice.user_id, "wrong"), status=403)
    unknown = nobody.post("login", body=password_login("@nobody:" + alice.server_name), status=403)

    assert wrong == unknown
    assert wrong["errcode"] == "M_FORBIDDEN"


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({}, 400, "M_BAD_JSON"),
        ({"type": "m.login.sso"}, 400, "M_UNKNOWN"),
        ({"type": "m.login.password"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.password", "password": 7}, 400, "M_BAD_JSON"),
        ({"type": "m.login.password", "password": "x"}, 403, "M_FORBIDDEN"),
        ({"type": "m.login.password", "password": "x", "identifier": {}}, 403, "M_FORBIDDEN"),
        ({"type": "m.login.password", "password": "x", "identifier": {"type": "m.id.user", "user": 7}}, 403, None),
        ({"type": "m.login.password", "password": "x", "user": "a", "device_id": ""}, 400, "M_INVALID_PARAM"),
        ({"type": "m.login.token"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.token", "token": "clbl_guessed"}, 403, "M_FORBIDDEN"),
        ({"type": "m.login.application_service", "user": "alice"}, 403, "M_FORBIDDEN"),
    ],
)
def test_what_lets_nobody_in(nobody: Client, body: dict[str, object], status: int, errcode: str | None) -> None:
    nobody.post("login", body=body, status=status, errcode=errcode)


def test_after_a_logout_the_token_is_unknown_and_other_devices_stay(alice: Client) -> None:
    other = alice.login_again()

    other.post("logout")

    answer = other.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    assert not answer.get("soft_logout")
    assert alice.get("account", "whoami")["device_id"] == alice.device_id
    devices = alice.get("devices")["devices"]
    assert [device["device_id"] for device in devices] == [alice.device_id]


def test_logging_out_everywhere_ends_every_session(alice: Client) -> None:
    other = alice.login_again()

    alice.post("logout", "all")

    for client in (alice, other):
        client.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")


@pytest.mark.parametrize("token", ["", "x", "clba_" + "A" * 32, "Bearer"])
def test_a_token_that_is_none_is_refused(nobody: Client, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}

    response = nobody.send("GET", "account", "whoami", headers=headers)

    assert response.status == 401
    assert response.json["errcode"] in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN")


def test_refreshing_gives_a_new_pair_and_the_old_one_ends_with_its_use(alice: Client) -> None:
    body = {**password_login(alice.user_id), "refresh_token": True}
    first = Client(alice.url).post("login", body=body)
    assert first["expires_in_ms"] > 0

    second = Client(alice.url).post("refresh", body={"refresh_token": first["refresh_token"]})

    renewed = Client(alice.url, alice.user_id, first["device_id"], second["access_token"])
    assert renewed.get("account", "whoami")["device_id"] == first["device_id"]
    renewed.post("refresh", body={"refresh_token": first["refresh_token"]}, status=401, errcode="M_UNKNOWN_TOKEN")
    assert renewed.post("refresh", body={"refresh_token": second["refresh_token"]})["access_token"]


def test_a_login_token_costs_the_password_and_lets_in_once(alice: Client, nobody: Client) -> None:
    asked = alice.post(f"{V1}/login/get_token", status=401)
    auth = {**password_login(alice.user_id), "session": asked["session"]}
    token = alice.post(f"{V1}/login/get_token", body={"auth": auth})["login_token"]

    body = {"type": "m.login.token", "token": token}
    assert nobody.post("login", body=body)["user_id"] == alice.user_id

    nobody.post("login", body=body, status=403, errcode="M_FORBIDDEN")


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that may be stopped."""
    with running() as server:
        yield server


def test_sessions_and_logouts_survive_a_restart(own_server: Server) -> None:
    staying, leaving = new_user(own_server.url, "staying"), new_user(own_server.url, "leaving")
    leaving.post("logout")

    own_server.stop()
    own_server.start()

    assert staying.get("account", "whoami")["user_id"] == staying.user_id
    leaving.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
