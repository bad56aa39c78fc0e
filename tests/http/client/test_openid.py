"""OpenID tokens over HTTP."""

from homeserver.core.identifiers import ServerName
from homeserver.http.client.openid import OpenIDEndpoints
from homeserver.services.accounts.openid import LIFETIME_S, OpenIDTokens
from tests.http.conftest import Serve, in_reactor
from tests.http.federation.conftest import serving
from tests.services.federation.serving import Serving
from tests.services.world import now

__all__ = ["serving"]

PATH = "/_matrix/client/v3/user/{}/openid/request_token"
SECRET = {"Authorization": "Bearer secret"}


def test_one_gets_a_token_for_oneself_alone(serve: Serve, serving: Serving) -> None:
    world = serving.world
    tokens = OpenIDTokens(world.database, world.clock, world.randomness)
    alice = in_reactor(lambda: serving.named("alice", "Alice"))
    site = serve(OpenIDEndpoints(tokens, ServerName("example.org")))

    answer = site.request("POST", PATH.format(alice), b"{}", SECRET)
    other = site.request("POST", PATH.format("@bob:example.org"), b"{}", SECRET)

    assert answer.status == 200
    assert {name: value for name, value in answer.json.items() if name != "access_token"} == {
        "token_type": "Bearer",
        "matrix_server_name": "example.org",
        "expires_in": LIFETIME_S,
    }
    token = answer.json["access_token"]
    assert in_reactor(lambda: now(tokens.user(token))) == alice
    assert (other.status, other.json["errcode"]) == (403, "M_FORBIDDEN")
