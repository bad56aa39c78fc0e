"""What happens to a request in turn; here without a network."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.http.arrival import Arrival
from homeserver.http.authentication import Authentication
from homeserver.http.door import Door, administer
from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    ADMIN_SOCKET,
    OPTIONAL_TOKEN,
    PlainRequest,
    Reply,
    Request,
    Surface,
    collect,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.router import Router
from homeserver.runtime.clock import ManualClock
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import LimitExceeded
from tests.fakes.acts import NotedActs
from tests.http.conftest import Peers, Tokens


class Page(msgspec.Struct, frozen=True):
    limit: int = 10


class Wish(msgspec.Struct, frozen=True):
    name: str


@dataclass(frozen=True)
class Administration:
    @endpoint(
        "POST",
        "/_columba/admin/v1/users/{userId}",
        auth=ADMIN_SOCKET,
        limit=RateClass.GENERAL,
        spec="",
        query=Page,
        body=Wish,
    )
    async def change(self, request: Request[Page, Wish]) -> Reply:
        return Reply({"user": request.path_user_id, "limit": request.query.limit, "name": request.body.name}, 201)


@dataclass(frozen=True)
class Signup:
    @endpoint("POST", "/register", auth=OPTIONAL_TOKEN, limit=RateClass.REGISTER, spec="")
    async def register(self, _: PlainRequest) -> Reply:
        return Reply({})

    @endpoint("POST", "/thing", auth=ACCESS_TOKEN, limit=RateClass.REGISTER, spec="", guests=True)
    async def thing(self, _: PlainRequest) -> Reply:
        return Reply({})


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("It waits")


def ask(method: str, path: str, body: dict[str, Any]) -> Any:
    limiting = RateLimiting({RateClass.GENERAL: RateLimit(per_second=1, burst=1)}, ManualClock())
    door = Door(Authentication(Tokens(), Peers(), accepts_query_tokens=False), limiting, NotedActs())
    router = Router(collect([Administration()]), frozenset(Surface))
    for _ in range(2):
        answer = run(administer(door, router, method, path, body))
    return answer


def test_the_owner_is_answered_without_token_limit_or_network() -> None:
    status, body = ask("POST", "/_columba/admin/v1/users/@a:example.org?limit=5", {"name": "A"})

    assert (status, body) == (201, {"user": "@a:example.org", "limit": 5, "name": "A"})


def test_what_is_wrong_is_told_as_over_the_network() -> None:
    assert ask("POST", "/_columba/admin/v1/users/@a:example.org", {})[0] == 400
    assert ask("POST", "/_columba/admin/v1/users/a", {"name": "A"})[0] == 400
    assert ask("GET", "/_columba/admin/v1/users/@a:example.org", {})[0] == 405
    assert ask("GET", "/_columba/nothing", {}) == (
        404,
        {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request: no such path"},
    )


@dataclass
class Callers:
    """People with tokens, each allowed one request in a long time."""

    door: Door
    router: Router

    def call(self, path: str, token: str | None, client_ip: str = "192.0.2.1") -> Reply:
        route, parameters = self.router.find("POST", path.encode())
        shown = [] if token is None else [f"Bearer {token}"]
        arrival = Arrival("POST", path, parameters, {}, b"", shown, lambda _: None, client_ip, by_owner=False)
        reply: Reply = run(self.door.answer(route, arrival))
        return reply


@pytest.fixture
def callers() -> Callers:
    tokens = Tokens()
    for name in ("alice", "bob", "bridge", "guest", "visitor"):
        user_id = UserID(f"@{name}:example.org")
        tokens.known[name] = Requester(
            user_id, DeviceID("D"), 1, is_guest=name in ("guest", "visitor"), is_rate_limited=name != "bridge"
        )
    limit = RateLimit(per_second=0.001, burst=1)
    limiting = RateLimiting({RateClass.REGISTER: limit, RateClass.GUEST: limit}, ManualClock())
    door = Door(Authentication(tokens, Peers(), accepts_query_tokens=False), limiting, NotedActs())
    return Callers(door, Router(collect([Signup()]), frozenset(Surface)))


def test_where_a_token_is_needed_its_user_is_limited(callers: Callers) -> None:
    callers.call("/thing", "alice")
    callers.call("/thing", "bob")

    with pytest.raises(LimitExceeded):
        callers.call("/thing", "alice", "192.0.2.2")


def test_guests_are_limited_by_their_address_too(callers: Callers) -> None:
    callers.call("/thing", "guest")

    with pytest.raises(LimitExceeded):
        callers.call("/thing", "visitor")
    callers.call("/thing", "visitor", "192.0.2.2")
    callers.call("/thing", "alice")


def test_where_none_is_needed_the_address_is_limited_whoever_shows_one(callers: Callers) -> None:
    callers.call("/register", "alice")

    for token in ("alice", "bob", None):
        with pytest.raises(LimitExceeded):
            callers.call("/register", token)
    callers.call("/register", "alice", "192.0.2.2")


def test_who_is_exempt_is_limited_nowhere(callers: Callers) -> None:
    for _ in range(3):
        callers.call("/register", "bridge")
        callers.call("/thing", "bridge")
