"""What docs/synapse-admin.md says is answered is, with what it says of it; what it says is not answered is not."""

import re
from collections import Counter
from typing import Final

import pytest

from homeserver.http.endpoint import BoundEndpoint, Reply, Request, Surface
from homeserver.http.openapi import describe
from homeserver.http.router import Router, WrongMethod
from homeserver.http.table import ENDPOINT_CLASSES
from homeserver.services.errors import Unrecognized
from tests.conformance.operations import declared
from tests.docs.pages import read

PREFIX: Final = "/_synapse/admin/"
ROW: Final = re.compile(r"^\| `(?P<request>[A-Z]+ [^`]+)` \| (?P<told>.+) \|$", re.MULTILINE)
OTHER: Final = re.compile(r"`(?P<request>[A-Z]+ /[^`?]+)[^`]*`")

ANSWERED, _, REFUSED = read("docs/synapse-admin.md").partition("## What is not answered")


def rows_of(part: str) -> list[tuple[str, str]]:
    """The requests in the tables of a part, and what stands beside them."""
    return [(row["request"], row["told"]) for row in ROW.finditer(part)]


@pytest.fixture(scope="module")
def router() -> Router:
    """A router of everything."""

    async def nothing(_: Request[object, object]) -> Reply:
        return Reply({})

    return Router([BoundEndpoint(mark, nothing) for mark in declared()], list(Surface))


def test_every_row_is_about_one_request_of_synapse_and_stands_once() -> None:
    rows = [*rows_of(ANSWERED), *rows_of(REFUSED)]

    assert all(f" {PREFIX}" in request for request, _ in rows)
    assert [request for request, times in Counter(request for request, _ in rows).items() if times > 1] == []
    # Each row of the tables was read, but for their heads.
    assert len(rows) == sum(line.startswith("| `") for line in (ANSWERED + REFUSED).splitlines())


def test_what_is_said_to_be_answered_is_all_that_is_answered() -> None:
    assert {request for request, _ in rows_of(ANSWERED)} == {
        f"{mark.method} {path}" for mark in declared() for path in mark.paths if path.startswith(PREFIX)
    }


def test_what_is_said_of_a_request_is_what_its_endpoint_says() -> None:
    paths = describe(ENDPOINT_CLASSES, "")["paths"]
    assert isinstance(paths, dict)

    for request, told in rows_of(ANSWERED):
        method, path = request.split()
        assert told == paths[path][method.lower()]["summary"], request


def test_what_is_said_to_be_refused_is_refused(router: Router) -> None:
    rows = rows_of(REFUSED)
    assert rows

    for request, reason in rows:
        method, template = request.split()
        path = re.sub(r"{\w+}", "thing", template)
        assert reason.strip()
        with pytest.raises((Unrecognized, WrongMethod)):
            router.find(method, path.encode())


def test_what_is_to_be_asked_instead_is_answered() -> None:
    served = {f"{mark.method} {path}" for mark in declared() for path in mark.paths}
    others = {other["request"] for _, told in rows_of(REFUSED) for other in OTHER.finditer(told)}

    assert others
    assert others <= served
