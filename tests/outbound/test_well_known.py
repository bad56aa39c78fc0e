"""Delegations: what is fetched, what is believed, and for how long it is kept."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.outbound.errors import RemoteError, RemoteNonsense, Unreachable
from homeserver.outbound.exchange import Answer, Ask
from homeserver.outbound.routes import Route
from homeserver.outbound.well_known import (
    FETCH_S,
    FIRST_ERROR_MS,
    HOSTS_KEPT,
    LONGEST_ERROR_MS,
    LONGEST_MS,
    MOST_BYTES,
    MOST_REDIRECTS,
    SHORTEST_MS,
    USUAL_MS,
    WellKnown,
)
from homeserver.runtime.clock import ManualClock
from tests.outbound.https_servers import Outside, answering, json_answer

GOOD = json.dumps({"m.server": "matrix.example.org:443"}).encode()


def answer(body: bytes = GOOD, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def redirect(location: str, status: int = 302) -> Answer:
    return answer(b"", status, location=location)


@dataclass
class Web:
    """Pages by their URL. What is not there is not found."""

    pages: dict[str, Answer | RemoteError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    asks: list[tuple[Route, Ask]] = field(default_factory=list)
    waits_for: Deferred[None] | None = None

    async def send(self, route: Route, ask: Ask) -> Answer:
        self.asks.append((route, ask))
        self.asked.append(f"https://{route.host_header}{ask.uri}")
        if self.waits_for is not None:
            await self.waits_for
        page = self.pages.get(self.asked[-1], answer(b"not found", 404))
        if isinstance(page, RemoteError):
            raise page
        return page


URL = "https://example.org/.well-known/matrix/server"


class World:
    """A well-known of which the test turns the clock."""

    def __init__(self, hosts_kept: int = HOSTS_KEPT) -> None:
        self.web = Web()
        self.clock = ManualClock()
        self.well_known = WellKnown(self.web, self.clock, hosts_kept=hosts_kept)

    def begin(self, host: str = "example.org") -> list[Any]:
        """Look for a delegation; what is found, and any failure, gets into the list."""
        results: list[Any] = []
        Deferred.fromCoroutine(self.well_known.find(host)).addBoth(results.append)
        return results

    def find(self, host: str = "example.org") -> str | None:
        """What is found."""
        [result] = self.begin(host)
        assert result is None or isinstance(result, str), result
        return result

    def has_kept_for(self, kept_ms: int) -> bool:
        """True if what was found is kept for just so long."""
        self.find()
        asked = len(self.web.asked)
        self.clock.advance(kept_ms / 1000 - 1)
        self.find()
        was_kept = len(self.web.asked) == asked
        self.clock.advance(1)
        self.find()
        return was_kept and len(self.web.asked) > asked


@pytest.fixture
def world() -> World:
    """A world without pages."""
    return World()


def test_a_delegation_is_fetched_over_https_from_the_host(world: World) -> None:
    world.web.pages[URL] = answer()

    found = world.find()

    [(route, ask)] = world.web.asks
    assert found == "matrix.example.org:443"
    assert route == Route("example.org", "example.org", (("example.org", 443),))
    assert (ask.method, ask.uri, ask.body, ask.most_bytes) == ("GET", "/.well-known/matrix/server", None, MOST_BYTES)
    assert "Authorization" not in ask.headers


@pytest.mark.parametrize("server", ["matrix.example.org", "1.2.3.4", "[2001:db8::1]:8448", "example.org"])
def test_every_kind_of_server_name_is_believed(world: World, server: str) -> None:
    world.web.pages[URL] = answer(json.dumps({"m.server": server, "other": 1}).encode(), content_type="text/html")

    assert world.find() == server


@pytest.mark.parametrize(
    "page",
    [
        answer(b"not found", 404),
        answer(GOOD, 500),
        answer(GOOD, 204),
        answer(GOOD, 301),
        answer(b""),
        answer(b"<html>"),
        answer(b"[]"),
        answer(b"{}"),
        answer(b'{"m.server": null}'),
        answer(b'{"m.server": 1}'),
        answer(b'{"m.server": ["matrix.example.org"]}'),
        answer(b'{"m.server": ""}'),
        answer(b'{"m.server": "https://matrix.example.org/"}'),
        answer(b'{"m.server": "matrix.example.org/path"}'),
        answer(b'{"m.server": "matrix.example.org:99999"}'),
        answer(b'{"m.server": "matrix.example.org:0"}'),
        answer(b'{"m.server": "matrix.example.org:-1"}'),
        answer(b'{"m.server": "user@matrix.example.org"}'),
        answer(b'{"m.server": "matrix.example.org\\u0000"}'),
        answer(b'{"m.server": "m\xc3\xa4trix.example.org"}'),
        answer(b'{"m.server": "[::1"}'),
        answer(b'{"m.server": "a:' + b"1" * 40_000 + b'"}'),
        answer(b'{"m.server": ' + b"1" * 40_000 + b"}"),
        answer(b"[" * 50_000),
        Unreachable("no"),
        RemoteNonsense("too large"),
    ],
)
def test_anything_else_is_no_delegation(world: World, page: Answer | RemoteError) -> None:
    world.web.pages[URL] = page

    assert world.find() is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://www.example.org/a/b?c=d", "https://www.example.org/a/b?c=d"),
        ("https://www.example.org:8443", "https://www.example.org:8443/"),
        ("/other", "https://example.org/other"),
        ("other", "https://example.org/.well-known/matrix/other"),
        ("//www.example.org/x#part", "https://www.example.org/x"),
        ("https:///x", "https://example.org/x"),
        ("HTTPS://www.example.org/", "https://www.example.org/"),
        ("https://1.2.3.4/", "https://1.2.3.4/"),
        ("https://[2001:db8::1]:444/", "https://[2001:db8::1]:444/"),
    ],
)
def test_a_redirect_is_followed(world: World, status: int, location: str, target: str) -> None:
    world.web.pages |= {URL: redirect(location, status), target: answer()}

    assert world.find() == "matrix.example.org:443"
    assert world.web.asked == [URL, target]


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/.well-known/matrix/server",
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://127.0.0.1:70/_x",
        "https://user:password@example.org/",
        "https://",
        "https://[::1/",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org:port/",
        "https://ex ample.org/",
        "https://m\u00e4trix.example.org/",
        "https://example.org\\@127.0.0.1/",
        "https://[v1.x]/",
        "https://example.org:" + "1" * 10_000,
        "\x00",
    ],
)
def test_a_redirect_to_anything_but_a_plain_https_address_is_not_followed(world: World, location: str) -> None:
    world.web.pages[URL] = redirect(location)

    assert world.find() is None
    assert set(world.web.asked) <= {URL, "https://example.org/.well-known/matrix/\x00"}


def test_redirects_are_followed_so_often_and_no_more(world: World) -> None:
    for number in range(MOST_REDIRECTS):
        world.web.pages[f"https://example.org/{number}"] = redirect(f"/{number + 1}")
    world.web.pages[URL] = redirect("/0")
    world.web.pages[f"https://example.org/{MOST_REDIRECTS - 1}"] = answer()
    enough = world.find()

    world.web.pages["https://example.com/.well-known/matrix/server"] = redirect(
        "https://example.com/.well-known/matrix/server"
    )
    too_many = world.find("example.com")

    assert (enough, too_many) == ("matrix.example.org:443", None)
    assert len(world.web.asked) == 2 * (1 + MOST_REDIRECTS)


def test_a_server_that_is_slow_about_it_is_not_waited_for(world: World) -> None:
    world.web.waits_for = Deferred()
    results = world.begin()

    world.clock.advance(FETCH_S)

    assert results == [None]


def test_several_who_want_to_know_the_same_ask_once(world: World) -> None:
    world.web.pages[URL] = answer()
    world.web.waits_for = Deferred()
    waiting = [world.begin() for _ in range(3)]

    world.web.waits_for.callback(None)

    assert waiting == [["matrix.example.org:443"]] * 3
    assert world.web.asked == [URL]


@pytest.mark.parametrize(
    ("headers", "kept_ms"),
    [
        ({}, USUAL_MS),
        ({"cache_control": "max-age=3600"}, 3_600_000),
        ({"cache_control": 'public, MAX-AGE="3600"'}, 3_600_000),
        ({"cache_control": "max-age=3600", "expires": "Tue, 14 Nov 2023 22:13:20 GMT"}, 3_600_000),
        ({"cache_control": "public"}, USUAL_MS),
        ({"cache_control": "max-age=0"}, SHORTEST_MS),
        ({"cache_control": "max-age=-1"}, USUAL_MS),
        ({"cache_control": "no-store"}, SHORTEST_MS),
        ({"cache_control": "no-cache, max-age=3600"}, SHORTEST_MS),
        ({"cache_control": "max-age=" + "9" * 10_000}, LONGEST_MS),
        ({"cache_control": "max-age=9999999"}, LONGEST_MS),
        ({"cache_control": "s-max-age=3600"}, USUAL_MS),
        ({"expires": "Tue, 14 Nov 2023 23:13:20 GMT"}, 3_600_000),
        ({"expires": "Tue, 14 Nov 2023 23:13:20 -0000"}, 3_600_000),
        ({"expires": "Fri, 01 Jan 2100 00:00:00 GMT"}, LONGEST_MS),
        ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, SHORTEST_MS),
        ({"expires": "0"}, SHORTEST_MS),
        ({"expires": "Fri, 01 Jan 99999999 00:00:00 GMT"}, SHORTEST_MS),
        ({"expires": "1" * 10_000}, SHORTEST_MS),
    ],
)
def test_a_delegation_is_kept_as_long_as_its_host_says_within_bounds(
    world: World, headers: dict[str, str], kept_ms: int
) -> None:
    world.web.pages[URL] = answer(GOOD, 200, **headers)

    assert world.has_kept_for(kept_ms)


def test_that_there_is_none_is_kept_too_and_longer_each_time(world: World) -> None:
    kept_ms = FIRST_ERROR_MS
    for _ in range(20):
        assert world.has_kept_for(kept_ms)
        kept_ms = min(2 * kept_ms, LONGEST_ERROR_MS)


def test_after_a_success_errors_are_short_again(world: World) -> None:
    for _ in range(5):
        world.find()
        world.clock.advance(LONGEST_ERROR_MS / 1000)
    world.web.pages[URL] = answer()
    world.find()
    world.clock.advance(USUAL_MS / 1000)

    del world.web.pages[URL]

    assert world.has_kept_for(FIRST_ERROR_MS)


@pytest.mark.parametrize("problem", [Unreachable("no"), answer(b"", 503)])
def test_a_passing_problem_does_not_end_a_delegation_at_once(world: World, problem: Answer | RemoteError) -> None:
    world.web.pages[URL] = answer()
    world.find()
    world.web.pages[URL] = problem

    world.clock.advance(USUAL_MS / 1000)
    soon = world.find()
    world.clock.advance((LONGEST_MS - USUAL_MS) / 1000)
    late = world.find()

    assert (soon, late) == ("matrix.example.org:443", None)


@pytest.mark.parametrize("page", [answer(b"", 404), answer(b"{}"), RemoteNonsense("too large")])
def test_a_host_that_takes_its_delegation_back_is_believed(world: World, page: Answer | RemoteError) -> None:
    world.web.pages[URL] = answer()
    world.find()
    world.web.pages[URL] = page

    world.clock.advance(USUAL_MS / 1000)

    assert world.find() is None


def test_a_delegation_to_a_server_that_does_not_answer_is_asked_for_again_within_the_hour(world: World) -> None:
    world.web.pages[URL] = answer()
    world.find()
    world.web.pages[URL] = answer(b'{"m.server": "new.example.org"}')

    world.well_known.doubt("example.org")
    world.well_known.doubt("unknown.example")
    at_once = world.find()
    world.clock.advance(3_600)

    assert (at_once, world.find()) == ("matrix.example.org:443", "new.example.org")


def test_of_very_many_hosts_those_are_remembered_that_were_asked_for_last() -> None:
    world = World(hosts_kept=2)

    for host in ("a.example", "b.example", "a.example", "c.example", "a.example", "b.example"):
        world.find(host)

    assert [url.split("/")[2] for url in world.web.asked] == ["a.example", "b.example", "c.example", "b.example"]


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (json_answer(GOOD), "matrix.example.org:443"),
        (json_answer(GOOD + b" " * MOST_BYTES), None),
        (json_answer(b"1" * 1_000_000), None),
    ],
)
def test_over_real_connections_it_is_the_same(outside: Outside, page: bytes, found: str | None) -> None:
    server = outside.serve(answering(page), "example.org")
    outside.names.hosts["example.org"] = ["127.0.0.1"]

    class ToTheServer:
        """Connects to the test's port instead of 443, where no test may listen."""

        async def send(self, route: Route, ask: Ask) -> Answer:
            assert route.targets == (("example.org", 443),)
            moved = Route(route.host_header, route.certificate_name, (("example.org", server.port),))
            return await outside.https.send(moved, ask)

    assert outside.wait(WellKnown(ToTheServer(), outside.clock).find("example.org")) == found
    assert server.received[0].headers["host"] == "example.org"


def test_a_host_may_be_asked_by_whoever_wants_its_word_now() -> None:
    world = World()
    world.web.pages[URL] = answer()
    world.find()
    world.web.pages[URL] = answer(b"{}")
    failures: list[Any] = []

    Deferred.fromCoroutine(world.well_known.ask("example.org")).addErrback(failures.append)

    assert [failure.type for failure in failures] == [RemoteNonsense]
    assert world.find() == "matrix.example.org:443"
