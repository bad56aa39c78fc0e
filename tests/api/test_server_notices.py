"""What the server says to its users, over HTTP and from the shell."""

import json
import uuid

from tests.api.client import PASSWORD, Client
from tests.server import Server

NOTICES = "/_synapse/admin/v1/send_server_notice"
OWN = "/_columba/admin/v1/server_notices"


def test_a_notice_comes_into_a_tagged_room_by_an_invite_that_cannot_be_declined(
    server: Server, admin: Client, alice: Client
) -> None:
    since = alice.token()
    content = {"msgtype": "m.text", "body": "We move on Sunday."}

    event_id = admin.post(NOTICES, body={"user_id": alice.user_id, "content": content})["event_id"]
    news = alice.sync(since)
    (room_id,) = news["rooms"]["invite"]
    alice.post("rooms", room_id, "leave", status=403, errcode="M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
    alice.join(room_id)

    sender = f"@_server:{server.server_name}"
    assert [each["content"]["body"] for each in alice.messages(room_id)["chunk"] if each["event_id"] == event_id] == [
        content["body"]
    ]
    assert alice.get("user", alice.user_id, "rooms", room_id, "tags") == {"tags": {"m.server_notice": {}}}
    body = {"msgtype": "m.text", "body": "thanks"}
    alice.put("rooms", room_id, "send", "m.room.message", "1", body=body, status=403, errcode="M_FORBIDDEN")
    assert alice.state(room_id, "m.room.member", sender)["displayname"] == "Server"
    alice.post("rooms", room_id, "leave")


def test_a_notice_with_a_transaction_id_is_sent_once_and_the_shell_sends_some_too(
    server: Server, admin: Client, bob: Client
) -> None:
    body = {"user_id": bob.user_id, "content": {"msgtype": "m.text", "body": "once"}}

    twice = [admin.put(path, "1", body=body)["event_id"] for path in (NOTICES, OWN)]
    typed = server.command("admin", "server", "notice", bob.user_id, "from the shell", "--json")

    assert len(set(twice)) == 1
    assert typed.returncode == 0, typed.stderr
    (room_id,) = bob.sync()["rooms"]["invite"]
    bob.join(room_id)
    told = [each["content"]["body"] for each in bob.messages(room_id)["chunk"] if each["type"] == "m.room.message"]
    assert told == ["from the shell", "once"]
    assert json.loads(typed.stdout)["user_id"] == bob.user_id


def test_what_makes_no_sense_is_refused(admin: Client, alice: Client) -> None:
    content = {"msgtype": "m.text", "body": "x"}

    def refused(status: int, errcode: str, **body: object) -> None:
        admin.post(OWN, body={"user_id": alice.user_id, "content": content, **body}, status=status, errcode=errcode)

    refused(404, "M_NOT_FOUND", user_id=f"@{uuid.uuid4().hex}:{alice.server_name}")
    refused(400, "M_INVALID_PARAM", user_id="@a:elsewhere.example")
    refused(400, "M_INVALID_PARAM", user_id="alice")
    refused(400, "M_INVALID_PARAM", type="m.room.member", state_key=alice.user_id)
    refused(400, "M_BAD_JSON", content="x")
    refused(413, "M_TOO_LARGE", content={"msgtype": "m.text", "body": "x" * 70_000})
    alice.post(OWN, body={"user_id": alice.user_id, "content": content}, status=403, errcode="M_FORBIDDEN")


def test_nobody_registers_by_the_name_of_the_server(server: Server) -> None:
    made = server.command("admin", "user", "register", "_server", "--password-stdin", text=PASSWORD)

    assert "M_EXCLUSIVE" in made.stderr


def test_an_announcement_reaches_all_who_have_an_account(server: Server, alice: Client, bob: Client) -> None:
    typed = server.command("admin", "server", "announce", "To all of you.", "--yes", "--json")

    assert typed.returncode == 0, typed.stderr
    assert json.loads(typed.stdout)["status"] == "complete"
    for each in (alice, bob):
        (room_id,) = each.sync()["rooms"]["invite"]
        each.join(room_id)
        assert "To all of you." in [event["content"].get("body") for event in each.messages(room_id)["chunk"]]
