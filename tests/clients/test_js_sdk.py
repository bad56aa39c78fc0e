"""People with matrix-js-sdk and its Rust crypto: a restart of the server, a new device, an ordinary day."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import PASSWORD
from tests.clients.people import People, the_sdk
from tests.server import Server, running

pytestmark = pytest.mark.clients


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    """The process with the clients."""
    the_sdk()
    clients = People(tmp_path / "log")
    yield clients
    clients.close()


def introduce(people: People, server: Server, *, sliding: bool = False) -> tuple[dict[str, Any], str]:
    """Register Alice and Bob, who then share an encrypted room: their credentials, and the room."""
    known = {
        who: people.do(who, "register", url=server.url, username=who, password=PASSWORD) for who in ("alice", "bob")
    }
    for who, credentials in known.items():
        people.do(who, "start", url=server.url, credentials=credentials, sliding=sliding)
    room_id = people.do("alice", "createRoom", invite=[known["bob"]["user_id"]])["room_id"]
    people.do("bob", "join", room=room_id)
    for who, other in (("alice", "bob"), ("bob", "alice")):
        assert people.do(who, "meet", room=room_id, other=known[other]["user_id"]) == {"devices": 1}
    return known, room_id


def say(people: People, speaker: str, listener: str, room_id: str, text: str) -> dict[str, Any]:
    """One says something, the other hears it: what was heard."""
    people.do(speaker, "say", room=room_id, text=text)
    heard: dict[str, Any] = people.do(listener, "hear", room=room_id, text=text)
    return heard


def test_people_in_an_encrypted_room_go_on_with_the_same_tokens_after_a_restart(people: People) -> None:
    with running() as server:
        known, room_id = introduce(people, server)
        for speaker, listener in (("alice", "bob"), ("bob", "alice")):
            heard = say(people, speaker, listener, room_id, f"{speaker} before")
            assert (heard["sender"], heard["encrypted"]) == (known[speaker]["user_id"], True)

        # Bob closes his client, Alice leaves hers running.
        stopped = people.do("bob", "stop")
        server.restart()
        people.do("alice", "reconnect")
        said = people.do("alice", "say", room=room_id, text="said while Bob was away")
        started = people.do("bob", "start", url=server.url, credentials=known["bob"])

        assert said["event_id"].startswith("$")
        assert started["since"] == stopped["since"]
        heard = people.do("bob", "hear", room=room_id, text="said while Bob was away")
        assert (heard["sender"], heard["encrypted"]) == (known["alice"]["user_id"], True)
        for speaker, listener in (("alice", "bob"), ("bob", "alice")):
            heard = say(people, speaker, listener, room_id, f"{speaker} after")
            assert (heard["sender"], heard["encrypted"]) == (known[speaker]["user_id"], True)


def test_a_new_device_reads_the_past_by_the_key_backup_and_is_signed_by_its_user(people: People) -> None:
    with running() as server:
        known, room_id = introduce(people, server)
        protected = people.do("alice", "protect", password=PASSWORD)
        say(people, "bob", "alice", room_id, "of old")
        people.do("alice", "backedUp", count=1)
        people.do("alice", "stop")

        phone = people.do("phone", "login", url=server.url, username="alice", password=PASSWORD)
        people.do("phone", "start", url=server.url, credentials=phone)
        recovered = people.do("phone", "recover")

        assert protected["ready"] is True
        assert recovered["ready"] is True
        assert recovered["imported"] == recovered["total"] >= 1
        assert people.do("phone", "hear", room=room_id, text="of old")["encrypted"] is True
        device = {"user": known["alice"]["user_id"], "device": phone["device_id"]}
        assert people.do("bob", "trusts", **device)["signedByOwner"] is True
        assert say(people, "bob", "phone", room_id, "to the new device")["encrypted"] is True


@pytest.mark.parametrize("sliding", [False, True])
def test_two_people_verify_each_other_by_comparing_emoji(people: People, sliding: bool) -> None:
    with running() as server:
        _, room_id = introduce(people, server, sliding=sliding)
        for who in ("alice", "bob"):
            people.do(who, "protect", password=PASSWORD)

        verified = people.do("alice", "verifyEachOther", other="bob", room=room_id)

        assert verified["shown"][0] == verified["shown"][1]
        assert verified["trusted"] == [True, True]


@pytest.mark.parametrize("sliding", [False, True])
def test_an_ordinary_day(people: People, sliding: bool) -> None:
    with running() as server:
        known = {
            who: people.do(who, "register", url=server.url, username=who, password=PASSWORD) for who in ("alice", "bob")
        }
        alice, bob = (known[who]["user_id"] for who in ("alice", "bob"))
        people.do("alice", "start", url=server.url, credentials=known["alice"], sliding=sliding)
        room_id = people.do("alice", "createPlainRoom", invite=[bob], name="Dovecote")["room_id"]
        texts = [f"message {number}" for number in range(50)]
        for text in texts:
            people.do("alice", "say", room=room_id, text=text)
        people.do("bob", "start", url=server.url, credentials=known["bob"], sliding=sliding)
        people.do("bob", "join", room=room_id)

        # The past, and a reaction to what follows.
        assert people.do("bob", "scrollback", room=room_id) == {"first": "m.room.create", "texts": texts}
        root = people.do("alice", "say", room=room_id, text="the root")["event_id"]
        people.do("bob", "hear", room=room_id, text="the root")
        people.do("bob", "waitForUnread", room=room_id, count=1)
        relation = {"rel_type": "m.annotation", "event_id": root, "key": "\U0001f54a"}
        people.do("bob", "call", method="sendEvent", args=[room_id, "m.reaction", {"m.relates_to": relation}])
        assert people.do("alice", "waitForReaction", room=room_id, event=root) == [["\U0001f54a", 1]]

        # What was written is changed, and taken back.
        edit = {
            "msgtype": "m.text",
            "body": "* the better root",
            "m.new_content": {"msgtype": "m.text", "body": "the better root"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": root},
        }
        people.do("alice", "call", method="sendEvent", args=[room_id, "m.room.message", edit])
        people.do("bob", "waitForText", room=room_id, event=root, text="the better root")
        regretted = people.do("alice", "say", room=room_id, text="regretted")["event_id"]
        people.do("bob", "hear", room=room_id, text="regretted")
        people.do("alice", "call", method="redactEvent", args=[room_id, regretted])
        people.do("bob", "waitForRedaction", room=room_id, event=regretted)

        # What the others are doing.
        people.do("alice", "call", method="sendTyping", args=[room_id, True, 30_000])
        people.do("bob", "waitForTyping", room=room_id, user=alice)
        people.do("alice", "call", method="setDisplayName", args=["Alice the Pigeon"])
        people.do("bob", "waitForName", room=room_id, user=alice, name="Alice the Pigeon")
        last = people.do("alice", "say", room=room_id, text="read this")["event_id"]
        people.do("bob", "hear", room=room_id, text="read this")
        people.do("bob", "call", method="setRoomReadMarkersHttpRequest", args=[room_id, last, last])
        people.do("bob", "waitForUnread", room=room_id, count=0)
        people.do("alice", "waitForReceipt", room=room_id, user=bob, event=last)
