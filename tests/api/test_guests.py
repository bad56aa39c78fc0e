"""What guests may: every endpoint, as a guest asks it."""

import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import pytest

from homeserver.http.endpoint import Auth, Endpoint
from tests.api.client import PASSWORD, Client, new_user
from tests.conformance.operations import declared, shape
from tests.server import Server, running

# Spec: client-server-api/#guest-access, "Client behaviour".
SPECIFIED: Final = frozenset(
    {
        "GET /_matrix/client/v3/rooms/{roomId}/state",
        "GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}",
        "GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}",
        "GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        "GET /_matrix/client/v3/rooms/{roomId}/messages",
        "GET /_matrix/client/v3/rooms/{roomId}/members",
        "GET /_matrix/client/v3/rooms/{roomId}/initialSync",
        "GET /_matrix/client/v3/sync",
        "GET /_matrix/client/v3/events",
        "GET /_matrix/client/v1/media/download/{serverName}/{mediaId}",
        "GET /_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}",
        "GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}",
        "POST /_matrix/client/v3/rooms/{roomId}/join",
        "POST /_matrix/client/v3/rooms/{roomId}/leave",
        "PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
        "PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        "PUT /_matrix/client/v3/sendToDevice/{eventType}/{txnId}",
        "PUT /_matrix/client/v3/profile/{userId}/{keyName}",
        "DELETE /_matrix/client/v3/profile/{userId}/{keyName}",
        "GET /_matrix/client/v3/devices",
        "GET /_matrix/client/v3/devices/{deviceId}",
        "PUT /_matrix/client/v3/devices/{deviceId}",
        "GET /_matrix/client/v3/account/whoami",
        "POST /_matrix/client/v3/keys/upload",
        "POST /_matrix/client/v3/keys/query",
        "POST /_matrix/client/v3/keys/claim",
    }
)

# What is not in that list, and why guests may call it.
BESIDES: Final = {
    "POST /_matrix/client/v3/join/{roomIdOrAlias}": "by which clients join, also where they know the room's ID",
    "POST /_matrix/client/v3/rooms/{roomId}/send/{eventType}": "as old clients send",
    "POST /_matrix/client/v3/publicRooms": "for all may GET the same",
    "POST /_matrix/client/v3/logout": "who may come may go",
    "POST /_matrix/client/v3/logout/all": "as above",
    "GET /_matrix/client/v3/voip/turnServer": "which has a setting of its own for guests",
    "GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports": "for calls in rooms, as above",
    "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync": "which is another way to sync",
    "PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}": "as sending",
    "GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delayId}": "as sending",
    "GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events": "as sending",
}

# What may stand in a path, by the name of the parameter: enough to come as far as the question who asks.
NAMES: Final = {
    "roomId": "!room:example.org",
    "roomAlias": "#alias:example.org",
    "roomIdOrAlias": "!room:example.org",
    "userId": "@user:example.org",
    "eventId": "$event:example.org",
    "serverName": "example.org",
    "keyName": "displayname",
}
CLIENT_ENDPOINTS: Final = tuple(
    mark
    for mark in declared()
    if mark.auth not in (Auth.FEDERATION, Auth.ADMIN_SOCKET) and mark.path.startswith("/_matrix/")
)


@pytest.fixture(scope="module")
def open_server() -> Iterator[Server]:
    """A server that allows guests."""
    registration = {"enabled": True, "require_token": False, "allow_guest_access": True}
    turn = {"uris": ["turn:turn.example.org"], "shared_secret": "x"}
    with running(settings={"registration": registration, "calls": {"turn": turn}}) as server:
        yield server


def new_guest(server: Server) -> Client:
    nobody = Client(server.url)
    return nobody.known_as(nobody.post("register", query={"kind": "guest"}, body={"username": "ignored"}))


def key_of(mark: Endpoint) -> str:
    return f"{mark.method} {mark.path}"


def ask(client: Client, mark: Endpoint) -> str | None:
    """Ask with what need not make sense; the errcode of the answer."""
    path = re.sub(r"{(\w+)}", lambda name: quote(NAMES.get(name[1], "x"), safe=""), mark.path)
    content = None if mark.method in ("GET", "DELETE") else b"{}"
    response = client.send(mark.method, path, content=content)
    try:
        answer = json.loads(response.body)
    except ValueError:
        return None
    errcode: str | None = answer.get("errcode") if isinstance(answer, dict) else None
    return errcode


def test_what_guests_may_is_what_the_specification_says(open_server: Server) -> None:
    shapes = {shape(*key.split(" ", 1)) for key in (*SPECIFIED, *BESIDES)}
    expected = {
        key_of(mark): mark.auth in (Auth.NONE, Auth.OPTIONAL_TOKEN) or shape(mark.method, mark.path) in shapes
        for mark in CLIENT_ENDPOINTS
    }

    visitor, found = new_guest(open_server), {}
    for mark in CLIENT_ENDPOINTS:
        guest = new_guest(open_server) if "logout" in mark.path else visitor
        found[key_of(mark)] = ask(guest, mark) != "M_GUEST_ACCESS_FORBIDDEN"

    assert {key for key in found if found[key] != expected[key]} == set()
    visitor.get("account", "whoami")
    served = {shape(mark.method, mark.path) for mark in CLIENT_ENDPOINTS}
    assert {key for key in BESIDES if shape(*key.split(" ", 1)) not in served} == set()


def test_a_guest_is_let_in_speaks_and_has_to_leave(open_server: Server) -> None:
    alice, guest = new_user(open_server.url, "alice"), new_guest(open_server)
    room_id = alice.create_room(preset="public_chat")
    assert guest.get("account", "whoami")["is_guest"] is True
    guest.join(room_id, status=403, errcode="M_GUEST_ACCESS_FORBIDDEN")
    alice.set_state(room_id, "m.room.guest_access", {"guest_access": "can_join"})

    guest.join(room_id)
    guest.say(room_id, "hello")
    token = alice.token()
    alice.set_state(room_id, "m.room.guest_access", {"guest_access": "forbidden"})

    left = False
    while not left:
        answer = alice.sync(token, timeout_ms=30_000)
        token = answer["next_batch"]
        events = answer.get("rooms", {}).get("join", {}).get(room_id, {}).get("timeline", {}).get("events", [])
        left = any(event["sender"] == guest.user_id for event in events)
    assert alice.state(room_id, "m.room.member", guest.user_id) == {"membership": "leave"}
    guest.join(room_id, status=403, errcode="M_GUEST_ACCESS_FORBIDDEN")


def test_turn_servers_carry_the_calls_of_guests_only_if_that_was_set(open_server: Server) -> None:
    user = new_user(open_server.url, "user")

    new_guest(open_server).get("voip", "turnServer", status=403, errcode="M_FORBIDDEN")

    assert user.get("voip", "turnServer")["uris"] == ["turn:turn.example.org"]


def test_a_guest_becomes_a_user(open_server: Server) -> None:
    guest = new_guest(open_server)
    localpart = guest.user_id[1:].partition(":")[0]
    body = {"username": localpart, "password": PASSWORD, "guest_access_token": guest.access_token}
    nobody = Client(open_server.url)
    session = nobody.post("register", body=body, status=401)["session"]

    user = nobody.known_as(
        nobody.post("register", body={**body, "auth": {"type": "m.login.dummy", "session": session}})
    )

    assert user.user_id == guest.user_id
    assert user.get("account", "whoami")["is_guest"] is False
    assert user.create_room()
    assert guest.login_again().user_id == guest.user_id
