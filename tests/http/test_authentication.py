"""Who may call which endpoint."""

from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.http.arrival import Arrival
from homeserver.http.authentication import Authentication
from homeserver.http.endpoint import Auth, Endpoint, NoBody, NoQuery
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import (
    Forbidden,
    GuestAccessForbidden,
    MissingToken,
    ServiceError,
    Unauthorized,
    UnknownToken,
    UserLocked,
    UserSuspended,
)
from tests.conformance.operations import declared

ALICE = Requester(UserID("@alice:example.org"), DeviceID("ALICE"), 1)
BRIDGE = Requester(UserID("@bridge:example.org"), None, 0, is_rate_limited=False, appservice_id="bridge")
TOKENS = {
    "alice": ALICE,
    "admin": replace(ALICE, is_admin=True),
    "guest": replace(ALICE, is_guest=True),
    "locked": replace(ALICE, is_locked=True),
    "suspended": replace(ALICE, is_suspended=True),
    "expired": replace(ALICE, is_soft_logged_out=True),
    "bridge": BRIDGE,
}


class Tokens:
    def find(self, token: str) -> Requester | Awaitable[Requester | None] | None:
        return TOKENS.get(token)

    async def speak_for(self, requester: Requester, user_id: UserID | None, device_id: DeviceID | None) -> Requester:
        if user_id is not None and not user_id.startswith("@bridge_"):
            raise Forbidden
        return replace(requester, user_id=user_id or requester.user_id, device_id=device_id)


class Peers:
    async def verify(self, *, method: str, uri: str, authorization: Any, content: bytes) -> ServerName:
        return ServerName(f"{method} {uri} {authorization[0]} {content.decode()}")


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("It waits")


def mark(auth: Auth, *, guests: bool = False, suspended: bool = True) -> Endpoint:
    return Endpoint(
        "GET",
        "/x",
        auth,
        RateClass.FREE,
        "",
        NoQuery,
        NoBody,
        object,
        (),
        guests,
        suspended,
        waits=False,
        max_body_bytes=None,
        name="X.x",
    )


def arrival(token: str | None = None, *, by_owner: bool = False, **query: str) -> Arrival:
    authorization = [] if token is None else [f"Bearer {token}"]
    values = {name: [value] for name, value in query.items()}
    return Arrival("GET", "/x", {}, values, b"{}", authorization, lambda _: None, "192.0.2.1", by_owner)


def requester(of: Endpoint, shown: Arrival, *, accepts_query_tokens: bool = True) -> Requester | None:
    found: Requester | None = run(
        Authentication(Tokens(), Peers(), accepts_query_tokens=accepts_query_tokens).requester(of, shown)
    )
    return found


@pytest.mark.parametrize(
    ("token", "of", "error"),
    [
        (None, mark(Auth.ACCESS_TOKEN), MissingToken),
        (None, mark(Auth.SOFT), MissingToken),
        (None, mark(Auth.ADMIN), MissingToken),
        ("nobody", mark(Auth.ACCESS_TOKEN), UnknownToken),
        ("nobody", mark(Auth.OPTIONAL_TOKEN), UnknownToken),
        ("guest", mark(Auth.ACCESS_TOKEN), GuestAccessForbidden),
        ("locked", mark(Auth.ACCESS_TOKEN), UserLocked),
        ("expired", mark(Auth.ACCESS_TOKEN), UnknownToken),
        ("suspended", mark(Auth.ACCESS_TOKEN, suspended=False), UserSuspended),
        ("alice", mark(Auth.ADMIN), Forbidden),
        ("admin", mark(Auth.ADMIN_SOCKET), Forbidden),
    ],
)
def test_who_may_not_call_is_told_why(token: str | None, of: Endpoint, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        requester(of, arrival(token))


@pytest.mark.parametrize(
    ("token", "of"),
    [
        ("alice", mark(Auth.ACCESS_TOKEN)),
        ("alice", mark(Auth.OPTIONAL_TOKEN)),
        ("guest", mark(Auth.ACCESS_TOKEN, guests=True)),
        ("locked", mark(Auth.SOFT)),
        ("expired", mark(Auth.SOFT)),
        ("suspended", mark(Auth.ACCESS_TOKEN)),
        ("admin", mark(Auth.ADMIN)),
    ],
)
def test_who_may_call_is_known(token: str, of: Endpoint) -> None:
    assert requester(of, arrival(token)) == TOKENS[token]


def test_an_expired_token_says_that_the_session_lives_on() -> None:
    with pytest.raises(UnknownToken) as caught:
        requester(mark(Auth.ACCESS_TOKEN), arrival("expired"))

    assert caught.value.soft_logout


def test_nobody_in_particular_calls_where_no_token_is_needed() -> None:
    assert requester(mark(Auth.OPTIONAL_TOKEN), arrival()) is None
    assert requester(mark(Auth.NONE), arrival("nobody")) is None
    assert requester(mark(Auth.ADMIN), arrival(by_owner=True)) is None
    assert requester(mark(Auth.ADMIN_SOCKET), arrival(by_owner=True)) is None


def test_a_token_in_the_query_counts_only_where_that_is_accepted() -> None:
    shown = arrival(access_token="alice")

    assert requester(mark(Auth.ACCESS_TOKEN), shown) == ALICE
    with pytest.raises(MissingToken):
        requester(mark(Auth.ACCESS_TOKEN), shown, accepts_query_tokens=False)


def test_the_header_goes_before_the_query() -> None:
    assert requester(mark(Auth.ACCESS_TOKEN), arrival("alice", access_token="nobody")) == ALICE


def test_an_application_service_speaks_for_its_users_and_no_others() -> None:
    of = mark(Auth.ACCESS_TOKEN)

    assert requester(of, arrival("bridge")) == BRIDGE
    spoken = requester(of, arrival("bridge", user_id="@bridge_x:example.org", device_id="D"))
    assert spoken is not None
    assert (spoken.user_id, spoken.device_id) == ("@bridge_x:example.org", "D")
    with pytest.raises(Forbidden):
        requester(of, arrival("bridge", user_id="@alice:example.org"))
    with pytest.raises(BadIdentifier):
        requester(of, arrival("bridge", user_id="alice"))
    assert requester(of, arrival("alice", user_id="@bob:example.org")) == ALICE


def test_a_server_is_asked_for_its_signature_where_servers_call() -> None:
    authentication = Authentication(Tokens(), Peers(), accepts_query_tokens=True)

    assert run(authentication.origin(mark(Auth.NONE), arrival())) is None
    assert run(authentication.origin(mark(Auth.FEDERATION), arrival("sig"))) == "GET /x Bearer sig {}"
    with pytest.raises(Unauthorized):
        run(authentication.origin(mark(Auth.FEDERATION), arrival()))


@pytest.mark.parametrize("spoken_for", ["@bridge:example.org", "@bridge_root:example.org"])
@pytest.mark.parametrize("token", ["bridge", "guest", "suspended", "alice"])
def test_nobody_but_administrators_gets_into_any_endpoint_of_theirs(token: str, spoken_for: str) -> None:
    theirs = [each for each in declared() if each.auth in (Auth.ADMIN, Auth.ADMIN_SOCKET)]

    for each in theirs:
        with pytest.raises((Forbidden, GuestAccessForbidden, UserSuspended)):
            requester(each, arrival(token, user_id=spoken_for))
