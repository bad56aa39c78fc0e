"""Acts of administration: each is written down, whichever endpoint it is for, and without what is secret."""

import contextlib
from collections.abc import Coroutine
from typing import Any

import msgspec
import orjson
import pytest

from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.http.administrative_acts import CUT, LARGEST_DETAILS_BYTES, PLAIN, WITHHELD
from homeserver.http.arrival import Arrival
from homeserver.http.authentication import Authentication
from homeserver.http.door import Door
from homeserver.http.endpoint import (
    ADMIN,
    Auth,
    BoundEndpoint,
    Endpoint,
    JsonObject,
    PlainRequest,
    Reply,
    Request,
    Surface,
    collect,
    endpoint,
    endpoints_of,
    surfaces_of,
)
from homeserver.http.parameters import NotJson
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.router import Route
from homeserver.http.table import ENDPOINT_CLASSES
from homeserver.runtime.clock import ManualClock
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import Forbidden, NotFound, ServiceError
from homeserver.storage.admin_audit import End
from tests.fakes.acts import CannotBeWritten, NotedActs
from tests.http.conftest import Peers, Tokens

ROOT = UserID("@root:example.org")
EVE = "@eve:example.org"
MARKS = [mark for owner in ENDPOINT_CLASSES for mark in endpoints_of(owner)]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("It waits")


class Office:
    """A door with a book, an administrator and a user."""

    def __init__(self) -> None:
        self.acts = NotedActs()
        tokens = Tokens()
        tokens.known["root"] = Requester(ROOT, DeviceID("D"), 1, is_admin=True)
        tokens.known["eve"] = Requester(UserID(EVE), DeviceID("D"), 2)
        limiting = RateLimiting({}, ManualClock())
        self.door = Door(Authentication(tokens, Peers(), accepts_query_tokens=False), limiting, self.acts)

    def ask(
        self, route: Route, path: dict[str, str], content: object = None, token: str | None = "root", **others: Any
    ) -> Reply:
        mark = route.mark
        shown = [] if token is None else [f"Bearer {token}"]
        body = content if isinstance(content, bytes) else orjson.dumps(content or {})
        arrival = Arrival(
            mark.method, mark.path, path, others.get("query", {}), body, shown, lambda _: None, "", token is None
        )
        reply: Reply = run(self.door.answer(route, arrival))
        return reply

    def told(self) -> Any:
        """The details of the last act."""
        return orjson.loads(self.acts.acts[-1].details)


class Wish(msgspec.Struct, frozen=True):
    reason: str | msgspec.UnsetType = msgspec.UNSET
    password: str | None = None
    passphrase: str | None = None
    things: JsonObject = msgspec.field(default_factory=dict)


class Page(msgspec.Struct, frozen=True):
    limit: int = 0


class Ministry:
    """What an administrator may do, and is refused."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @endpoint(
        "PUT", "/_columba/admin/v1/x/{userId}/{token}", auth=ADMIN, limit=RateClass.FREE, spec="", query=Page, body=Wish
    )
    async def change(self, request: Request[Page, Wish]) -> Reply:
        if request.body.reason == "wrong":
            raise NotFound("No such thing")
        if request.body.reason == "broken":
            raise ZeroDivisionError
        self.done.append(request.path["userId"])
        return Reply({"access_token": "of the answer"})

    @endpoint("GET", "/_columba/admin/v1/x", auth=ADMIN, limit=RateClass.FREE, spec="")
    async def look(self, _: PlainRequest) -> Reply:
        return Reply({})


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def ministry() -> Ministry:
    return Ministry()


def routes(ministry: Ministry) -> tuple[Route, Route]:
    first, second = (Route(bound) for bound in collect([ministry]))
    return first, second


PATH = {"userId": EVE, "token": "mellon"}


def test_an_act_is_written_down_with_who_did_what_to_whom_and_how_it_ended(office: Office, ministry: Ministry) -> None:
    office.ask(routes(ministry)[0], PATH, {"reason": "spam"}, query={"limit": ["5"]})

    act = office.acts.acts[0]
    assert (act.actor, act.act, act.target) == (ROOT, "PUT /_columba/admin/v1/x/{userId}/{token}", EVE)
    assert office.told()["query"] == {"limit": 5}
    assert office.told()["body"]["reason"] == "spam"
    assert office.acts.ends == {0: End(200, None)}


def test_neither_what_is_secret_nor_what_is_not_known_not_to_be_is_told(office: Office, ministry: Ministry) -> None:
    things = {"access_token": "s3cret", "list": ["s3cret", EVE], "deep": {"password": "s3cret"}, "user_id": EVE, "n": 1}

    office.ask(routes(ministry)[0], PATH, {"password": "s3cret", "passphrase": "s3cret", "things": things})

    body = office.told()["body"]
    assert "s3cret" not in office.acts.acts[0].details
    assert "mellon" not in office.acts.acts[0].details
    assert "of the answer" not in office.acts.acts[0].details
    assert body["password"] == body["passphrase"] == WITHHELD
    assert body["things"]["list"] == [WITHHELD, EVE]
    assert body["things"]["user_id"] == EVE
    assert body["things"]["n"] == 1


def test_no_name_of_a_secret_is_among_those_that_are_told() -> None:
    assert [name for name in PLAIN if any(word in name for word in ("password", "token", "secret", "mac", "key"))] == []


def test_what_is_told_is_bounded(office: Office, ministry: Ministry) -> None:
    change = routes(ministry)[0]
    deep: dict[str, Any] = {"reason": "x"}
    for _ in range(50):
        deep = {"reason": deep}

    office.ask(change, PATH, {"reason": "x" * 100_000, "things": deep})
    long = office.told()["body"]
    office.ask(change, PATH, {"things": {f"{n}" * 100: ["x" * 500] * 500 for n in range(500)}})

    assert len(long["reason"]) < 300
    assert long["things"] == {"reason": {"reason": CUT}}
    assert all(len(act.details) <= LARGEST_DETAILS_BYTES for act in office.acts.acts)


def test_what_is_refused_or_fails_is_written_down_as_that(office: Office, ministry: Ministry) -> None:
    change = routes(ministry)[0]

    with pytest.raises(NotFound):
        office.ask(change, PATH, {"reason": "wrong"})
    with pytest.raises(ZeroDivisionError):
        office.ask(change, PATH, {"reason": "broken"})
    with pytest.raises(NotJson):
        office.ask(change, PATH, b"no JSON")

    assert list(office.acts.ends.values()) == [
        End(404, "M_NOT_FOUND"),
        End(500, "M_UNKNOWN"),
        End(400, "M_NOT_JSON"),
    ]
    assert office.told() == {"unreadable": True}
    assert ministry.done == []


def test_what_cannot_be_written_down_is_not_done(office: Office, ministry: Ministry) -> None:
    office.acts.is_broken = True

    with pytest.raises(CannotBeWritten):
        office.ask(routes(ministry)[0], PATH)

    assert ministry.done == []


def test_to_look_is_no_act_and_who_may_not_act_is_turned_away_unwritten(office: Office, ministry: Ministry) -> None:
    change, look = routes(ministry)

    office.ask(look, {})
    with pytest.raises(Forbidden):
        office.ask(change, PATH, token="eve")

    assert office.acts.acts == []


def test_the_owner_acts_by_the_socket(office: Office, ministry: Ministry) -> None:
    office.ask(routes(ministry)[0], PATH, token=None)

    assert [act.actor for act in office.acts.acts] == ["owner"]


def test_every_endpoint_of_administration_that_changes_something_is_an_act() -> None:
    theirs = [
        mark
        for mark in MARKS
        if mark.auth in (Auth.ADMIN, Auth.ADMIN_SOCKET)
        or mark.path.startswith(("/_synapse/admin/", "/_columba/admin/"))
        or surfaces_of(mark.path) == {Surface.ADMIN}
    ]

    assert len(theirs) > 10
    assert [mark.name for mark in MARKS if mark.is_act] == [mark.name for mark in theirs if mark.method != "GET"]


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark.is_act], ids=lambda mark: mark.name)
def test_no_act_of_the_table_gets_by_the_book(office: Office, mark: Endpoint) -> None:
    written: list[int] = []

    async def handler(_: Request[Any, Any]) -> Reply:
        written.append(len(office.acts.acts))
        return Reply({})

    route = Route(BoundEndpoint(mark, handler))
    path = {part[1:-1]: EVE for part in mark.path.split("/") if part.startswith("{")}
    needed = [field.encode_name for field in msgspec.structs.fields(mark.body) if field.required]
    contents = [dict.fromkeys(needed, value) for value in ("s3cret", True, 1, None)]

    for content in ({}, *contents):
        with contextlib.suppress(ProtocolError, ServiceError):
            office.ask(route, path, content, token="root" if mark.auth is Auth.ADMIN else None)

    acts = office.acts.acts
    assert {act.act for act in acts} == {f"{mark.method} {mark.path}"}
    assert {act.actor for act in acts} == {ROOT if mark.auth is Auth.ADMIN else "owner"}
    assert len(office.acts.ends) == len(acts)
    if mark.auth is Auth.NONE:
        assert len(acts) == len(written)  # what was refused there is not written down
    else:
        assert len(acts) == 1 + len(contents)
        assert 0 not in written  # nothing is done before it is written down
