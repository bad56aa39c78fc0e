"""The OpenAPI document of the administrators' API."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import msgspec
import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from homeserver.http.endpoint import (
    ADMIN,
    ADMIN_SOCKET,
    NONE,
    JsonObject,
    NoBody,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    Surface,
    endpoint,
    surfaces_of,
)
from homeserver.http.openapi import describe
from homeserver.http.rate_limiting import RateClass
from homeserver.http.table import ENDPOINT_CLASSES
from tests.conformance.operations import declared

# A document is JSON of any shape: Any throughout.


def document_of(*owners: type) -> Any:
    """The document, as it is sent."""
    return json.loads(orjson.dumps(describe(owners, "1.2.3")))


@pytest.fixture(scope="module")
def document() -> Any:
    """The document of everything."""
    return document_of(*ENDPOINT_CLASSES)


class ThingQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Which things."""

    kind: str
    begin: int = 0
    tags: list[str] = []


class Part(msgspec.Struct, frozen=True):
    """A part of a thing."""

    size: int


class ThingBody(msgspec.Struct, frozen=True):
    """What is to become of a thing."""

    parts: list[Part]
    note: str | None = None


class OptionalBody(msgspec.Struct, frozen=True):
    """What may be left out altogether."""

    note: str | None = None


@dataclass(frozen=True)
class Maker:
    """Who made a thing.

    And how old they are.
    """

    name: str
    age: int | None = None


class ThingAnswer(TypedDict):
    """A thing."""

    size: int
    maker: Maker
    note: NotRequired[str]


@dataclass(frozen=True)
class ThingAdminEndpoints:
    """Things.

    And more of them.
    """

    @endpoint(
        "GET",
        "/_columba/admin/v1/things/{userId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="a test",
        query=ThingQuery,
        also=["/_synapse/admin/v1/things/{userId}"],
    )
    async def all(self, _: Request[ThingQuery, NoBody]) -> Reply[ThingAnswer]:
        """The things of a user.

        All of them.
        """
        return Reply({"size": 3, "maker": Maker("Eve")})

    @endpoint(
        "PUT", "/_columba/admin/v1/thing", auth=ADMIN_SOCKET, limit=RateClass.GENERAL, spec="a test", body=ThingBody
    )
    async def put(self, _: Request[NoQuery, ThingBody]) -> Reply:
        """Change a thing."""
        return Reply({})

    @endpoint("POST", "/_columba/admin/v1/thing", auth=ADMIN, limit=RateClass.GENERAL, spec="a test", body=OptionalBody)
    async def add(self, _: Request[NoQuery, OptionalBody]) -> Reply:
        """Add a thing."""
        return Reply({})

    @endpoint("PUT", "/_columba/admin/v1/any", auth=ADMIN, limit=RateClass.GENERAL, spec="a test", body=JsonObject)
    async def put_any(self, _: Request[NoQuery, JsonObject]) -> Reply:
        """Keep anything."""
        return Reply({})

    @endpoint("GET", "/_columba/admin/v1/nonce", auth=NONE, limit=RateClass.GENERAL, spec="a test")
    async def nonce(self, _: PlainRequest) -> Reply:
        """A nonce for anybody."""
        return Reply({})

    @endpoint("GET", "/_matrix/client/v3/things", auth=ADMIN, limit=RateClass.GENERAL, spec="a test")
    async def of_clients(self, _: PlainRequest) -> Reply:
        """What the specification describes."""
        return Reply({})


@pytest.fixture(scope="module")
def things() -> Any:
    """The document of one class."""
    return document_of(ThingAdminEndpoints)


def test_the_document_is_openapi(document: Any, things: Any) -> None:
    for each in (document, things):
        assert list(OpenAPIV31SpecValidator(each).iter_errors()) == []


def test_the_validator_finds_what_is_wrong(things: Any) -> None:
    broken = json.loads(json.dumps(things))
    del broken["paths"]["/_columba/admin/v1/things/{userId}"]["get"]["parameters"]

    assert list(OpenAPIV31SpecValidator(broken).iter_errors())


def test_every_administrators_route_is_described_and_nothing_else(document: Any) -> None:
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}

    assert described == {
        f"{mark.method} {path}" for mark in declared() for path in mark.paths if surfaces_of(path) == {Surface.ADMIN}
    }


def test_every_operation_says_in_a_line_what_it_does(document: Any) -> None:
    named = {tag["name"] for tag in document["tags"]}
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"].endswith("."), operation["operationId"]
            # It stands alone there.
            assert not re.match("The same|As above|How far (that|it) is", operation["summary"]), operation[
                "operationId"
            ]
            assert set(operation["tags"]) <= named


def test_no_two_bodies_have_one_name(document: Any) -> None:
    # Else the document tells them apart by the modules that they are of.
    assert [name for name in document["components"]["schemas"] if not name.isalnum()] == []


def test_every_operation_says_what_it_answers(document: Any) -> None:
    of_any_shape = {
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
        if answer_of(operation) == {"type": "object"}
    }

    assert of_any_shape == {"get_columba_admin_v1_openapi_json"}


def test_each_path_of_an_endpoint_is_an_operation(things: Any) -> None:
    assert set(things["paths"]) == {
        "/_columba/admin/v1/any",
        "/_columba/admin/v1/nonce",
        "/_columba/admin/v1/thing",
        "/_columba/admin/v1/things/{userId}",
        "/_synapse/admin/v1/things/{userId}",
    }
    assert things["tags"] == [{"name": "thing", "description": "Things."}]
    operation = things["paths"]["/_synapse/admin/v1/things/{userId}"]["get"]
    assert operation["operationId"] == "get_synapse_admin_v1_things_userId"
    assert operation["summary"] == "The things of a user."


def test_what_a_path_and_a_query_hold_are_parameters(things: Any) -> None:
    operation = things["paths"]["/_columba/admin/v1/things/{userId}"]["get"]

    assert [(each["in"], each["name"], each["required"]) for each in operation["parameters"]] == [
        ("path", "userId", True),
        ("query", "kind", True),
        ("query", "from", False),
        ("query", "tags", False),
    ]
    assert operation["parameters"][2]["schema"] == {"type": "integer", "default": 0}
    assert operation["parameters"][3]["schema"]["items"] == {"type": "string"}
    assert "requestBody" not in operation


def test_a_body_is_described_with_all_that_is_in_it(things: Any) -> None:
    schemas = things["components"]["schemas"]

    assert body_of(things["paths"]["/_columba/admin/v1/thing"]["put"]) == (
        True,
        {"$ref": "#/components/schemas/ThingBody"},
    )
    assert schemas["ThingBody"]["required"] == ["parts"]
    assert schemas["ThingBody"]["properties"]["parts"]["items"] == {"$ref": "#/components/schemas/Part"}
    assert "Part" in schemas
    assert "ThingQuery" not in schemas


def test_a_body_that_may_be_left_out_is_not_required(things: Any) -> None:
    assert body_of(things["paths"]["/_columba/admin/v1/thing"]["post"])[0] is False
    assert body_of(things["paths"]["/_columba/admin/v1/any"]["put"]) == (False, {"type": "object"})


def test_an_answer_is_described_with_all_that_is_in_it(things: Any) -> None:
    schemas = things["components"]["schemas"]

    assert answer_of(things["paths"]["/_columba/admin/v1/things/{userId}"]["get"]) == {
        "$ref": "#/components/schemas/ThingAnswer"
    }
    assert schemas["ThingAnswer"]["required"] == ["maker", "size"]
    assert schemas["ThingAnswer"]["properties"]["maker"] == {"$ref": "#/components/schemas/Maker"}
    assert schemas["ThingAnswer"]["properties"]["note"] == {"type": "string"}


def test_what_is_said_of_a_type_has_no_margin(things: Any) -> None:
    assert things["components"]["schemas"]["Maker"]["description"] == "Who made a thing.\n\nAnd how old they are."


def test_what_is_answered_is_there_whatever_it_is_by_default(things: Any) -> None:
    schemas = things["components"]["schemas"]

    assert schemas["Maker"]["required"] == ["name", "age"]
    assert "default" not in schemas["Maker"]["properties"]["age"]
    assert "default" in schemas["ThingBody"]["properties"]["note"]


def test_of_an_answer_without_a_shape_it_is_said_that_it_is_an_object(things: Any) -> None:
    assert answer_of(things["paths"]["/_columba/admin/v1/nonce"]["get"]) == {"type": "object"}


def answer_of(operation: Any) -> Mapping[str, Any]:
    """The schema of what comes when all is well."""
    schema: Mapping[str, Any] = operation["responses"]["2XX"]["content"]["application/json"]["schema"]
    return schema


def body_of(operation: Any) -> tuple[bool, Mapping[str, Any]]:
    """Whether a body is required, and its schema."""
    body = operation["requestBody"]
    return body["required"], body["content"]["application/json"]["schema"]


def test_who_may_call_is_said(things: Any) -> None:
    assert things["security"] == [{"accessToken": []}]
    assert "security" not in things["paths"]["/_columba/admin/v1/thing"]["post"]
    assert things["paths"]["/_columba/admin/v1/nonce"]["get"]["security"] == []
    assert things["paths"]["/_columba/admin/v1/thing"]["put"]["security"] == []
    assert things["paths"]["/_columba/admin/v1/thing"]["put"]["x-columba-auth"] == ADMIN_SOCKET.value


def test_what_reads_nothing_has_nothing_to_say_of_it(things: Any) -> None:
    assert "400" not in things["paths"]["/_columba/admin/v1/nonce"]["get"]["responses"]
    assert "401" not in things["paths"]["/_columba/admin/v1/nonce"]["get"]["responses"]
    assert "400" in things["paths"]["/_columba/admin/v1/thing"]["put"]["responses"]


def test_the_document_names_the_version(things: Any) -> None:
    assert things["info"]["version"] == "1.2.3"
