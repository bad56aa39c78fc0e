"""The judge of what administrators ask and are answered: it finds whatever is not in the document."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from homeserver.http.openapi import describe
from tests.conformance.administration import Document
from tests.conformance.openapi import ResponseMismatch, validate_response
from tests.http.test_openapi import ThingAdminEndpoints

THINGS = "/_columba/admin/v1/things/%40bob%3Ahere?kind=odd"
THING_PATH = "/_columba/admin/v1/thing"
THING = {"size": 3, "maker": {"name": "Eve", "age": 7}}


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(json.loads(orjson.dumps(describe([ThingAdminEndpoints], "1.2.3"))))


def test_what_is_as_the_document_says_is_right(document: Document) -> None:
    for answer in (THING, {**THING, "note": "small"}, {**THING, "maker": {"name": "Eve", "age": None}}):
        assert list(document.complaints("GET", THINGS, 200, answer)) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"maker": THING["maker"]},
        {**THING, "size": "3"},
        {**THING, "note": None},
        {**THING, "colour": "red"},
        {**THING, "maker": {"name": "Eve"}},
        {**THING, "maker": {"name": "Eve", "age": 7, "shoes": 2}},
        [THING],
    ],
    ids=["lacking", "wrong", "null", "undeclared", "lacking within", "undeclared within", "no object"],
)
# Any: JSON.
def test_whatever_else_is_found(document: Document, answer: Any) -> None:
    assert list(document.complaints("GET", THINGS, 200, answer))
    assert list(document.complaints("GET", THINGS.replace("_columba", "_synapse"), 200, answer))


def test_a_part_of_an_answer_is_right_where_that_is_enough_and_nothing_that_is_no_part() -> None:
    lenient = Document(json.loads(orjson.dumps(describe([ThingAdminEndpoints], "1.2.3"))), lets_lack=True)

    assert list(lenient.complaints("GET", THINGS, 200, {"maker": {"name": "Eve"}})) == []
    for answer in ({"colour": "red"}, {"maker": {"age": "old"}}):
        assert list(lenient.complaints("GET", THINGS, 200, answer))


@pytest.mark.parametrize(
    ("error", "is_right"),
    [({"errcode": "M_FORBIDDEN", "error": "No", "why": "so"}, True), ({"errcode": "M_FORBIDDEN"}, False)],
)
def test_an_error_is_one_whatever_else_is_in_it(
    document: Document, error: Mapping[str, object], *, is_right: bool
) -> None:
    for status in (403, 404, 413, 500):
        assert (not list(document.complaints("GET", THINGS, status, error))) is is_right


def test_a_path_that_is_not_in_the_document_is_let_pass(document: Document) -> None:
    assert list(document.complaints("GET", "/_columba/admin/v1/unknown", 200, [])) == []
    assert list(document.complaints("DELETE", THINGS, 200, [])) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "is_right"),
    [
        ("GET", THINGS, None, True),
        ("GET", f"{THINGS}&from=2&tags=", None, True),
        ("GET", f"{THINGS}&to=2", None, False),
        ("GET", THINGS, {"kind": "odd"}, False),
        ("PUT", THING_PATH, {"parts": [{"size": 1}]}, True),
        ("PUT", THING_PATH, {"parts": [{"size": 1, "colour": "red"}]}, False),
        ("PUT", THING_PATH, {"parts": [], "notes": "small"}, False),
        ("PUT", THING_PATH, {"note": "small"}, False),
        ("PUT", THING_PATH, None, False),
        ("POST", THING_PATH, None, True),
        ("DELETE", THING_PATH, None, False),
    ],
)
def test_a_request_is_one_that_is_in_the_document_with_nothing_else_in_it(
    document: Document, method: str, path: str, body: object, *, is_right: bool
) -> None:
    assert (not list(document.complaints_about_request(method, path, body))) is is_right


def test_answers_of_this_server_are_judged_by_its_own_document() -> None:
    validate_response("GET", "/_columba/admin/v1/users/%40bob%3Ahere/admin", 404, {"errcode": "M", "error": "No"})

    with pytest.raises(ResponseMismatch, match="locked"):
        validate_response("GET", "/_columba/admin/v1/users/%40bob%3Ahere/lock", 200, {"locked": "no"})
