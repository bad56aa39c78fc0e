"""Every administrators' route, and every kind of caller who is no administrator: one answer for each, nothing done.

The answer is the same to the byte whatever the route is about, so that it tells nobody what there is. The routes are
read from the table: a new one is asked as soon as it is there.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from homeserver.http.endpoint import Auth, Endpoint, JsonObject, NoBody, Surface, surfaces_of
from tests.api.client import Client, new_user
from tests.conformance.operations import declared
from tests.conftest import LargeRun
from tests.hostile.conftest import SETTINGS, judging
from tests.hostile.declared import Draft, authorization, drafts, plain_draft, pool
from tests.hostile.judgement import Judge
from tests.hostile.tables import SQLiteTables
from tests.hostile.values import Known, Raw, Value
from tests.hostile.wire import Answer, Sent
from tests.server import Server, running

SYNAPSE: Final = "/_synapse/admin/v1"
NOBODY_ELSE: Final = 65_534  # an account of the system that owns nothing
SAMPLE: Final = 10
WHOLE: Final = 200

# For anybody, and why.
OPEN: Final[Mapping[str, str]] = {
    "GET /_synapse/admin/v1/register": "a nonce, worth something only with the shared secret",
    "POST /_synapse/admin/v1/register": "whoever shows that they know the shared secret",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A method of one path, whichever endpoint answers it."""

    mark: Endpoint
    path: str

    @property
    def key(self) -> str:
        """Method and path."""
        return f"{self.mark.method} {self.path}"


def _is_of_administrators(mark: Endpoint, path: str) -> bool:
    return mark.auth in (Auth.ADMIN, Auth.ADMIN_SOCKET) or surfaces_of(path) == {Surface.ADMIN}


ROUTES: Final = tuple(
    route
    for mark in declared()
    for path in mark.paths
    if _is_of_administrators(mark, path) and (route := Route(mark, path)).key not in OPEN
)

# Who calls, and what each of them is told.
CALLERS: Final[Mapping[str, tuple[int, str]]] = {
    "nobody": (401, "M_MISSING_TOKEN"),
    "empty": (401, "M_MISSING_TOKEN"),
    "basic": (401, "M_MISSING_TOKEN"),
    "of another server": (401, "M_MISSING_TOKEN"),
    "of itself": (401, "M_MISSING_TOKEN"),
    "unknown": (401, "M_UNKNOWN_TOKEN"),
    "of elsewhere": (401, "M_UNKNOWN_TOKEN"),
    "signed out": (401, "M_UNKNOWN_TOKEN"),
    "expired": (401, "M_UNKNOWN_TOKEN"),  # as is whoever can refresh theirs
    "deactivated": (401, "M_UNKNOWN_TOKEN"),
    "shared secret": (401, "M_UNKNOWN_TOKEN"),
    "locked": (401, "M_USER_LOCKED"),
    "locked administrator": (401, "M_USER_LOCKED"),
    "suspended": (403, "M_USER_SUSPENDED"),
    "suspended administrator": (403, "M_USER_SUSPENDED"),
    "guest": (403, "M_GUEST_ACCESS_FORBIDDEN"),
    "self": (403, "M_FORBIDDEN"),
    "former administrator": (403, "M_FORBIDDEN"),
}
BY_PORT: Final = (403, "M_FORBIDDEN")  # whoever calls, where the owner's socket is asked for

# What no route can be about, by the names of parameters; any other name has none that is "absent".
ABSENT: Final[Mapping[str, Value]] = {
    "userId": "@absent:localhost",
    "roomId": Known("unknown room"),
    "roomIdOrAlias": Known("unknown room"),
    "roomAlias": "#absent:localhost",
    "eventId": Known("unknown event"),
    "serverName": Known("remote server"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that admits guests too."""
    registration = {"enabled": True, "require_token": False, "allow_guest_access": True}
    with running(settings={**SETTINGS, "registration": {**_settings("registration"), **registration}}) as started:
        yield started


@pytest.fixture(scope="module")
def attended_judge(server: Server) -> Iterator[Judge]:
    """A judge over it, with one caller of each kind and something for each route to be about."""
    for judge in judging(server, SQLiteTables(server.sqlite_file)):
        judge.begin()
        for owner in sorted({route.mark.name.partition(".")[0] for route in ROUTES}):
            judge.cast.provide(owner)
        _let_call(judge, server)
        judge.tables.settle()
        yield judge


@pytest.fixture
def judge(attended_judge: Judge) -> Judge:
    attended_judge.faults.clear()
    attended_judge.tables.mark()
    return attended_judge


def _settings(section: str) -> Mapping[str, object]:
    found = SETTINGS[section]
    assert isinstance(found, dict)
    return found


def _let_call(judge: Judge, server: Server) -> None:
    """Give a token to every kind of caller that the cast does not have."""
    tokens, admin = judge.cast.tokens, judge.cast.people["admin"]

    def govern(user: Client, *, governs: bool) -> None:
        admin.put(SYNAPSE, "users", user.user_id, "admin", body={"admin": governs})

    def know(name: str, user: Client) -> Client:
        assert user.access_token is not None
        tokens[name] = user.access_token
        return user

    know("signed out", new_user(server.url, "left")).post("logout")
    know(
        "guest",
        Client(server.url, access_token=Client(server.url).post("register", query={"kind": "guest"})["access_token"]),
    )
    former = know("former administrator", new_user(server.url, "former"))
    govern(former, governs=True)
    former.get(SYNAPSE, "registration_tokens")
    govern(former, governs=False)
    for kind, topic, said in (
        ("locked", ("/_matrix/client/v1/admin/lock",), "locked"),
        ("suspended", (SYNAPSE, "suspend"), "suspend"),
    ):
        # Whom an administrator has locked or suspended may be made one all the same.
        for name, governs in ((kind, False), (f"{kind} administrator", True)):
            user = know(name, new_user(server.url, kind))
            admin.put(*topic, user.user_id, body={said: True})
            govern(user, governs=governs)
    tokens["shared secret"] = str(_settings("registration")["shared_secret"])


def _draft(route: Route, caller: str, *, is_there: bool = True) -> Draft:
    """A request that an administrator could make, about what there is, or about what there is not."""
    plain = plain_draft(route.mark.method, route.path)
    segments = plain.path
    if not is_there:
        names = route.path.split("/")[1:]
        segments = tuple(
            _absent(name[1:-1]) if name.startswith("{") else segment
            for name, segment in zip(names, segments, strict=True)
        )
    return replace(plain, path=segments, token=caller, body=_body(route.mark))


def _absent(name: str) -> str | Raw | Known:
    value = ABSENT.get(name, "absent")
    assert isinstance(value, str | Known)
    return value


def _body(mark: Endpoint) -> Value | None:
    """What has all fields that must be there."""
    if mark.body is NoBody and mark.method not in ("PUT", "POST"):
        return None
    if mark.body in (NoBody, JsonObject):
        return {}
    described = msgspec.inspect.type_info(mark.body)
    if not isinstance(described, msgspec.inspect.StructType):
        return {}
    return {field.encode_name: _value(field) for field in described.fields if field.required}


def _value(field: msgspec.inspect.Field) -> Value:
    match field.type:
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return 1
        case msgspec.inspect.ListType():
            return []
        case msgspec.inspect.DictType():
            return {}
        case msgspec.inspect.LiteralType(values=(str(first), *_)):
            return first
        case msgspec.inspect.UnionType(includes_none=True):
            return None
    return next(iter(pool(field.encode_name)), "thing")


def _refused(judge: Judge, route: Route, sent: Sent, caller: str) -> Answer:
    """Send what must be refused as it is to this caller."""
    expected = BY_PORT if route.mark.auth is Auth.ADMIN_SOCKET else CALLERS[caller]
    answer = judge.send(sent)
    if (answer.status, answer.errcode) != expected:
        judge.faults.append(f"{caller} is told {answer.status} {answer.errcode}, not {expected}:\n{sent}\n  {answer}")
    return answer


def test_what_is_for_anybody_is_listed_with_the_reason() -> None:
    theirs = {
        f"{mark.method} {path}"
        for mark in declared()
        for path in mark.paths
        if _is_of_administrators(mark, path) and mark.auth not in (Auth.ADMIN, Auth.ADMIN_SOCKET)
    }

    assert theirs == set(OPEN)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_caller_is_told_the_same_on_every_route_and_nothing_is_done(caller: str, judge: Judge) -> None:
    answers = {}

    for number, route in enumerate(ROUTES):
        # By turns about what there is and what there is not: for each both ways in the large run.
        sent = _draft(route, caller, is_there=number % 2 == 0).addressed(judge.cast)
        answers[_refused(judge, route, sent, caller).body, route.mark.auth] = route.key

    judge.conclude()
    assert len(answers) == len({route.mark.auth for route in ROUTES}), answers


@pytest.mark.large
@pytest.mark.parametrize("caller", CALLERS)
def test_no_answer_tells_whether_there_is_what_was_asked_about(caller: str, judge: Judge) -> None:
    for route in ROUTES:
        known, unknown = (
            _refused(judge, route, _draft(route, caller, is_there=is_there).addressed(judge.cast), caller)
            for is_there in (True, False)
        )
        if (known.status, known.body) != (unknown.status, unknown.body):
            judge.faults.append(f"{route.key} tells {caller} of what there is: {known} against {unknown}")

    judge.conclude()


@pytest.mark.parametrize("caller", ["self", "guest", "unknown"])
def test_a_token_in_the_query_is_worth_no_more(caller: str, judge: Judge) -> None:
    token = judge.cast.tokens.get(caller, "columba_unknown")

    for route in ROUTES:
        draft = replace(_draft(route, "nobody"), query=((b"access_token", token),))
        _refused(judge, route, draft.addressed(judge.cast), caller)

    judge.conclude()


def test_to_claim_the_address_of_the_server_itself_opens_nothing(judge: Judge) -> None:
    for route in ROUTES:
        draft = replace(_draft(route, "nobody"), headers=((b"X-Forwarded-For", b"127.0.0.1"),))
        _refused(judge, route, draft.addressed(judge.cast), "nobody")

    judge.conclude()


def test_an_administrator_learns_from_the_same_requests_what_there_is(judge: Judge) -> None:
    told = []
    for route in ROUTES:
        if route.mark.method == "GET" and "{" in route.path:
            known, unknown = (
                judge.send(_draft(route, "admin", is_there=is_there).addressed(judge.cast))
                for is_there in (True, False)
            )
            assert {known.status, unknown.status}.isdisjoint({401, 403}), route.key
            told += [route.key] if known.status != unknown.status else []

    judge.conclude()
    # So the two kinds of requests above do differ in what they are about.
    for path in ("users/{userId}", "rooms/{roomId}", "events/{eventId}", "jobs/{jobId}", "reports/{reportId}"):
        assert f"GET /_columba/admin/v1/{path}" in told


@pytest.mark.large
@pytest.mark.parametrize("caller", CALLERS)
def test_whatever_a_caller_sends_nothing_is_done(caller: str, judge: Judge, large_run: LargeRun) -> None:
    @seed(large_run.seed)
    @settings(
        max_examples=(WHOLE if large_run.whole else SAMPLE) * 20,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def send(data: st.DataObject) -> None:
        route = data.draw(st.sampled_from(ROUTES))
        draft: Draft = data.draw(drafts(route.mark))
        sent = replace(draft, token=caller).addressed(judge.cast)
        answer = judge.send(sent)
        if sent.method != "OPTIONS" and not 400 <= answer.status < 500:
            judge.faults.append(f"{caller} is not refused:\n{sent}\n  {answer}")

    send()

    judge.conclude()


@pytest.mark.parametrize("hinders", ["the folder", "the socket"])
def test_another_account_of_the_system_does_not_open_the_owners_socket(hinders: str, server: Server) -> None:
    """Who is not root can become nobody else: then the modes of the files are all that can be looked at."""
    path = server.data_dir / "admin.sock"
    outer, inner = server.folder.stat().st_mode, server.data_dir.stat().st_mode
    server.folder.chmod(0o711)
    if hinders == "the socket":
        server.data_dir.chmod(0o711)
    try:
        assert _opens(path)
        if os.geteuid() == 0:
            with _acting_as(NOBODY_ELSE):
                assert not _opens(path)
        assert (path if hinders == "the socket" else server.data_dir).stat().st_mode & 0o077 == 0
    finally:
        server.data_dir.chmod(inner)
        server.folder.chmod(outer)


@contextmanager
def _acting_as(account: int) -> Iterator[None]:
    """Have another account's rights for as long as the context lasts."""
    user, group = os.geteuid(), os.getegid()
    os.setegid(account)
    os.seteuid(account)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def _opens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except PermissionError:
            return False
    return True


def test_an_administrator_gets_in_everywhere_and_is_answered_as_the_document_says(judge: Judge) -> None:
    document = judge.send(
        Sent("GET", b"/_columba/admin/v1/openapi.json", tuple(authorization("admin", judge.cast)))
    ).json

    for route in ROUTES:
        if route.mark.auth is Auth.ADMIN:
            answer = judge.send(replace(_draft(route, "admin", is_there=False), body={}).addressed(judge.cast))
            assert answer.status not in (401, 403), route.key
            if route.path in document["paths"]:
                judge.faults += _unlike(document, route, answer)

    judge.conclude()


# Any: a document is JSON.
def _unlike(document: Any, route: Route, answer: Answer) -> Iterator[str]:
    """What in an answer, and in what would be asked, is not as the document says."""
    operation = document["paths"][route.path][route.mark.method.lower()]
    described = operation["responses"]
    found = described.get(str(answer.status)) or described["2XX" if answer.status < 300 else "default"]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    told = [(found["content"]["application/json"]["schema"], answer.json)]
    if "requestBody" in operation:
        asked = _body(route.mark)
        assert isinstance(asked, dict)
        plain = {name: "thing" if isinstance(value, Known | Raw) else value for name, value in asked.items()}
        told.append((operation["requestBody"]["content"]["application/json"]["schema"], plain))
    for schema, value in told:
        for error in Draft202012Validator({**schema, "components": document["components"]}).iter_errors(value):
            yield f"{route.key}: {error.json_path}: {error.message:.300}\n  {answer}"
