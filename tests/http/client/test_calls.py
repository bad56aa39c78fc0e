"""Where clients are told that calls go through."""

from dataclasses import replace

from homeserver.core.identifiers import UserID
from homeserver.core.turn import credentials_until
from homeserver.http.client.calls import CallEndpoints
from homeserver.runtime.clock import ManualClock
from homeserver.services.accounts.calls import Calls, Turn
from tests.http.conftest import Serve, Served

TURN = "/_matrix/client/v3/voip/turnServer"
TRANSPORTS = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
AS_ALICE = {"Authorization": "Bearer secret"}
URIS = ("turn:turn.example.org:3478?transport=udp", "turns:turn.example.org")
ALICE = UserID("@alice:example.org")


def _served(serve: Serve, turn: Turn, *livekit_urls: str, now_ms: int = 5_000_999) -> Served:
    return serve(CallEndpoints(Calls(turn, ManualClock(now_ms)), livekit_urls))


def test_a_user_gets_credentials_that_end_and_that_the_turn_server_can_check(serve: Serve) -> None:
    site = _served(serve, Turn(URIS, 600, shared_secret="north"))

    answer = site.request("GET", TURN, None, AS_ALICE)

    expected = credentials_until(5_600, ALICE, "north")
    assert answer.json == {
        "username": expected.username,
        "password": expected.password,
        "uris": list(URIS),
        "ttl": 600,
    }
    assert site.request("GET", TURN).json["errcode"] == "M_MISSING_TOKEN"


def test_all_users_may_be_one_user_of_the_turn_server(serve: Serve) -> None:
    site = _served(serve, Turn(URIS, 600, username="everybody", password="pass"))

    answer = site.request("GET", TURN, None, AS_ALICE).json

    assert (answer["username"], answer["password"]) == ("everybody", "pass")


def test_without_turn_servers_there_are_no_credentials(serve: Serve) -> None:
    answer = _served(serve, Turn((), 600)).request("GET", TURN, None, AS_ALICE)

    assert (answer.status, answer.json["errcode"]) == (404, "M_NOT_FOUND")


def test_guests_get_credentials_only_where_the_operator_says_so(serve: Serve) -> None:
    for allows_guests, status in ((False, 403), (True, 200)):
        site = _served(serve, Turn(URIS, 600, shared_secret="north", allows_guests=allows_guests))
        site.tokens.known["secret"] = replace(site.tokens.known["secret"], is_guest=True)

        assert site.request("GET", TURN, None, AS_ALICE).status == status


def test_users_are_told_where_calls_of_many_take_place(serve: Serve) -> None:
    site = _served(serve, Turn((), 600), "https://one.example.org/jwt", "https://two.example.org/jwt")

    for path in (TRANSPORTS, "/_matrix/client/v1/rtc/transports"):
        assert site.request("GET", path, None, AS_ALICE).json == {
            "rtc_transports": [
                {"type": "livekit", "livekit_service_url": "https://one.example.org/jwt"},
                {"type": "livekit", "livekit_service_url": "https://two.example.org/jwt"},
            ]
        }
        assert site.request("GET", path).status == 401


def test_without_any_the_list_is_empty(serve: Serve) -> None:
    assert _served(serve, Turn((), 600)).request("GET", TRANSPORTS, None, AS_ALICE).json == {"rtc_transports": []}
