"""Audits of rooms, asked for from the shell and over HTTP, of a running server and of its files."""

import json
import sqlite3
from pathlib import Path
from urllib.parse import quote

from tests.api.client import Client, new_user, register
from tests.server import Server, homeserver, new_server

ADMIN = "/_columba/admin/v1"


def admin_room(server: Server, *arguments: str) -> tuple[int, str, str]:
    """Run `homeserver admin room …`; its exit code, what it printed, what it complained of."""
    done = homeserver("admin", "room", *arguments, "-c", str(server.configuration), folder=server.folder)
    return done.returncode, done.stdout, done.stderr


def lively_room(alice: Client, bob: Client) -> str:
    room_id = alice.create_room_with(bob, name="Dovecote", preset="public_chat")
    told = bob.say(room_id, "to be gone")
    alice.put("rooms", room_id, "redact", told, "txn")
    alice.say(room_id, "hello")
    return room_id


def test_a_room_of_a_running_server_is_sound(server: Server, alice: Client, bob: Client) -> None:
    room_id = lively_room(alice, bob)

    code, told, complaint = admin_room(server, "verify", room_id)

    assert (code, complaint) == (0, "")
    assert told == f"{room_id}: sound: 12 events, 2 members\n"


def test_all_rooms_of_a_running_server_are_sound(server: Server, alice: Client, bob: Client) -> None:
    room_ids = {lively_room(alice, bob), alice.create_room(room_version="1")}

    code, told, complaint = admin_room(server, "verify", "--all", "--json")

    answers = [json.loads(line) for line in told.splitlines()]
    assert (code, complaint) == (0, "")
    assert {answer["fault"] for answer in answers} == {None}
    assert room_ids <= {answer["room_id"] for answer in answers}


def test_the_graph_of_a_room_is_printed(server: Server, alice: Client, bob: Client) -> None:
    room_id = lively_room(alice, bob)
    event_id = alice.say(room_id, "last")

    code, told, _ = admin_room(server, "graph", room_id)

    assert code == 0
    assert told.startswith(f'digraph "{room_id}" {{')
    assert f'  "{event_id}" -> ' in told
    assert told.count("->") == 12


def test_a_room_that_is_not_there_is_said_not_to_be(server: Server) -> None:
    for verb in ("verify", "graph"):
        code, told, complaint = admin_room(server, verb, "!none:example.org")

        assert (code, told if verb == "verify" else "") == (1, "")
        assert "M_NOT_FOUND" in complaint


def test_only_administrators_may_ask(server: Server, alice: Client) -> None:
    room_id = alice.create_room()

    for path in (f"{ADMIN}/rooms/{quote(room_id)}/verify", f"{ADMIN}/rooms/{quote(room_id)}/graph"):
        alice.get(path, status=403, errcode="M_FORBIDDEN")
        Client(server.url).get(path, status=401, errcode="M_MISSING_TOKEN")
    alice.get(f"{ADMIN}/verifiable_rooms", status=403, errcode="M_FORBIDDEN")


def test_what_was_done_to_the_files_of_a_stopped_server_is_found(tmp_path: Path) -> None:
    server = new_server()
    try:
        server.start()
        alice, bob = register(server.url, "alice"), new_user(server.url, "bob")
        sound, damaged = alice.create_room(), lively_room(alice, bob)
        event_id = alice.say(damaged, "something else was said")
        server.stop()
        database = sqlite3.connect(server.sqlite_file)
        with database:
            ((pdu,),) = database.execute("SELECT pdu FROM events WHERE event_id = ?", (event_id,))
            changed = pdu.replace(b"something", b"Something")
            database.execute("UPDATE events SET pdu = ? WHERE event_id = ?", (changed, event_id))
        database.close()

        code, told, complaint = admin_room(server, "verify", "--all")

        assert code == 1
        assert complaint == "homeserver: 1 of 2 rooms are not sound\n"
        assert f"{damaged}: NOT SOUND: {event_id}: its content hash is wrong\n" in told
        assert f"{sound}: sound: " in told
    finally:
        server.close()
