"""Which software this is."""

from homeserver.http.endpoint import Surface
from homeserver.http.federation.version import FederationVersionEndpoints
from tests.http.conftest import Serve


def test_the_software_is_named_to_anybody(serve: Serve) -> None:
    site = serve(FederationVersionEndpoints("1.2.3"), served={Surface.FEDERATION})

    answer = site.request("GET", "/_matrix/federation/v1/version")

    assert answer.json == {"server": {"name": "Columba", "version": "1.2.3"}}
