"""Other servers, as administrators see them: on a running server, by its socket and by its files."""

import json
from collections.abc import Iterator

import pytest

from homeserver.cli.admin_client import ask
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.remote_door import remote_door
from tests.api.client import PASSWORD, Client, new_user
from tests.server import Server, new_server, running


@pytest.fixture
def fresh() -> Iterator[Server]:
    """A server of its own."""
    server = new_server()
    server.start()
    yield server
    server.close()


def told(server: Server, *words: str) -> str:
    """What a command prints that succeeds."""
    done = server.command("admin", "federation", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def root_of(server: Server) -> Client:
    """An administrator of the server."""
    made = server.command("admin", "user", "register", "root", "--admin", "--password-stdin", text=PASSWORD)
    assert made.returncode == 0, made.stderr
    identifier = {"type": "m.id.user", "user": "root"}
    nobody = Client(server.url)
    return nobody.known_as(
        nobody.post("login", body={"type": "m.login.password", "identifier": identifier, "password": PASSWORD})
    )


def test_servers_are_blocked_and_looked_at_while_the_server_runs_and_after(fresh: Server) -> None:
    assert told(fresh, "status") == ""
    assert told(fresh, "block", "*.bad.example") == "*.bad.example is blocked.\n"
    assert told(fresh, "status", "very.bad.example") == "very.bad.example: blocked\n"
    assert told(fresh, "retry", "good.example") == "good.example is asked now, if something waits for it.\n"
    unknown = fresh.command("admin", "federation", "status", "good.example")
    assert unknown.returncode != 0
    assert "M_NOT_FOUND" in unknown.stderr
    fresh.stop()

    assert told(fresh, "rules") == "*.bad.example blocked\n"
    assert json.loads(told(fresh, "status", "very.bad.example", "--json"))["is_blocked"] is True
    assert told(fresh, "forget", "*.bad.example") == "There is no rule for *.bad.example any more.\n"
    assert told(fresh, "rules") == ""


def test_limits_of_a_server_are_set_while_the_server_runs_and_count_after_it() -> None:
    server = new_server(settings={"rate_limits": "default"})
    server.start()
    try:
        set_words = ("--set", "joins_by_server", "0.5", "3", "--set", "federation", "1000", "5000")
        assert "joins_by_server: 3 at once, then 0.5 a second, for this server\n" in told(
            server, "limit", "Far.example", *set_words
        )
        assert "events_by_server: 2000 at once, then 20 a second\n" in told(server, "limit", "far.example")
        for wrong in (("send", "1", "1"), ("federation", "1e9", "1"), ("nothing", "1", "1")):
            refused = server.command("admin", "federation", "limit", "far.example", "--set", *wrong)
            assert "M_INVALID_PARAM" in refused.stderr
        server.stop()

        assert told(server, "limit", "far.example", "--reset", "federation").startswith(
            "federation: 200 at once, then 50 a second\n"
        )
        assert told(server, "limits") == "far.example: joins_by_server: 3 at once, then 0.5 a second\n"
    finally:
        server.close()


def test_a_server_that_does_not_answer_is_listed_looked_at_and_asked_again() -> None:
    destinations, away = "/_synapse/admin/v1/federation/destinations", "127.0.0.1:1"
    with running(settings={"federation": {"allow_private_addresses": True}}) as server:
        admin, alice = root_of(server), new_user(server.url, "alice")
        before = admin.get(destinations)
        alice.call("POST", "join", f"!room:{away}", query={"via": away}, body={}, status=424)

        query = {"destination": "0.0.1", "order_by": "failure_ts", "dir": "b", "limit": 1}
        listed = admin.get(destinations, query=query)
        (known,) = listed["destinations"]
        shared = admin.get(f"{destinations}/{away}/rooms")
        again = admin.post(f"{destinations}/{away}/reset_connection")
        after = admin.get(f"{destinations}/{away}")
        shown = told(server, "rooms", away)
        for path in ("", "/rooms"):
            admin.get(f"{destinations}/good.example{path}", status=404, errcode="M_NOT_FOUND")
        admin.post(f"{destinations}/good.example/reset_connection", status=404, errcode="M_NOT_FOUND")
        admin.get(destinations, query={"order_by": "beauty"}, status=400, errcode="M_INVALID_PARAM")
        alice.get(destinations, status=403, errcode="M_FORBIDDEN")

    assert before == {"destinations": [], "total": 0}
    assert listed["total"] == 1
    assert known["destination"] == away
    assert known["failure_ts"] == known["retry_last_ts"] > 0
    assert known["retry_interval"] > 0
    assert known["last_successful_stream_ordering"] is None
    assert shared == {"rooms": [], "total": 0}
    assert (again, shown) == ({}, "")
    assert (after["failure_ts"], after["retry_last_ts"]) == (known["failure_ts"], known["retry_last_ts"])
    assert after["retry_interval"] <= known["retry_interval"]


def test_what_is_no_pattern_is_refused(fresh: Server) -> None:
    refused = fresh.command("admin", "federation", "block", "two names")

    assert refused.returncode != 0
    assert "M_INVALID_PARAM" in refused.stderr
    assert told(fresh, "rules") == ""


def test_who_has_the_token_of_an_administrator_looks_at_it_from_elsewhere(fresh: Server) -> None:
    told(fresh, "block", "*.bad.example")

    door = remote_door(fresh.url, {"COLUMBA_ADMIN_TOKEN": root_of(fresh).access_token or ""})
    (rule,) = ask(door, "GET", "/_columba/admin/v1/federation/rules")["rules"]

    assert rule["pattern"] == "*.bad.example"
    with pytest.raises(CommandFailed, match="M_FORBIDDEN"):
        ask(door, "POST", "/_columba/admin/v1/keys/rotate")
