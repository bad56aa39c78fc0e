"""Every path with methods that it does not offer, every endpoint with no token or one that is worth nothing."""

from collections.abc import Mapping
from typing import Final

import pytest

from homeserver.http.endpoint import Auth, Endpoint
from tests.conformance.operations import declared, nameless
from tests.hostile.cast import Cast
from tests.hostile.declared import Draft, plain_draft
from tests.hostile.judgement import Judge
from tests.hostile.wire import Answer, Sent

METHODS: Final = ("GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "Post")
ENDPOINTS: Final = tuple(mark for mark in declared() if mark.auth is not Auth.ADMIN_SOCKET)
WITH_TOKEN: Final = tuple(mark for mark in ENDPOINTS if mark.auth in (Auth.ACCESS_TOKEN, Auth.SOFT, Auth.ADMIN))


@pytest.fixture
def judge(sqlite_judge: Judge) -> Judge:
    sqlite_judge.begin()
    return sqlite_judge


def _offered() -> Mapping[str, tuple[str, set[str]]]:
    """A path of each shape, and its methods."""
    offered: dict[str, tuple[str, set[str]]] = {}
    for mark in declared():
        for path in mark.paths:
            offered.setdefault(nameless(path), (path, set()))[1].add(mark.method)
    return offered


def _ask(judge: Judge, draft: Draft, token: str) -> tuple[Sent, Answer]:
    sent = Draft(draft.method, draft.path, draft.query, token, draft.body, draft.content_type).addressed(judge.cast)
    return sent, judge.send(sent)


def _expect(judge: Judge, draft: Draft, token: str, status: int, errcode: str) -> Answer:
    sent, answer = _ask(judge, draft, token)
    if (answer.status, answer.errcode) != (status, errcode):
        judge.faults.append(f"not {status} {errcode}:\n{sent}\n  answer {answer}")
    return answer


def test_a_method_that_a_path_does_not_offer_is_refused(judge: Judge) -> None:
    for path, methods in _offered().values():
        for method in set(METHODS) - methods:
            answer = _expect(judge, plain_draft(method, path), "self", 405, "M_UNRECOGNIZED")
            if set(answer.headers.get("allow", "").split(", ")) != methods:
                judge.faults.append(f"{path} offers {methods}, not {answer.headers.get('allow')}")

    judge.conclude()


def test_head_is_answered_as_get_without_the_body(judge: Judge) -> None:
    for path, methods in _offered().values():
        if "GET" in methods:
            _, expected = _ask(judge, plain_draft("GET", path), "self")
            sent, answer = _ask(judge, plain_draft("HEAD", path), "self")
            if answer.status != expected.status:
                judge.faults.append(f"GET {path} is {expected.status}:\n{sent}\n  answer {answer}")

    judge.conclude()


def test_options_are_told_to_anybody(judge: Judge) -> None:
    for path, _ in _offered().values():
        _, answer = _ask(judge, plain_draft("OPTIONS", path), "nobody")
        assert answer.status in (200, 204), path
        assert answer.headers["access-control-allow-origin"] == "*"

    judge.conclude()


@pytest.mark.parametrize("path", ["/_matrix", "/_matrix/client/v3/nothing", "/_matrix/client/v9/sync", "/etc/passwd"])
def test_a_path_that_does_not_exist_is_unrecognized(path: str, judge: Judge) -> None:
    for method in METHODS:
        _expect(judge, plain_draft(method, path), "self", 404, "M_UNRECOGNIZED")

    judge.conclude()


def test_without_a_token_nobody_gets_in(judge: Judge) -> None:
    for mark in WITH_TOKEN:
        for token in ("nobody", "empty", "no scheme", "only scheme", "basic", "of another server"):
            _expect(judge, _draft(mark), token, 401, "M_MISSING_TOKEN")

    judge.conclude()


def test_with_a_token_of_nobody_nobody_gets_in(judge: Judge) -> None:
    for mark in WITH_TOKEN:
        for token in ("unknown", "of elsewhere", "of bytes", "long", "deactivated"):
            answer = _expect(judge, _draft(mark), token, 401, "M_UNKNOWN_TOKEN")
            assert "soft_logout" not in answer.json

    judge.conclude()


def test_with_an_expired_token_a_client_is_told_that_its_session_goes_on(judge: Judge) -> None:
    for mark in WITH_TOKEN:
        if mark.auth is not Auth.SOFT:
            answer = _expect(judge, _draft(mark), "expired", 401, "M_UNKNOWN_TOKEN")
            assert answer.json["soft_logout"] is True

    judge.conclude()


def test_what_is_for_administrators_is_refused_to_others(judge: Judge) -> None:
    for mark in WITH_TOKEN:
        if mark.auth is Auth.ADMIN:
            _expect(judge, _draft(mark), "self", 403, "M_FORBIDDEN")

    judge.conclude()


def test_what_is_for_the_owners_socket_is_refused_on_a_port(judge: Judge) -> None:
    for mark in declared():
        if mark.auth is Auth.ADMIN_SOCKET:
            _expect(judge, _draft(mark), "admin", 403, "M_FORBIDDEN")

    judge.conclude()


def test_what_is_for_servers_is_refused_to_whoever_signs_nothing(judge: Judge) -> None:
    for mark in ENDPOINTS:
        if mark.auth is Auth.FEDERATION:
            for token in (
                "nobody",
                "self",
                "of another server",
                "of a broken server",
                "of nobody's server",
                "of itself",
            ):
                _, answer = _ask(judge, _draft(mark), token)
                assert (answer.status, answer.errcode) in ((401, "M_UNAUTHORIZED"), (401, "M_FORBIDDEN")), mark.name

    judge.conclude()


def _draft(mark: Endpoint) -> Draft:
    return plain_draft(mark.method, mark.path)


def test_the_cast_can_do_what_strangers_cannot(judge: Judge) -> None:
    cast: Cast = judge.cast
    whoami = plain_draft("GET", "/_matrix/client/v3/account/whoami")

    for token in ("self", "friend", "stranger", "admin"):
        _, answer = _ask(judge, whoami, token)
        assert answer.json["user_id"] == cast.names[token]
