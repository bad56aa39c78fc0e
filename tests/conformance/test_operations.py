"""The table of endpoints against the specification's list of operations."""

import pytest

from tests.conformance.openapi import Specification, specification
from tests.conformance.operations import OWN_PATHS, declared, nameless, not_yet, served, shape, specified


def test_every_operation_is_served_or_named_as_missing() -> None:
    answered = served(declared())
    missing = set(not_yet())

    assert [each.key for each in specified() if shape(each.method, each.path) not in answered | _shapes(missing)] == []


def test_nothing_that_is_served_is_named_as_missing() -> None:
    answered = served(declared())

    stale = [line for line in not_yet() if _shapes({line}) & answered]

    assert stale == [], "Run: .venv/bin/python -m tests.conformance.operations"


def test_what_is_named_as_missing_is_in_the_specification() -> None:
    assert set(not_yet()) - {each.key for each in specified()} == set()


def test_every_endpoint_is_in_the_specification_or_named_as_ours() -> None:
    known = {shape(each.method, each.path) for each in specified()}
    ours = tuple(OWN_PATHS)

    unknown = [
        f"{mark.method} {mark.path} ({mark.name})"
        for mark in declared()
        if shape(mark.method, mark.path) not in known
        and not nameless(mark.path).startswith(ours)
        and mark.path != "/"  # the page for people with a browser
    ]

    assert unknown == []


def test_no_two_endpoints_answer_the_same_path() -> None:
    shapes = [shape(mark.method, path) for mark in declared() for path in mark.paths]

    assert sorted({each for each in shapes if shapes.count(each) > 1}) == []


def test_an_endpoint_asks_for_a_token_where_the_specification_does() -> None:
    wants_token = {shape(each.method, each.path): "none" not in each.auth for each in specified()}

    open_doors = [
        f"{mark.method} {mark.path} ({mark.name})"
        for mark in declared()
        if wants_token.get(shape(mark.method, mark.path))
        and mark.auth.name in ("NONE", "OPTIONAL_TOKEN")
        # Its prose allows what its declaration does not: asking without a token about rooms that are open to all.
        and mark.path != "/_matrix/client/v1/room_summary/{roomIdOrAlias}"
    ]

    assert open_doors == []


@pytest.fixture(scope="module")
def spec() -> Specification:
    known = specification()
    if known is None:
        pytest.skip("MATRIX_SPEC_DIR is not set: the list of operations is not compared with the specification")
    return known


def test_the_list_of_operations_is_that_of_the_specification(spec: Specification) -> None:
    ours = {(each.method, each.path, each.operation_id, each.deprecated) for each in specified()}
    theirs = {(each.method, each.path, each.operation_id, each.deprecated) for each in spec.operations}

    assert ours == theirs


def _shapes(keys: set[str]) -> set[str]:
    return {shape(*key.split(" ", 1)) for key in keys}
