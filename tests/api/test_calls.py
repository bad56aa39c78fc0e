"""Where clients are told that calls go through, by a running server."""

from collections.abc import Iterator

import pytest

from tests.api.client import Client, new_user
from tests.server import Server, running


@pytest.fixture(scope="module")
def calling_server() -> Iterator[Server]:
    """A server that has somewhere for calls to go through."""
    calls = {
        "turn": {"uris": ["turn:turn.example.org:3478?transport=udp"], "shared_secret": "north"},
        "livekit_urls": ["https://livekit.example.org/jwt/"],
    }
    contacts = [{"role": "m.role.admin", "matrix_id": "@admin:example.org"}]
    with running(settings={"calls": calls, "support": {"contacts": contacts}}) as server:
        yield server


def test_calls_go_where_the_configuration_says(calling_server: Server) -> None:
    alice = new_user(calling_server.url, "alice")

    turn = alice.get("voip", "turnServer")
    transports = alice.get("/_matrix/client/v1", "rtc", "transports")["rtc_transports"]

    assert turn["uris"] == ["turn:turn.example.org:3478?transport=udp"]
    assert turn["username"].endswith(f":{alice.user_id}")
    assert transports == [{"type": "livekit", "livekit_service_url": "https://livekit.example.org/jwt"}]
    assert alice.get("/_matrix/client", "versions")["unstable_features"]["org.matrix.msc4143"] is True


def test_what_people_look_for_under_the_name_of_the_server_is_there(calling_server: Server) -> None:
    nobody = Client(calling_server.url)

    known = nobody.get("/.well-known/matrix", "client")
    support = nobody.get("/.well-known/matrix", "support")

    assert known["org.matrix.msc4143.rtc_foci"][0]["livekit_service_url"] == "https://livekit.example.org/jwt"
    assert support == {"contacts": [{"role": "m.role.admin", "matrix_id": "@admin:example.org"}]}
