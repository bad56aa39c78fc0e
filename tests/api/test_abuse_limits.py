"""What is counted besides requests, over HTTP: invites, joins, new accounts, failed logins."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.client import PASSWORD, Client, Response, new_user
from tests.server import Server, running

FREELY = {"rate_hz": 1000, "burst": 1000}
COUNTED = {
    **dict.fromkeys(("login", "register", "invite", "join", "create_room"), FREELY),
    "invites_by_user": {"rate_hz": 0.001, "burst": 2},
    "joins_to_room": {"rate_hz": 0.001, "burst": 2},
    "registrations_by_address": {"rate_hz": 0.001, "burst": 2},
    "failed_logins_by_address": {"rate_hz": 0.001, "burst": 2},
    "registrations": {"rate_hz": 0.001, "burst": 8},
}


@pytest.fixture(scope="module")
def counting_server() -> Iterator[Server]:
    """A server at which little may happen, behind a proxy of this machine."""
    with running(settings={"rate_limits": COUNTED, "trusted_proxies": ["127.0.0.1"]}) as server:
        yield server


def from_address(client: Client, address: str, *path: str, body: Any) -> Response:  # Any: JSON
    """What is answered to who comes from an address, as the proxy says."""
    headers = {"X-Forwarded-For": address}
    return client.send("POST", *path, content=json.dumps(body).encode(), headers=headers)


def registered(server: Server, name: str, address: str) -> Response:
    body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    return from_address(Client(server.url), address, "register", body=body)


def check_waits(response: Response) -> None:
    assert response.status == 429
    assert response.json["errcode"] == "M_LIMIT_EXCEEDED"
    assert 0 < response.json["retry_after_ms"] <= 1_000_000
    assert int(response.headers["retry-after"]) >= 1


def test_accounts_invites_joins_and_failed_logins_are_counted(counting_server: Server) -> None:
    server, nobody = counting_server, Client(counting_server.url)
    people = [nobody.known_as(registered(server, f"u{n}", f"198.51.100.{n}").json) for n in range(5)]
    alice, bob, carol, dave, _ = people

    # Whole households are one address, and what a client says itself of where it is counts for nothing.
    assert registered(server, "v1", "2001:db8:1:2::1").status == 200
    assert registered(server, "v2", "2001:db8:9::1, 2001:db8:1:2:ffff::1").status == 200
    check_waits(registered(server, "v3", "2001:db8:1:2:3:4:5:6"))
    assert registered(server, "v3", "2001:db8:1:3::1").status == 200
    check_waits(registered(server, "v4", "2001:db8:1:4::1"))

    room_id = alice.create_room(preset="public_chat", invite=[bob.user_id])
    alice.post("rooms", room_id, "invite", body={"user_id": carol.user_id})
    for path, body in (
        (("rooms", room_id, "invite"), {"user_id": dave.user_id}),
        (("createRoom",), {"invite": [dave.user_id]}),
    ):
        check_waits(alice.send("POST", *path, content=json.dumps(body).encode()))
    content = json.dumps({"membership": "invite"}).encode()
    check_waits(alice.send("PUT", "rooms", room_id, "state", "m.room.member", dave.user_id, content=content))
    bob.join(room_id)
    carol.join(room_id)
    carol.join(room_id)
    check_waits(dave.send("POST", "join", room_id, content=b"{}"))

    def logged_in(name: str, password: str, address: str) -> Response:
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": name}, "password": password}
        return from_address(nobody, address, "login", body=body)

    assert [logged_in(f"u{number}", "wrong", "203.0.113.1").status for number in range(2)] == [403, 403]
    check_waits(logged_in("u4", PASSWORD, "203.0.113.1"))
    assert logged_in("u4", PASSWORD, "203.0.113.2").status == 200


def test_what_counts_unless_somebody_says_otherwise_lets_people_do_what_people_do() -> None:
    with running(settings={"rate_limits": "default"}) as server:
        alice, bob = new_user(server.url, "alice"), new_user(server.url, "bob")
        rooms = [alice.create_room(bob, preset="public_chat") for _ in range(5)]
        for room_id in rooms:
            bob.join(room_id)
            for number in range(4):
                bob.say(room_id, f"{number}")

        assert set(bob.get("joined_rooms")["joined_rooms"]) == set(rooms)
