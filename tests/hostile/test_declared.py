"""Every declared endpoint under hostile requests: wrong types, missing fields, huge values, bad bytes, no tokens."""

from typing import Final
from zlib import crc32

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from homeserver.http.endpoint import Auth, Endpoint
from tests.conformance.operations import declared
from tests.conftest import LargeRun
from tests.hostile.declared import Draft, authorization, drafts
from tests.hostile.judgement import Judge
from tests.hostile.wire import Sent

ENDPOINTS: Final = tuple(mark for mark in declared() if mark.auth is not Auth.ADMIN_SOCKET)
EVERYDAY: Final = 5
SAMPLE: Final = {"sqlite": 40, "postgresql": 15}
WHOLE: Final = 500
SEED: Final = 17  # the everyday run is the same every day

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda mark: f"{mark.name}-{mark.method}")
either_database = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


@pytest.fixture
def judge(database: str, endpoint: Endpoint, request: pytest.FixtureRequest) -> Judge:
    found: Judge = request.getfixturevalue(f"{database}_judge")
    found.begin(endpoint.name)
    return found


@pytest.mark.parametrize("database", ["sqlite"])
@every_endpoint
def test_bad_input_is_refused_and_changes_nothing(endpoint: Endpoint, judge: Judge) -> None:
    _besiege(endpoint, judge, examples=EVERYDAY, number=SEED)

    _look_around(judge)
    judge.conclude()


@pytest.mark.large
@either_database
@every_endpoint
def test_much_bad_input_is_refused_and_changes_nothing(
    endpoint: Endpoint, database: str, judge: Judge, large_run: LargeRun
) -> None:
    _besiege(endpoint, judge, examples=WHOLE if large_run.whole else SAMPLE[database], number=large_run.seed)

    _look_around(judge)
    judge.conclude()


def _besiege(endpoint: Endpoint, judge: Judge, *, examples: int, number: int) -> None:
    """Send so many hostile requests to an endpoint."""

    # The server remembers earlier requests, so a fault is told with its request instead of being made smaller.
    @seed(number ^ crc32(endpoint.name.encode()))
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(st.data())
    def send(data: st.DataObject) -> None:
        draft: Draft = data.draw(drafts(endpoint))
        judge.send(draft.addressed(judge.cast))

    send()


def _look_around(judge: Judge) -> None:
    """Whatever was accepted, what shows it still answers, and who is in the room can go on talking."""
    if not judge.cast.has_spoiled_rooms:
        return  # nothing was accepted
    judge.cast.wake_up()
    judge.tables.mark()
    names = judge.cast.names
    room = names["own room"]
    keys = b'{"device_keys": {"%s": []}}' % names["self"].encode()
    for token, method, path, body in (
        ("friend", "PUT", f"rooms/{room}/send/m.room.message/{judge.cast.fresh()}", b'{"body": "still here"}'),
        ("self", "GET", "sync", None),
        ("friend", "GET", "sync", None),
        ("self", "GET", f"rooms/{room}/messages?dir=b&limit=100", None),
        ("self", "GET", f"rooms/{room}/state", None),
        ("self", "GET", f"rooms/{room}/members", None),
        ("self", "GET", "pushrules/", None),
        ("self", "GET", f"profile/{names['self']}", None),
        ("friend", "POST", "keys/query", keys),
    ):
        sent = Sent(method, f"/_matrix/client/v3/{path}".encode(), tuple(authorization(token, judge.cast)), body)
        answer = judge.send(sent)
        if answer.status not in (200, 403):
            judge.faults.append(f"afterwards:\n{sent}\n  answer {answer}")
