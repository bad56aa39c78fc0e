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

    for name in ("client", "server", "support"):
        assert site.request("GET", f"/.well-known/matrix/{name}").status == 404


def test_clients_that_look_for_calls_here_find_where_they_take_place(serve: Serve) -> None:
    site = serve(WellKnownEndpoints("https://x.example.org/", None, livekit_urls=("https://livekit.example.org/jwt",)))

    assert site.request("GET", "/.well-known/matrix/client").json["org.matrix.msc4143.rtc_foci"] == [
        {"type": "livekit", "livekit_service_url": "https://livekit.example.org/jwt"}
    ]
