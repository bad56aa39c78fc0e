"""What the server says that it speaks."""

from homeserver.http.client.versions import VersionsEndpoints
from tests.http.conftest import Serve


def test_old_and_new_versions_are_listed_without_a_token(serve: Serve) -> None:
    site = serve(VersionsEndpoints(proposals=("org.example.proposal",)))

    answer = site.request("GET", "/_matrix/client/versions").json

    assert {"r0.6.1", "v1.1", "v1.19"} <= set(answer["versions"])
    assert answer["unstable_features"]["org.example.proposal"] is True
