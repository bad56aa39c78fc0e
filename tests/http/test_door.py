"""What happens to a request in turn; here without a network."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.core.rate_limits import RateLimit
from homeserver.http.authentication import Authentication
from homeserver.http.door import Door, administer
from homeserver.http.endpoint import ADMIN_SOCKET, Reply, Request, Surface, collect, endpoint
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.router import Router
from homeserver.runtime.clock import ManualClock
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


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("It waits")


def ask(method: str, path: str, body: dict[str, Any]) -> Any:
    limiting = RateLimiting({RateClass.GENERAL: RateLimit(per_second=1, burst=1)}, ManualClock())
    door = Door(Authentication(Tokens(), Peers(), accepts_query_tokens=False), limiting)
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
