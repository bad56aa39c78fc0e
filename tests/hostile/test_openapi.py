"""Every operation of the specification that is served, under the requests that its OpenAPI file brings forth.

The files are read as they are: the base path stands in `servers`, path parameters come percent-encoded, and the space
at the end of a path is cut off.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import punctuation
from typing import Any, Final
from urllib.parse import quote, urlencode
from zlib import crc32

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.conformance.openapi import specification
from tests.conformance.operations import SpecifiedOperation, declared, served, shape, specified
from tests.conftest import LargeRun
from tests.hostile.conftest import SETTINGS, UNHURRIED, judging
from tests.hostile.declared import NEVER_WAITED, authorization, plain_draft
from tests.hostile.judgement import Judge
from tests.hostile.tables import SQLiteTables
from tests.hostile.wire import Sent
from tests.server import running

EVERYDAY: Final = 3
SAMPLE: Final = 15
WHOLE: Final = 300
SEED: Final = 17  # the everyday run is the same every day

# What the wire writes itself, or what says who asks.
OWN_HEADERS: Final = frozenset({"authorization", "host", "content-length", "transfer-encoding", "connection", "expect"})

ANSWERED: Final = served(declared())
# Known without the files.
SERVED: Final = tuple(each for each in specified() if shape(each.method, each.path) in ANSWERED)

# Any: schemathesis has types of its own for each kind of API, and what it generates is JSON.
Operations = Mapping[str, Any]


@pytest.fixture(scope="module")
def operations() -> Operations:
    """The operations of the OpenAPI files, as schemathesis reads them, by their IDs."""
    if specification() is None:
        pytest.skip("MATRIX_SPEC_DIR is not set: there are no OpenAPI files to make requests from")
    files = sorted((Path(os.environ["MATRIX_SPEC_DIR"]) / "data" / "api" / "client-server").glob("*.yaml"))
    found = {}
    for file in files:
        for read in schemathesis.openapi.from_path(file).get_all_operations():
            assert isinstance(read, Ok), (file, read)
            found[read.ok().definition.raw["operationId"]] = read.ok()
    return found


@pytest.fixture(scope="module")
def lonely_judge() -> Iterator[Judge]:
    """A judge over a server that calls no other: what the files give as examples are real servers."""
    settings = {**SETTINGS, "federation": {"enabled": False}}
    with running(settings=settings, program=UNHURRIED) as server:
        yield from judging(server, SQLiteTables(server.sqlite_file))


@pytest.fixture
def judge(lonely_judge: Judge) -> Judge:
    lonely_judge.begin()
    return lonely_judge


every_operation = pytest.mark.parametrize("named", SERVED, ids=lambda each: each.operation_id)


@every_operation
def test_what_the_specification_does_not_allow_is_refused(
    named: SpecifiedOperation, operations: Operations, judge: Judge
) -> None:
    modes = [GenerationMode.NEGATIVE, GenerationMode.POSITIVE]

    _besiege(named, operations[named.operation_id], modes, judge, examples=EVERYDAY, number=SEED)

    judge.conclude()


@pytest.mark.large
@every_operation
def test_whatever_the_specification_brings_forth_is_answered(
    named: SpecifiedOperation, operations: Operations, judge: Judge, large_run: LargeRun
) -> None:
    examples = WHOLE if large_run.whole else SAMPLE

    for modes in ([GenerationMode.POSITIVE], [GenerationMode.NEGATIVE, GenerationMode.POSITIVE]):
        _besiege(named, operations[named.operation_id], modes, judge, examples=examples, number=large_run.seed)

    judge.conclude()


def _besiege(
    named: SpecifiedOperation,
    operation: Any,
    modes: list[GenerationMode],
    judge: Judge,
    *,
    examples: int,
    number: int,
) -> None:
    """Send requests in the first mode that brings forth any: some operations have nothing that can be wrong."""
    first, *others = modes

    # As in test_declared.py: a fault is told with its request instead of being made smaller.
    @seed(number ^ crc32(named.operation_id.encode()))
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=first), st.booleans())
    def send(case: Any, has_known_path: bool) -> None:
        judge.send(_sent(named, operation, case, judge, has_known_path=has_known_path))

    try:
        send()
    except Unsatisfiable:
        if others:
            _besiege(named, operation, others, judge, examples=examples, number=number)


def _sent(named: SpecifiedOperation, operation: Any, case: Any, judge: Judge, *, has_known_path: bool) -> Sent:
    parts = case.as_transport_kwargs(base_url=judge.cast.url)
    if has_known_path:
        target = plain_draft(named.method, named.path).addressed(judge.cast).target
    else:
        base = operation.schema.base_path.rstrip("/")
        # A list in the place of a path parameter is formatted as it is, whatever letters are in it.
        target = quote(base + case.formatted_path.rstrip(" "), safe=punctuation, errors="surrogatepass").encode()
    query = {name: value for name, value in parts["params"].items() if name != NEVER_WAITED}
    if query:
        target += b"?" + urlencode(query, doseq=True, errors="surrogatepass").encode()
    return Sent(named.method, target, _headers(parts["headers"], judge), _body(parts))


def _headers(generated: Mapping[str, Any], judge: Judge) -> tuple[tuple[bytes, bytes], ...]:
    headers = authorization("self", judge.cast)
    for name, value in generated.items():
        line = f"{name}: {value}"
        if name.lower() not in OWN_HEADERS and line.isascii() and line.isprintable():
            headers.append((name.encode(), str(value).encode()))
    return tuple(headers)


def _body(parts: Mapping[str, Any]) -> bytes | None:
    if "json" in parts:
        return json.dumps(parts["json"]).encode("utf-8", "surrogatepass")
    content = parts.get("data")
    if content is None or isinstance(content, bytes):
        return content
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else urlencode(content).encode()
