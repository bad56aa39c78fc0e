"""The reader of OpenAPI files: on a small made-up specification, then on the real one's own examples."""

from pathlib import Path

import pytest

from tests.conformance.openapi import ResponseMismatch, Specification, specification

SMALL = """
openapi: 3.1.0
servers:
  - url: "{protocol}://{hostname}{basePath}"
    variables:
      basePath: {default: /_matrix/client/v3}
paths:
  "/rooms/{roomId}/invite ":
    post:
      operationId: inviteByAddress
      security: [{accessTokenBearer: []}]
      responses:
        200: {description: Invited., content: {application/json: {schema: {type: object, required: [address]}}}}
  /rooms/{roomId}/invite:
    post:
      operationId: invite
      security: [{accessTokenBearer: []}]
      responses:
        "200": {description: Invited., content: {application/json: {schema: {type: object, maxProperties: 0}}}}
  /rooms/{roomId}/state/{eventType}/{stateKey}:
    get:
      operationId: getState
      deprecated: true
      responses:
        "200":
          description: The event.
          content:
            application/json:
              schema: {$ref: definitions/event.yaml}
              examples: {response: {value: {$ref: definitions/example.json, type: m.room.name}}}
        "401": {$ref: "#/components/responses/forbidden"}
        "403": {$ref: "#/components/responses/forbidden"}
  /rooms/list/state/{eventType}/{stateKey}:
    get:
      operationId: literal
      responses: {"200": {description: Anything.}}
components:
  responses:
    forbidden:
      description: No.
      content: {application/json: {schema: {type: object, required: [reason]}}}
"""
EVENT = """
type: object
required: [type, sent]
properties:
  type: {type: string}
  sent: {$ref: "parts/time.yaml#/components/time"}
  before: {$ref: event.yaml}
"""


@pytest.fixture
def small(tmp_path: Path) -> Specification:
    api = tmp_path / "data" / "api" / "client-server"
    (api / "definitions" / "parts").mkdir(parents=True)
    (api / "rooms.yaml").write_text(SMALL, encoding="utf-8")
    (api / "definitions" / "event.yaml").write_text(EVENT, encoding="utf-8")
    (api / "definitions" / "parts" / "time.yaml").write_text("components: {time: {type: string}}", encoding="utf-8")
    (api / "definitions" / "example.json").write_text('{"type": "x", "sent": "2026-11-01"}', encoding="utf-8")
    return Specification(tmp_path)


STATE = "/_matrix/client/v3/rooms/!a:b/state/m.room.name/"


def test_a_path_begins_with_the_base_path_and_loses_a_trailing_space(small: Specification) -> None:
    assert {(each.method, each.path, each.operation_id) for each in small.operations} == {
        ("POST", "/_matrix/client/v3/rooms/{roomId}/invite", "inviteByAddress"),
        ("POST", "/_matrix/client/v3/rooms/{roomId}/invite", "invite"),
        ("GET", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}", "getState"),
        ("GET", "/_matrix/client/v3/rooms/list/state/{eventType}/{stateKey}", "literal"),
    }


def test_an_operation_knows_who_may_call_it_and_whether_it_is_deprecated(small: Specification) -> None:
    by_name = {each.operation_id: each for each in small.operations}

    assert by_name["invite"].auth == ("accessTokenBearer",)
    assert by_name["getState"].auth == ("none",)
    assert (by_name["invite"].deprecated, by_name["getState"].deprecated) == (False, True)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/_matrix/client/v3/rooms/!a:b/state/m.room.name/", "getState"),
        ("/_matrix/client/v3/rooms/!a:b/state/m.room.name", "getState"),
        ("/_matrix/client/r0/rooms/!a:b/state/m.room.name/key?access_token=x", "getState"),
        ("/_matrix/client/v3/rooms/%21a%3Ab/state/m.room%2Fname/a%2Fb", "getState"),
        ("/_matrix/client/v3/rooms/l%69st/state/m.room.name/", "literal"),
    ],
)
def test_a_request_is_found_by_its_path(small: Specification, path: str, found: str) -> None:
    assert [each.operation_id for each in small.find("get", path)] == [found]


def test_a_response_is_judged_across_files(small: Specification) -> None:
    small.validate_response("GET", STATE, 200, {"type": "a", "sent": "b", "before": {"type": "c", "sent": "d"}})

    with pytest.raises(ResponseMismatch, match=r"\$\.before\.sent: 1 is not of type 'string'"):
        small.validate_response("GET", STATE, 200, {"type": "a", "sent": "b", "before": {"type": "c", "sent": 1}})


def test_operations_that_share_a_path_share_their_responses(small: Specification) -> None:
    path = "/_matrix/client/v3/rooms/!a:b/invite"

    small.validate_response("POST", path, 200, {})
    small.validate_response("POST", path, 200, {"address": "a@example.org"})
    with pytest.raises(ResponseMismatch):
        small.validate_response("POST", path, 200, {"other": 1})


def test_a_response_may_be_described_elsewhere_in_the_file(small: Specification) -> None:
    small.validate_response("GET", STATE, 403, {"errcode": "M_FORBIDDEN", "reason": "r"})

    with pytest.raises(ResponseMismatch, match="'reason' is a required property"):
        small.validate_response("GET", STATE, 403, {"errcode": "M_FORBIDDEN"})


def test_an_error_that_is_not_described_still_needs_its_errcode(small: Specification) -> None:
    small.validate_response("GET", STATE, 429, {"errcode": "M_LIMIT_EXCEEDED"})
    small.validate_response("POST", "/_matrix/client/v3/rooms/!a:b/invite", 401, {"flows": [], "session": "s"})

    with pytest.raises(ResponseMismatch, match="an error has an errcode"):
        small.validate_response("GET", STATE, 429, {"error": "Slow down"})


def test_a_token_may_be_asked_for_wherever_an_answer_to_the_unknown_is_described(small: Specification) -> None:
    small.validate_response("GET", STATE, 401, {"errcode": "M_MISSING_TOKEN", "error": "Who is there?"})

    with pytest.raises(ResponseMismatch, match="'reason' is a required property"):
        small.validate_response("GET", STATE, 401, {"errcode": "M_UNAUTHORIZED", "error": "Not you"})


def test_a_success_that_is_not_described_is_refused(small: Specification) -> None:
    with pytest.raises(ResponseMismatch, match="getState has no response 201"):
        small.validate_response("GET", STATE, 201, {})


def test_a_path_that_the_specification_does_not_know_is_let_pass(small: Specification) -> None:
    small.validate_response("GET", "/_columba/health", 200, "whatever")


def test_an_example_is_written_out_and_a_date_stays_text(small: Specification) -> None:
    operation = next(each for each in small.operations if each.operation_id == "getState")

    assert list(small.response_examples(operation)) == [(200, {"type": "m.room.name", "sent": "2026-11-01"})]


@pytest.fixture(scope="module")
def spec() -> Specification:
    known = specification()
    if known is None:
        pytest.skip("MATRIX_SPEC_DIR is not set: the reader is not tried on the specification itself")
    return known


def test_every_example_of_the_specification_is_what_the_specification_says(spec: Specification) -> None:
    judged = 0

    for operation in spec.operations:
        for status, example in spec.response_examples(operation):
            spec.validate_response(operation.method, operation.path, status, example)
            judged += 1

    assert judged > 200


def test_most_examples_are_refused_once_a_required_key_is_gone(spec: Specification) -> None:
    refused = set()

    for operation in spec.operations:
        for status, example in spec.response_examples(operation):
            for key in example if isinstance(example, dict) else ():
                try:
                    spec.validate_response(operation.method, operation.path, status, {**example, key: 17.5})
                except ResponseMismatch:
                    refused.add(operation.operation_id)

    assert len(refused) > 100
