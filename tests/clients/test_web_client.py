"""Element Web in Chromium: from registering to a thread in an encrypted room, on two devices and with somebody else.

Element Web is not on npm, but all that it consists of is; web/build.mjs makes an application of it. A picture of each
step is kept in pytest's temporary folder, or in COLUMBA_SCREENSHOTS if that names a folder: look at them.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.api.client import PASSWORD, Client
from tests.clients.people import HERE, People
from tests.server import Server, running

pytestmark = pytest.mark.clients

BUILT: Final = HERE / "web" / "dist" / ".built"
THUMB: Final = "\N{THUMBS UP SIGN}"
COLOURED: Final = "\N{VARIATION SELECTOR-16}"  # as the specification wants it behind an emoji in a reaction
ROOM: Final = "Dovecote"

# What Element asks for and may be refused: method, path behind /_matrix/client, status.
REFUSALS: Final = {
    ("GET", "/unstable/org.matrix.msc2697.v2/dehydrated_device", 404),  # older than the dehydrated devices there are
    ("GET", "/unstable/org.matrix.msc2965/auth_issuer", 404),  # no OAuth here
    ("GET", "/unstable/org.matrix.msc3814.v1/dehydrated_device", 404),  # none is kept
    ("GET", "/v3/pushers", 404),  # not served yet
    ("GET", "/v3/room_keys/version", 404),  # no backup of keys so far
    ("GET", "/v3/rooms/{room}/members", 403),  # asked for as somebody who is only invited
    ("GET", "/v3/thirdparty/protocols", 404),  # not served yet
    ("GET", "/v3/voip/turnServer", 404),  # none is configured
    ("POST", "/v3/register", 401),  # which stages there are
}


def chromium() -> str:
    """Debian's browser, or another that COLUMBA_CHROMIUM names."""
    found = os.environ.get("COLUMBA_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("NOT TRIED: Chromium is missing; on Debian: apt install chromium")
    return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[People, Server]]:
    """People with browsers, and the server that their Element knows."""
    if not BUILT.exists():
        pytest.skip("NOT TRIED: Element Web is missing; `make test-all` builds it")
    pictures = os.environ.get("COLUMBA_SCREENSHOTS") or str(tmp_path / "pictures")
    with running() as server:
        people = People(tmp_path / "log", "web/browser.mjs", chromium(), server.url, pictures)
        yield people, server
        people.close()


def said(witness: Client, room_id: str, shown: dict[str, Any]) -> dict[str, Any]:
    """The event of a message that a page shows, as the server gives it to one of the room. Any: JSON."""
    event: dict[str, Any] = witness.get("rooms", room_id, "event", shown["event"])
    return event


def refusals(people: People, who: str) -> set[tuple[str, str, int]]:
    """What the server refused them, as in REFUSALS."""
    return {
        (
            refused["method"],
            re.sub(r"/rooms/[^/]+", "/rooms/{room}", refused["path"].removeprefix("/_matrix/client")),
            refused["status"],
        )
        for refused in people.do(who, "complaints")
    }


def test_people_with_browsers_meet_in_an_encrypted_room(stage: tuple[People, Server]) -> None:
    people, server = stage

    # Alice registers, makes a room and speaks in it; her keys are kept.
    people.do("alice", "register", username="alice", password=PASSWORD)
    people.do("alice", "begin")
    room_id = people.do("alice", "createRoom", name=ROOM)
    first = people.do("alice", "say", text="the first message")
    people.do("alice", "protect")
    witness = Client(server.url, f"@alice:{server.server_name}").login_again()
    assert witness.state(room_id, "m.room.encryption")["algorithm"] == "m.megolm.v1.aes-sha2"
    assert said(witness, room_id, first)["type"] == "m.room.encrypted"
    assert "body" not in said(witness, room_id, first)["content"]

    # Her laptop and the browser that she has verify each other, and the laptop reads what was before it.
    people.do("laptop", "login", username="alice", password=PASSWORD)
    emoji = people.do("laptop", "verify", by="alice")
    assert len(emoji[0]) == 7
    assert emoji[0] == emoji[1]
    people.do("laptop", "enter", name=ROOM)
    assert people.do("laptop", "hear", text="the first message")["event"] == first["event"]
    keys = witness.post("keys", "query", body={"device_keys": {witness.user_id: []}})
    (signing_key,) = keys["self_signing_keys"][witness.user_id]["keys"]
    signed = [
        device
        for device in keys["device_keys"][witness.user_id].values()
        if signing_key in device["signatures"][witness.user_id]
    ]
    assert len(signed) == 2

    # A reaction and a reply in a thread, each on the one and seen on the other.
    people.do("alice", "say", text="the second message")
    people.do("laptop", "hear", text="the second message")
    assert people.do("laptop", "react", text="the first message", key=THUMB) == "1"
    assert people.do("alice", "seeReaction", text="the first message", key=THUMB) == "1"
    reply = people.do("laptop", "replyInThread", text="the first message", reply="in a thread")
    assert people.do("alice", "openThread", text="the first message", reply="in a thread") == reply
    people.do("alice", "closePanel")
    relation = said(witness, room_id, reply)["content"]["m.relates_to"]
    assert (relation["rel_type"], relation["event_id"]) == ("m.thread", first["event"])
    thread = said(witness, room_id, first)["unsigned"]["m.relations"]["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, reply["event"])
    reactions = witness.call("GET", "/_matrix/client/v1/rooms", room_id, "relations", first["event"], "m.annotation")
    assert [event["content"]["m.relates_to"]["key"] for event in reactions["chunk"]] == [THUMB + COLOURED]

    # Bob comes when asked, reads and answers.
    people.do("bob", "register", username="bob", password=PASSWORD)
    people.do("bob", "begin")
    people.do("alice", "invite", user=f"@bob:{server.server_name}")
    people.do("bob", "accept", name=ROOM)
    welcome = people.do("alice", "say", text="welcome, Bob")
    assert people.do("bob", "hear", text="welcome, Bob")["event"] == welcome["event"]
    answer = people.do("bob", "say", text="thank you")
    for who in ("alice", "laptop"):
        assert people.do(who, "hear", text="thank you") == answer
    event = said(witness, room_id, answer)
    assert (event["sender"], event["type"]) == (f"@bob:{server.server_name}", "m.room.encrypted")

    # The server refused nothing that it should not have refused.
    for who in ("alice", "laptop", "bob"):
        assert refusals(people, who) <= REFUSALS
