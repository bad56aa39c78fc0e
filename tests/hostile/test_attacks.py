"""Attacks that broke other homeservers, each in the form in which it came. Those that any input may hide in come from
what endpoints declare (test_declared.py).
"""

import contextlib
import gzip
import json
from collections.abc import Iterator
from typing import Any, Final

import apsw
import pytest

from tests.api.client import PASSWORD, Client, new_administrator, new_user
from tests.conftest import DATABASES
from tests.hostile.conftest import SETTINGS
from tests.server import Server, running

ROOM_VERSIONS_WITH_FLOATS: Final = ("1", "5")
STRICT_ROOM_VERSIONS: Final = ("6", "12")


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def alice(server: Server) -> Client:
    return new_user(server.url, "alice")


def _sent(client: Client, room_id: str, content: bytes, status: int) -> Any:  # Any: JSON
    path = ("rooms", room_id, "send", "org.example.number", client.new_transaction())
    answer = client.send("PUT", *path, content=content)
    assert answer.status == status, answer
    return answer.json


# Numbers that JSON does not know, or that canonical JSON does not


@pytest.mark.parametrize("version", [*ROOM_VERSIONS_WITH_FLOATS, *STRICT_ROOM_VERSIONS])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "0x1", "1."])
def test_what_is_no_number_gets_into_no_room(alice: Client, version: str, number: str) -> None:
    room_id = alice.create_room(room_version=version)

    refusal = _sent(alice, room_id, b'{"n": %s}' % number.encode(), 400)

    assert refusal["errcode"] in ("M_NOT_JSON", "M_BAD_JSON")
    assert "org.example.number" not in {event["type"] for event in alice.messages(room_id)["chunk"]}


@pytest.mark.parametrize("number", ["1.5", "1e3", "-0.0", "9007199254740992", "-9007199254740992", "1" + "0" * 30])
def test_what_canonical_json_does_not_know_gets_into_no_strict_room(alice: Client, number: str) -> None:
    for version in STRICT_ROOM_VERSIONS:
        room_id = alice.create_room(room_version=version)

        refusal = _sent(alice, room_id, b'{"n": %s}' % number.encode(), 400)

        assert refusal["errcode"] == "M_BAD_JSON"


def test_old_rooms_keep_the_numbers_that_they_may_hold(alice: Client) -> None:
    for version in ROOM_VERSIONS_WITH_FLOATS:
        room_id = alice.create_room(room_version=version)

        event_id = _sent(alice, room_id, b'{"n": [1.5, 1e3, -7, 9007199254740991]}', 200)["event_id"]

        assert alice.get("rooms", room_id, "event", event_id)["content"]["n"] == [1.5, 1000.0, -7, 9007199254740991]


def test_of_duplicate_keys_everybody_sees_the_last(alice: Client) -> None:
    room_id = alice.create_room()

    event_id = _sent(alice, room_id, b'{"a": 1, "b": {"c": 1, "c": 2}, "a": [2]}', 200)["event_id"]

    assert alice.get("rooms", room_id, "event", event_id)["content"] == {"a": [2], "b": {"c": 2}}


# Parameters without a bound


@pytest.mark.parametrize("limit", [2**31, 2**53 - 1])
def test_a_huge_limit_gives_a_page(alice: Client, limit: int) -> None:
    room_id = alice.create_room()
    event_id = alice.say(room_id, "one")
    timeline = json.dumps({"room": {"timeline": {"limit": limit}}})

    assert alice.messages(room_id, limit=limit)["chunk"]
    assert alice.get("rooms", room_id, "context", event_id, query={"limit": limit})["events_before"]
    assert alice.get("publicRooms", query={"limit": limit})["chunk"] is not None
    assert alice.sync(filter=timeline)["rooms"]["join"][room_id]["timeline"]["events"]


@pytest.mark.large
def test_a_page_of_history_has_an_end(alice: Client) -> None:
    room_id = alice.create_room()
    for number in range(1_001):
        alice.say(room_id, str(number))

    page = alice.messages(room_id, limit=2**53 - 1)

    assert len(page["chunk"]) == 1_000
    assert "end" in page


@pytest.mark.parametrize("limit", [-1, 2**53, 2**63, 2**64, "1e300", "", "ten", "\u0663"])
def test_a_limit_that_is_none_is_refused(alice: Client, limit: object) -> None:
    room_id = alice.create_room()

    alice.get("rooms", room_id, "messages", query={"dir": "b", "limit": limit}, status=400, errcode="M_INVALID_PARAM")


def test_a_word_that_is_too_long_is_refused_wherever_it_would_be_kept(alice: Client) -> None:
    long = "x" * 70_000
    room_id = alice.create_room()

    alice.put("rooms", room_id, "send", "m.room.message", "t", body={"body": long}, status=413, errcode="M_TOO_LARGE")
    alice.put("rooms", room_id, "state", "m.room.topic", "", body={"topic": long}, status=413, errcode="M_TOO_LARGE")
    alice.post("createRoom", body={"name": long}, status=413, errcode="M_TOO_LARGE")
    for path in (["profile", alice.user_id, "displayname"], ["devices", alice.device_id]):
        name = path[-1] if path[0] == "profile" else "display_name"
        assert alice.send("PUT", *path, content=json.dumps({name: long}).encode()).status in (400, 413)
    alice.put("rooms", room_id, "send", "x" * 256, "t2", status=413, errcode="M_TOO_LARGE")


def test_a_body_that_is_too_long_is_refused_and_the_connection_goes_on(alice: Client) -> None:
    answer = alice.send("POST", "createRoom", content=b'{"name": "%s"}' % (b"x" * 3_000_000))

    assert (answer.status, answer.json["errcode"]) == (413, "M_TOO_LARGE")


def test_a_body_that_unpacks_to_more_is_not_unpacked(alice: Client) -> None:
    bomb = gzip.compress(b'{"name": "%s"}' % (b"x" * 50_000_000))

    answer = alice.send("POST", "createRoom", content=bomb, headers={"Content-Encoding": "gzip"})

    assert (answer.status, answer.json["errcode"]) == (400, "M_NOT_JSON")


# Nesting and graphs


def test_nesting_is_refused_before_anything_can_recur(alice: Client) -> None:
    room_id = alice.create_room()
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        for depth in (201, 5_000, 80_000):
            content = b'{"a": %s1%s}' % (opening * depth, closing * depth)

            assert _sent(alice, room_id, content, 400)["errcode"] in ("M_BAD_JSON", "M_NOT_JSON")


def test_what_nests_as_deep_as_is_allowed_is_shown_everywhere(alice: Client) -> None:
    room_id = alice.create_room()
    content = b"[" * 150 + b"]" * 150

    event_id = _sent(alice, room_id, b'{"a": %s}' % content, 200)["event_id"]

    assert alice.get("rooms", room_id, "event", event_id)["content"]["a"] == json.loads(content)
    assert alice.sync()["rooms"]["join"][room_id]["timeline"]["events"][-1]["event_id"] == event_id


# What a client says and a server stumbles over


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("other", ["nothing.known", ".m.rule.master", ".m.rule.message", "", "\u0000", "a/b", "mine"])
def test_a_push_rule_beside_one_that_is_not_there_is_refused(alice: Client, place: str, other: str) -> None:
    path = ("pushrules", "global", "override", "mine")
    before = alice.get("pushrules", "global", "")

    answer = alice.send("PUT", *path, content=b'{"conditions": [], "actions": []}', query={place: other})

    assert 400 <= answer.status < 500
    assert answer.json["errcode"] in ("M_UNKNOWN", "M_NOT_FOUND", "M_INVALID_PARAM")
    assert alice.get("pushrules", "global", "") == before


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"kind": "event_match"},
        {"kind": "event_match", "key": "content.body", "pattern": "(a+)+$"},
        {"kind": "event_match", "key": "\\", "pattern": "*" * 1_000},
        {"kind": "event_match", "key": ".".join("a" * 500), "pattern": "[!"},
        {"kind": "room_member_count", "is": "=="},
        {"kind": "room_member_count", "is": "<99999999999999999999999999"},
        {"kind": "sender_notification_permission", "key": "__class__"},
        {"kind": "event_property_is", "key": "content", "value": None},
        {"kind": "org.example.unknown", "more": {"a": [1]}},
    ],
)
def test_no_condition_of_a_push_rule_keeps_others_from_speaking(alice: Client, condition: dict[str, Any]) -> None:
    bob = new_user(alice.url, "bob")
    room_id = alice.create_room_with(bob)
    body = json.dumps({"conditions": [condition], "actions": ["notify"]}).encode()

    assert alice.send("PUT", "pushrules", "global", "override", "mine", content=body).status in (200, 400)

    assert bob.say(room_id, "a" * 5_000)
    assert alice.sync()["rooms"]["join"][room_id]["unread_notifications"]


def test_a_redaction_of_nothing_is_refused(alice: Client) -> None:
    room_id = alice.create_room()
    foreign = new_user(alice.url, "bob").create_room()

    for event_id in ("$" + "A" * 43, foreign.replace("!", "$")):
        answer = alice.send("PUT", "rooms", room_id, "redact", event_id, "t", content=b"{}")
        assert answer.status in (400, 403, 404)


# Whoever has no token, or no account any more


def test_an_empty_token_is_nobodys(alice: Client) -> None:
    nobody = Client(alice.url)

    for headers in ({"Authorization": "Bearer "}, {"Authorization": "Bearer"}, {"Authorization": ""}, {}):
        answer = nobody.send("GET", "account", "whoami", headers=headers)
        assert (answer.status, answer.json["errcode"]) == (401, "M_MISSING_TOKEN")
    for token in ("", " ", "\x00", "null", "undefined", "None"):
        answer = nobody.send("GET", "account", "whoami", query={"access_token": token})
        assert (answer.status, answer.json["errcode"]) in (
            (401, "M_MISSING_TOKEN"),
            (401, "M_UNKNOWN_TOKEN"),
            (400, "M_INVALID_PARAM"),
        )


def test_a_token_for_something_else_is_no_access_token(alice: Client) -> None:
    refreshable = new_user(alice.url, "bob", refresh_token=True)
    login_token = _after_password(alice, "/_matrix/client/v1/login/get_token")["login_token"]
    refresh_token = _refreshable_session(refreshable)["refresh_token"]

    for token in (login_token, refresh_token):
        Client(alice.url, access_token=token).get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    access_token = alice.access_token
    Client(alice.url).post("refresh", body={"refresh_token": access_token}, status=401, errcode="M_UNKNOWN_TOKEN")
    Client(alice.url).post("login", body={"type": "m.login.token", "token": access_token}, status=403)


def test_a_deactivated_user_is_out_and_stays_out(alice: Client) -> None:
    session = _refreshable_session(alice)
    login_token = _after_password(alice, "/_matrix/client/v1/login/get_token")["login_token"]

    _after_password(alice, "/_matrix/client/v3/account/deactivate")

    nobody = Client(alice.url)
    nobody.known_as(session).get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    alice.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    nobody.post("refresh", body={"refresh_token": session["refresh_token"]}, status=401)
    identifier = {"type": "m.id.user", "user": alice.user_id}
    for body in (
        {"type": "m.login.password", "identifier": identifier, "password": PASSWORD},
        {"type": "m.login.password", "identifier": identifier, "password": ""},
        {"type": "m.login.token", "token": login_token},
    ):
        assert nobody.send("POST", "login", content=json.dumps(body).encode()).status == 403
    localpart = alice.user_id[1:].partition(":")[0]
    nobody.get("register", "available", query={"username": localpart}, status=400, errcode="M_USER_IN_USE")


def test_an_account_without_a_password_is_nobodys() -> None:
    registration = {"enabled": True, "require_token": False, "allow_guest_access": True}
    with running(settings={"registration": registration}) as own:
        nobody, root = Client(own.url), new_administrator(own)
        silent = f"@silent:{own.server_name}"
        root.put("/_synapse/admin/v2/users", silent, status=201)
        guest = nobody.post("register", query={"kind": "guest"})["user_id"]
        no_text: list[Any] = [None, [], {}, 0, False]

        for user in (silent, guest):
            for password in ("", "\x00", "null", "None", "!", "*", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"):
                body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}}
                content = json.dumps({**body, "password": password}).encode()
                assert nobody.send("POST", "login", content=content).status == 403
            for other in no_text:
                content = json.dumps({"type": "m.login.password", "user": user, "password": other}).encode()
                assert nobody.send("POST", "login", content=content).status == 400


def test_who_is_locked_begins_no_session_and_keeps_none() -> None:
    with running(settings=SETTINGS) as own:
        alice = new_user(own.url, "alice", refresh_token=True)
        session = _refreshable_session(alice)
        login_token = _after_password(alice, "/_matrix/client/v1/login/get_token")["login_token"]
        locked = own.command("admin", "user", "lock", alice.user_id)
        assert locked.returncode == 0, locked.stderr

        nobody = Client(own.url)
        identifier = {"type": "m.id.user", "user": alice.user_id}
        for method, path, body in (
            ("POST", "refresh", {"refresh_token": session["refresh_token"]}),
            ("POST", "login", {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}),
            ("POST", "login", {"type": "m.login.token", "token": login_token}),
        ):
            answer = nobody.send(method, path, content=json.dumps(body).encode())
            assert (answer.status, answer.json["errcode"]) == (401, "M_USER_LOCKED")
        alice.get("account", "whoami", status=401, errcode="M_USER_LOCKED")


def test_no_password_is_kept_in_the_open_while_it_is_being_changed() -> None:
    wanted, tried, begun = "an entirely new password", "no password of mine", "of an account that is not made yet"
    with running(settings=SETTINGS) as own:
        alice = new_user(own.url, "alice")
        body: dict[str, Any] = {"new_password": wanted}
        asked = alice.post("account", "password", body=body, status=401)
        Client(own.url).post("register", body={"username": "begun", "password": begun}, status=401)
        auth = {"type": "m.login.password", "session": asked["session"], "user": alice.user_id}
        alice.post("account", "password", body={**body, "auth": {**auth, "password": tried}}, status=401)
        halfway = _all_that_is_kept(own)
        alice.post("account", "password", body={**body, "auth": {**auth, "password": PASSWORD}})
        in_the_end = _all_that_is_kept(own)

        for secret in (wanted, tried, begun, PASSWORD):
            for kept in (halfway, in_the_end):
                assert secret not in kept
        alice.login_again(wanted)


def _all_that_is_kept(server: Server) -> str:
    """Everything in the database and in the log."""
    with contextlib.closing(apsw.Connection(str(server.sqlite_file), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = [repr(row) for table in tables for row in database.execute(f'SELECT * FROM "{table}"')]
    return "\n".join([*rows, server.log])


def _refreshable_session(client: Client) -> Any:  # Any: JSON
    """What a login of the same user is answered that asks for a refresh token."""
    identifier = {"type": "m.id.user", "user": client.user_id}
    wish = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "refresh_token": True}
    return Client(client.url).post("login", body=wish)


def _after_password(client: Client, path: str) -> Any:  # Any: JSON
    identifier = {"type": "m.id.user", "user": client.user_id}
    asked = client.post(path, body={}, status=401)
    auth = {
        "type": "m.login.password",
        "identifier": identifier,
        "password": PASSWORD,
        "session": asked["session"],
    }
    return client.post(path, body={"auth": auth})


# Whose address it is


@pytest.fixture
def strict_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that lets an address log in three times, and trusts the proxies that the test names."""
    limits = {"login": {"rate_hz": 0.001, "burst": 3}}
    with running(settings={"rate_limits": limits, "trusted_proxies": request.param}) as server:
        yield server


def _logins(server: Server, addresses: list[str]) -> list[int]:
    nobody = Client(server.url)
    body = b'{"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "nobody"}, "password": "x"}'
    return [
        nobody.send("POST", "login", content=body, headers={"X-Forwarded-For": address}).status for address in addresses
    ]


@pytest.mark.parametrize("strict_server", [[]], indirect=True)
def test_whoever_is_no_proxy_cannot_be_somebody_else(strict_server: Server) -> None:
    addresses = [f"192.0.2.{number}" for number in range(3)] + ["127.0.0.1", "::1", "192.0.2.9, 10.0.0.1", "unix", ""]

    assert _logins(strict_server, addresses) == [403] * 3 + [429] * 5


@pytest.mark.parametrize("strict_server", [["127.0.0.1"]], indirect=True)
def test_behind_a_proxy_only_what_the_proxy_says_counts(strict_server: Server) -> None:
    invented = [f"198.51.100.{number}, 192.0.2.1" for number in range(5)]

    assert _logins(strict_server, invented) == [403] * 3 + [429] * 2
    assert _logins(strict_server, ["192.0.2.2"]) == [403]


FORGED: Final = (
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Originating-IP",
    "X-Cluster-Client-IP",
    "Via",
    "Host",
)


@pytest.mark.parametrize("proxies", [[], ["192.0.2.1"]])
def test_no_header_is_another_address_for_what_is_counted_by_address(proxies: list[str]) -> None:
    freely, once = {"rate_hz": 1000, "burst": 1000}, {"rate_hz": 0.001, "burst": 1}
    limits = {
        "login": freely,
        "register": freely,
        "registrations_by_address": once,
        "failed_logins_by_address": once,
        "guest": freely,
    }
    registration = {"enabled": True, "require_token": False, "allow_guest_access": True}
    settings = {"rate_limits": limits, "trusted_proxies": proxies, "registration": registration}
    with running(settings=settings) as own:
        nobody = Client(own.url)
        login = json.dumps({"type": "m.login.password", "user": "nobody", "password": "x"}).encode()

        def statuses(*path: str, content: bytes, **query: Any) -> list[int]:
            plain = nobody.send("POST", *path, content=content, query=query).status
            forged = [
                nobody.send("POST", *path, content=content, query=query, headers={name: f"198.51.100.{number}"}).status
                for number, name in enumerate(FORGED)
            ]
            return [plain, *forged]

        assert statuses("login", content=login) == [403, *[429] * len(FORGED)]
        assert statuses("register", content=b"{}", kind="guest") == [200, *[429] * len(FORGED)]


# What is secret and does not belong into a log


def test_no_secret_is_in_the_log_or_in_what_is_answered_or_measured() -> None:
    with running(settings={**SETTINGS, "log": {"level": "debug", "format": "json"}}) as server:
        alice = new_user(server.url, "alice", refresh_token=True)
        room_id = alice.create_room()
        nobody = Client(server.url)
        token = alice.access_token
        assert token is not None
        second = alice.login_again()
        assert second.access_token is not None

        answers = [
            *(
                nobody.send("GET", "sync", query=query)
                for query in ({"access_token": token}, {"access_token": token, "since": "not.a.token"})
            ),
            nobody.send("GET", "nothing", "here", query={"access_token": token}),
            nobody.send("PUT", "rooms", room_id, "send", "a", "b", content=b"{", query={"access_token": token}),
            nobody.send(
                "POST", "login", content=json.dumps({"type": "m.login.token", "token": "secret.login"}).encode()
            ),
            nobody.send("POST", "refresh", content=b'{"refresh_token": "secret.refresh"}'),
            nobody.send("GET", "account", "whoami", headers={"Authorization": "Bearer secret.bearer"}),
            nobody.send("GET", "account", "whoami", headers={"Authorization": f"Bearer {token}\t"}),
            nobody.send("GET", "sync", query={"access_token": "secret.query"}),
            nobody.send("GET", "/_columba", "metrics"),
        ]
        alice.send("POST", "logout", content=b"{}")

        log = server.log
        assert "whoami" in log, "requests are in this log, without what is secret"
        told = log + "".join(str(answer) for answer in answers)
        assert answers[-1].status == 200
        for secret in (token, second.access_token, PASSWORD, "secret."):
            assert secret not in told
        assert "access_token" not in log
