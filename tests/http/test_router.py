"""From method and path to the endpoint, and nowhere else."""

from dataclasses import dataclass

import pytest

from homeserver.http.endpoint import NONE, PlainRequest, Reply, Surface, collect, endpoint, endpoints_of
from homeserver.http.rate_limiting import RateClass
from homeserver.http.router import Router, WrongMethod
from homeserver.services.errors import InvalidParameter, Unrecognized

ALL = frozenset(Surface)


@dataclass(frozen=True)
class Rules:
    @endpoint("GET", "/_matrix/client/v3/pushrules/", auth=NONE, limit=RateClass.FREE, spec="")
    async def everything(self, _: PlainRequest) -> Reply:
        return Reply("everything")

    @endpoint("GET", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}", auth=NONE, limit=RateClass.FREE, spec="")
    @endpoint("PUT", "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}", auth=NONE, limit=RateClass.FREE, spec="")
    async def rule(self, _: PlainRequest) -> Reply:
        return Reply("rule")

    @endpoint("GET", "/_matrix/client/v3/pushrules/{scope}/{kind}/other", auth=NONE, limit=RateClass.FREE, spec="")
    async def other(self, _: PlainRequest) -> Reply:
        return Reply("other")

    @endpoint(
        "GET",
        "/_matrix/media/v3/download/{serverName}/{mediaId}",
        auth=NONE,
        limit=RateClass.FREE,
        spec="",
        also=("/_matrix/client/unstable/org.example/{serverName}/{mediaId}",),
    )
    async def download(self, _: PlainRequest) -> Reply:
        return Reply("download")


@dataclass(frozen=True)
class Doubled:
    @endpoint("GET", "/_matrix/client/v3/a/{userId}", auth=NONE, limit=RateClass.FREE, spec="")
    async def one(self, _: PlainRequest) -> Reply:
        return Reply(1)

    @endpoint("GET", "/_matrix/client/v3/a/{roomId}", auth=NONE, limit=RateClass.FREE, spec="")
    async def two(self, _: PlainRequest) -> Reply:
        return Reply(2)


@pytest.fixture
def router() -> Router:
    return Router(collect([Rules()]), ALL)


def name_of(router: Router, method: str, path: str) -> str:
    return router.find(method, path.encode())[0].mark.name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/_matrix/client/v3/pushrules/", "Rules.everything"),
        ("/_matrix/client/r0/pushrules/", "Rules.everything"),
        ("/_matrix/client/v3/pushrules/global/room/x", "Rules.rule"),
        ("/_matrix/client/v3/pushrules/global/room/other", "Rules.rule"),
        ("/_matrix/client/v3/pushrules/device/room/other", "Rules.other"),
        ("/%5Fmatrix/client/v3/pushrules/global/room/%2E", "Rules.rule"),
        ("/_matrix/media/r0/download/example.org/abc", "Rules.download"),
        ("/_matrix/media/v1/download/example.org/abc", "Rules.download"),
        ("/_matrix/client/unstable/org.example/example.org/abc", "Rules.download"),
    ],
)
def test_a_path_leads_to_its_endpoint(router: Router, path: str, name: str) -> None:
    assert name_of(router, "GET", path) == name


def test_parameters_are_decoded_after_the_path_was_split(router: Router) -> None:
    _, parameters = router.find("GET", b"/_matrix/client/v3/pushrules/global/room/%21a%2Fb%3Aexample.org")

    assert parameters == {"kind": "room", "ruleId": "!a/b:example.org"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "",
        "/_matrix",
        "/_matrix/client/v3/pushrules",
        "/_matrix/client/v3/pushrules/global/room/",
        "/_matrix/client/v3/pushrules/global/room/x/",
        "/_matrix/client/v3/pushrules/global//x",
        "/_matrix/client/v3/pushrules/device/room/x",
        "/_matrix/client/v3/../v3/pushrules/",
        "/_matrix%2Fclient/v3/pushrules/",
        "/_MATRIX/client/v3/pushrules/",
    ],
)
def test_any_other_path_is_unrecognized(router: Router, path: str) -> None:
    with pytest.raises(Unrecognized):
        router.find("GET", path.encode())


def test_a_wrong_method_is_told_the_right_ones(router: Router) -> None:
    with pytest.raises(WrongMethod) as caught:
        router.find("DELETE", b"/_matrix/client/v3/pushrules/global/room/x")

    assert caught.value.allowed == ["GET", "PUT"]


def test_head_finds_what_get_does(router: Router) -> None:
    assert name_of(router, "HEAD", "/_matrix/client/v3/pushrules/") == "Rules.everything"


def test_a_parameter_against_its_grammar_is_refused(router: Router) -> None:
    with pytest.raises(InvalidParameter, match="mediaId"):
        router.find("GET", b"/_matrix/media/v3/download/example.org/..%2Fetc")


def test_a_listener_does_not_know_what_it_does_not_serve() -> None:
    router = Router(collect([Rules()]), {Surface.CLIENT})

    assert name_of(router, "GET", "/_matrix/client/v3/pushrules/") == "Rules.everything"
    with pytest.raises(Unrecognized):
        router.find("GET", b"/_matrix/media/v3/download/example.org/abc")


def test_two_endpoints_cannot_answer_the_same_request() -> None:
    with pytest.raises(ValueError, match="Doubled"):
        Router(collect([Doubled()]), ALL)


def test_marks_are_read_from_the_class_alone() -> None:
    assert [f"{mark.method} {mark.name}" for mark in endpoints_of(Rules)] == [
        "GET Rules.everything",
        "GET Rules.rule",
        "PUT Rules.rule",
        "GET Rules.other",
        "GET Rules.download",
    ]
