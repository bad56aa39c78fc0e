"""What a request may cost from its first byte to its last, once the server is warm.

Everything that a thread brings back counts, not the database's answers alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assembled import AssembledServer, Spent, assembled
from tests.conftest import DATABASES
from tests.postgres import Postgres

POLLS = 50
NOTHING = Spent()
ONE_WRITE = Spent(writes=1, crossings=1)
ONE_READ = Spent(reads=1, crossings=1)
UNSEEN = {"set_presence": "offline"}  # who comes online is told a moment later: see test_services.py


@pytest.fixture(params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AssembledServer]:
    """A server with nothing in it."""
    if request.param == "sqlite":
        server = assembled(tmp_path, "sqlite")
        yield server
        server.close()
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.url_of_new_database()
    server = assembled(tmp_path, url)
    yield server
    server.close()
    postgres.give_back(url)


@pytest.fixture
def alice(server: AssembledServer) -> str:
    """The access token of a user."""
    return server.register("alice")


@pytest.fixture
def bob(server: AssembledServer) -> str:
    """That of another one."""
    return server.register("bob")


@pytest.fixture
def room_id(server: AssembledServer, alice: str, bob: str) -> str:
    """A room with both, in which something was said."""
    room_id: str = server.call(alice, "POST", "createRoom", body={"preset": "public_chat"})["room_id"]
    server.call(bob, "POST", "join", room_id, body={})
    say(server, alice, room_id, "warm")
    return room_id


def say(server: AssembledServer, token: str, room_id: str, transaction_id: str) -> str:
    """Send a message; its event ID."""
    body = {"msgtype": "m.text", "body": "hello"}
    path = ("rooms", room_id, "send", "m.room.message", transaction_id)
    event_id: str = server.call(token, "PUT", *path, body=body)["event_id"]
    return event_id


def sync(server: AssembledServer, token: str, since: str | None = None) -> Any:  # Any: JSON
    """What a sync that does not wait answers."""
    return server.call(token, "GET", "sync", query={**UNSEEN, **({} if since is None else {"since": since})})


def cost(server: AssembledServer, action: Callable[[], object]) -> Spent:
    """What an action costs."""
    before = server.spent
    action()
    return server.spent - before


def test_asking_for_what_is_counted_costs_nothing(server: AssembledServer) -> None:
    assert cost(server, lambda: None) == NOTHING


def test_a_request_with_a_known_token_costs_nothing_by_itself(server: AssembledServer, alice: str) -> None:
    assert cost(server, lambda: server.call(alice, "GET", "account", "whoami")) == NOTHING


def test_a_message_is_one_write(server: AssembledServer, alice: str, room_id: str) -> None:
    assert cost(server, lambda: say(server, alice, room_id, "txn")) == ONE_WRITE


def test_a_room_is_made_in_one_write(server: AssembledServer, alice: str) -> None:
    body = {"preset": "public_chat", "name": "Room", "topic": "All", "invite": ["@bob:example.org"]}

    assert cost(server, lambda: server.call(alice, "POST", "createRoom", body=body)) == ONE_WRITE


def test_a_page_of_history_is_one_read(server: AssembledServer, bob: str, room_id: str) -> None:
    page = cost(server, lambda: server.call(bob, "GET", "rooms", room_id, "messages", query={"dir": "b"}))

    assert page == ONE_READ


def test_a_receipt_is_one_write_and_typing_nothing(server: AssembledServer, alice: str, bob: str, room_id: str) -> None:
    event_id = say(server, alice, room_id, "txn")
    typing = ("rooms", room_id, "typing", "@bob:example.org")
    server.call(bob, "PUT", *typing, body={"typing": True})

    receipt = cost(server, lambda: server.call(bob, "POST", "rooms", room_id, "receipt", "m.read", event_id, body={}))
    stops = cost(server, lambda: server.call(bob, "PUT", *typing, body={"typing": False}))
    starts = cost(server, lambda: server.call(bob, "PUT", *typing, body={"typing": True}))

    assert receipt == ONE_WRITE
    assert stops == starts == NOTHING


def test_a_sync_for_which_nothing_happened_costs_nothing(server: AssembledServer, bob: str, room_id: str) -> None:
    since = sync(server, bob)["next_batch"]

    assert cost(server, lambda: sync(server, bob, since)) == NOTHING


def test_an_event_wakes_many_long_polls_without_a_read(server: AssembledServer, alice: str, room_id: str) -> None:
    tokens = [server.register(f"user{number}") for number in range(POLLS)]
    for token in tokens:
        server.call(token, "POST", "join", room_id, body={})
    since = {token: sync(server, token)["next_batch"] for token in tokens}
    polls = [
        server.ask(token, "GET", "sync", query={**UNSEEN, "since": since[token], "timeout": 30_000}) for token in tokens
    ]
    assert not any(poll.is_answered for poll in polls)

    def send() -> None:
        say(server, alice, room_id, "txn")
        server.reactor.turn_until(lambda: all(poll.is_answered for poll in polls))

    assert cost(server, send) == ONE_WRITE
    assert all(room_id in poll.answer["rooms"]["join"] for poll in polls)


def test_keys_and_messages_for_devices_are_a_transaction_each(server: AssembledServer, alice: str, bob: str) -> None:
    users: dict[str, list[str]] = {"@alice:example.org": [], "@bob:example.org": []}
    claims = {user: {"PHONE": "signed_curve25519"} for user in users}
    messages = {user: {"*": {"body": "secret"}} for user in users}

    query = cost(server, lambda: server.call(alice, "POST", "keys", "query", body={"device_keys": users}))
    claim = cost(server, lambda: server.call(alice, "POST", "keys", "claim", body={"one_time_keys": claims}))
    send = cost(
        server,
        lambda: server.call(alice, "PUT", "sendToDevice", "m.dummy", "txn", body={"messages": messages}),
    )

    assert (query, claim, send) == (ONE_READ, ONE_WRITE, ONE_WRITE)


def test_a_login_is_one_read_one_write_and_one_thread_for_the_password(server: AssembledServer, alice: str) -> None:
    identifier = {"type": "m.id.user", "user": "alice"}
    body = {"type": "m.login.password", "identifier": identifier, "password": "wonderland"}

    assert cost(server, lambda: server.call(None, "POST", "login", body=body)) == Spent(1, 1, 3)
