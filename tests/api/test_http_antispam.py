"""A moderation bot that is asked what may be done, on a running server."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from tests.api.client import PASSWORD, Client, new_user
from tests.server import Server, running

# Any: JSON, throughout.


class Bot(BaseHTTPRequestHandler):
    """Has something against all that says "spam", and against Mallory."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, Any]]
    hello: Event

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rpartition("/")[2]
        is_known = self.headers["Authorization"] == "Bearer secret"
        self.asked.append((name, body))
        status, answer = 200, {}
        if name == "ping":
            answer = {"id": body["id"], "status": "ok"}
            self.hello.set()
        elif not is_known or "spam" in json.dumps(body) or "mallory" in json.dumps(body):
            status, answer = 403, {"errcode": "ORG.EXAMPLE.SPAM", "error": "the bot says no"}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def bot() -> Iterator[ThreadingHTTPServer]:
    """The bot."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Noting", (Bot,), {"asked": [], "hello": Event()}))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def watched(bot: ThreadingHTTPServer) -> Iterator[Server]:
    """A server that asks it."""
    antispam = {
        "base_url": f"http://127.0.0.1:{bot.server_port}/api/1/spam_check",
        "authorization": "secret",
        "async_callbacks": ["user_may_create_room_alias"],
    }
    with running(settings={"http_antispam": antispam}) as server:
        yield server


def asked_of(bot: ThreadingHTTPServer, name: str) -> list[Any]:
    """With what the bot was asked one thing."""
    return [body for asked, body in bot.RequestHandlerClass.asked if asked == name]  # type: ignore[attr-defined]


def test_the_bot_is_greeted(watched: Server, bot: ThreadingHTTPServer) -> None:
    assert watched.process is not None
    assert bot.RequestHandlerClass.hello.wait(60)  # type: ignore[attr-defined]


def test_what_the_bot_refuses_is_not_done_and_its_reason_is_told(watched: Server, bot: ThreadingHTTPServer) -> None:
    alice, bob = new_user(watched.url, "alice"), new_user(watched.url, "bob")
    room_id = alice.create_room(bob, preset="public_chat")
    bob.join(room_id)
    said = alice.say(room_id, "hello")

    refused = alice.put(
        "rooms", room_id, "send", "m.room.message", "t", body={"msgtype": "m.text", "body": "spam"}, status=403
    )
    topic = {"topic": "spam"}
    alice.put("rooms", room_id, "state", "m.room.topic", body=topic, status=403, errcode="ORG.EXAMPLE.SPAM")

    assert refused == {"errcode": "ORG.EXAMPLE.SPAM", "error": "the bot says no"}
    assert next(event["event_id"] for event in bob.messages(room_id)["chunk"]) == said
    assert asked_of(bot, "user_may_create_room")[-1] == {"user_id": alice.user_id}
    joined = {"user": bob.user_id, "room": room_id, "is_invited": True}
    assert asked_of(bot, "user_may_join_room")[-1] == joined


def test_whom_the_bot_refuses_does_not_log_in_and_invites_nobody(watched: Server) -> None:
    alice = new_user(watched.url, "alice")
    mallory = new_user(watched.url, "mallory")
    identifier = {"type": "m.id.user", "user": mallory.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}

    Client(watched.url).post("login", body=body, status=403, errcode="ORG.EXAMPLE.SPAM")
    alice.login_again()
    mallory.post("createRoom", status=403, errcode="ORG.EXAMPLE.SPAM")
    room_id = alice.create_room()
    for path in (("rooms", room_id, "invite"), ("createRoom",)):
        invite = {"user_id": mallory.user_id} if path[-1] == "invite" else {"invite": [mallory.user_id]}
        alice.post(*path, body=invite, status=403, errcode="ORG.EXAMPLE.SPAM")
    joined = alice.get("joined_rooms")["joined_rooms"]
    assert joined == [room_id]


def test_what_the_bot_is_only_told_it_does_not_hold_up(watched: Server) -> None:
    alice = new_user(watched.url, "alice")
    room_id = alice.create_room()
    alias = f"#spam-{alice.user_id[1:].partition(':')[0]}:{alice.server_name}"

    alice.put("directory", "room", alias, body={"room_id": room_id})

    assert alice.get("directory", "room", alias)["room_id"] == room_id


def test_without_the_bot_people_speak_on_and_invite_nobody() -> None:
    settings = {"http_antispam": {"base_url": "http://127.0.0.1:1", "ping": False, "timeout_s": 5}}
    with running(settings=settings) as server:
        alice, bob = new_user(server.url, "alice"), new_user(server.url, "bob")
        alice.post("createRoom", status=403, errcode="M_UNKNOWN")
        server.stop()
        fail_open = ["check_event_for_spam", "user_may_create_room"]
        server.settings["http_antispam"]["fail_open"] = fail_open
        server.start()
        room_id = alice.create_room()
        alice.say(room_id, "spam")
        alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id}, status=403, errcode="M_UNKNOWN")
