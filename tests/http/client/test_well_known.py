"""Where the server says that it is."""

from homeserver.core.identifiers import ServerName
from homeserver.http.client.well_known import WellKnownEndpoints
from tests.http.conftest import Serve


def test_addresses_and_contacts_are_given_where_they_are_configured(serve: Serve) -> None:
    contact = {"role": "m.role.admin", "matrix_id": "@admin:example.org"}
    site = serve(
        WellKnownEndpoints(
            "https://matrix.example.org/", ServerName("matrix.example.org:443"), (contact,), "https://x/"
        )
    )

    client = site.request("GET", "/.well-known/matrix/client")
    assert client.json == {"m.homeserver": {"base_url": "https://matrix.example.org/"}}
    assert client.headers["access-control-allow-origin"] == "*"
    assert site.request("GET", "/.well-known/matrix/server").json == {"m.server": "matrix.example.org:443"}
    assert site.request("GET", "/.well-known/matrix/support").json == {
        "contacts": [contact],
        "support_page": "https://x/",
    }


def test_what_is_not_configured_is_not_found(serve: Serve) -> None:
    site = serve(WellKnownEndpoints(None, None))

    for name in ("client", "server", "support", "policy_server"):
        assert site.request("GET", f"/.well-known/matrix/{name}").status == 404


def test_clients_that_look_for_calls_here_find_where_they_take_place(serve: Serve) -> None:
    site = serve(WellKnownEndpoints("https://x.example.org/", None, livekit_urls=("https://livekit.example.org/jwt",)))

    assert site.request("GET", "/.well-known/matrix/client").json["org.matrix.msc4143.rtc_foci"] == [
        {"type": "livekit", "livekit_service_url": "https://livekit.example.org/jwt"}
    ]


def test_the_key_of_a_policy_server_of_this_name_is_told(serve: Serve) -> None:
    key = "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"
    site = serve(WellKnownEndpoints(None, None, policy_server_key=key))

    answer = site.request("GET", "/.well-known/matrix/policy_server")

    assert answer.json == {"public_keys": {"ed25519": key}}
    assert answer.headers["access-control-allow-origin"] == "*"
