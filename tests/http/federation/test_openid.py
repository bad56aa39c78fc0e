"""OpenID over HTTP: for whoever has got a token."""

from homeserver.http.endpoint import Surface
from homeserver.http.federation.openid import FederationOpenIDEndpoints
from homeserver.services.accounts.openid import OpenIDTokens
from tests.http.conftest import Serve, in_reactor
from tests.services.federation.serving import Serving
from tests.services.world import now


def test_a_token_is_worth_its_user(serve: Serve, serving: Serving) -> None:
    world = serving.world
    tokens = OpenIDTokens(world.database, world.clock, world.randomness)
    site = serve(FederationOpenIDEndpoints(tokens), served={Surface.FEDERATION})

    def issue() -> tuple[str, str]:
        user_id = serving.named("alice", "Alice")
        return user_id, now(tokens.issue(user_id, user_id))

    user_id, token = in_reactor(issue)

    answer = site.request("GET", f"/_matrix/federation/v1/openid/userinfo?access_token={token}")
    wrong = site.request("GET", f"/_matrix/federation/v1/openid/userinfo?access_token={token}x")
    none = site.request("GET", "/_matrix/federation/v1/openid/userinfo")

    assert (answer.status, answer.json) == (200, {"sub": user_id})
    assert (wrong.status, wrong.json["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert (none.status, none.json["errcode"]) == (401, "M_MISSING_TOKEN")
