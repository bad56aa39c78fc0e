"""What holds for every request: tokens, methods, unknown paths, other origins, old paths."""

import pytest

from tests.api.client import Client


@pytest.mark.parametrize("path", ["rooms/!x:y/members", "sync", "no/such/path", "login"])
def test_pages_of_other_origins_may_ask_anything_without_a_token_first(nobody: Client, path: str) -> None:
    headers = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "PUT"}

    response = nobody.send("OPTIONS", *path.split("/"), headers=headers)

    assert response.status in (200, 204)
    assert response.headers["access-control-allow-origin"] == "*"
    assert "PUT" in response.headers["access-control-allow-methods"]
    assert "Authorization" in response.headers["access-control-allow-headers"]


def test_errors_too_can_be_read_by_pages_of_other_origins(nobody: Client) -> None:
    response = nobody.send("GET", "sync", headers={"Origin": "https://app.example.org"})

    assert (response.status, response.json["errcode"]) == (401, "M_MISSING_TOKEN")
    assert response.headers["access-control-allow-origin"] == "*"


def test_a_token_that_nobody_has_is_refused_everywhere(nobody: Client) -> None:
    stranger = Client(nobody.url, access_token="clba_nonsense")

    for path in (("sync",), ("rooms", "!x:y", "members"), ("account", "whoami")):
        answer = stranger.get(*path, status=401, errcode="M_UNKNOWN_TOKEN")
        assert answer.get("soft_logout", False) is False


def test_a_token_may_stand_in_the_query(alice: Client) -> None:
    nobody = Client(alice.url)

    assert nobody.get("account", "whoami", query={"access_token": alice.access_token})["user_id"] == alice.user_id


def test_an_unknown_path_is_not_found_and_a_wrong_method_not_allowed(alice: Client) -> None:
    alice.get("/_matrix/client/v3/nothing/here", status=404, errcode="M_UNRECOGNIZED")
    alice.get("/_matrix/elsewhere", status=404, errcode="M_UNRECOGNIZED")
    alice.call("DELETE", "sync", status=405, errcode="M_UNRECOGNIZED")
    alice.call("PATCH", "createRoom", status=405, errcode="M_UNRECOGNIZED")


def test_the_old_paths_answer_as_the_new_ones(alice: Client) -> None:
    room_id = alice.create_room(name="x")

    assert alice.get("/_matrix/client/r0", "account", "whoami")["user_id"] == alice.user_id
    assert alice.get("/_matrix/client/r0", "rooms", room_id, "state", "m.room.name") == {"name": "x"}


def test_identifiers_in_a_path_are_decoded_once(alice: Client) -> None:
    room_id = alice.create_room()

    alice.set_state(room_id, "org.example.%2F", {"x": 1}, "%25 / ? # ü")

    assert alice.state(room_id, "org.example.%2F", "%25 / ? # ü") == {"x": 1}
    (event,) = [each for each in alice.get("rooms", room_id, "state") if each["type"] == "org.example.%2F"]
    assert event["state_key"] == "%25 / ? # ü"


def test_the_versions_that_the_server_speaks_are_told_to_everybody(nobody: Client, alice: Client) -> None:
    for client in (nobody, alice):
        versions = client.get("/_matrix/client/versions")["versions"]
        assert {"v1.1", "v1.11"} <= set(versions)


def test_capabilities_name_the_room_versions(alice: Client) -> None:
    capabilities = alice.get("capabilities")["capabilities"]

    assert capabilities["m.room_versions"]["default"] == "12"
    assert {str(number) for number in range(1, 13)} <= set(capabilities["m.room_versions"]["available"])
    assert capabilities["m.change_password"]["enabled"] is True


def test_the_figures_and_the_health_are_shown(nobody: Client) -> None:
    assert nobody.send("GET", "/_columba/health").status == 200
    assert b"# TYPE" in nobody.send("GET", "/_columba/metrics").body
