"""History that is deleted, over HTTP and by the command line."""

from typing import Any, Final

from tests.api.client import Client
from tests.server import Server

PURGES: Final = "/_synapse/admin/v1/purge_history"
STATUS: Final = "/_synapse/admin/v1/purge_history_status"


def bodies(client: Client, room_id: str) -> list[Any]:  # Any: JSON
    found = [event["content"].get("body") for event in client.messages(room_id, limit=50)["chunk"]]
    return [body for body in reversed(found) if body is not None]


def test_old_messages_go_and_clients_go_on(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Long ago")
    said = [alice.say(room_id, str(number)) for number in range(5)]
    token = bob.token()

    begun = admin.post(PURGES, room_id, said[3], body={"delete_local_events": True})
    while admin.get(STATUS, begun["purge_id"])["status"] == "active":
        pass

    assert admin.get(STATUS, begun["purge_id"]) == {"status": "complete"}
    assert bodies(alice, room_id) == ["3", "4"]
    bob.get("rooms", room_id, "event", said[0], status=404, errcode="M_NOT_FOUND")
    alice.say(room_id, "5")
    assert bob.sync(token)["rooms"]["join"][room_id]["timeline"]["events"][-1]["content"]["body"] == "5"
    assert alice.get("rooms", room_id, "state", "m.room.name") == {"name": "Long ago"}


def test_what_makes_no_sense_is_refused(admin: Client, alice: Client) -> None:
    room_id = alice.create_room()
    event_id = alice.say(room_id, "here")
    admin.post(PURGES, room_id, body={}, status=400, errcode="M_MISSING_PARAM")
    admin.post(PURGES, "!nowhere:localhost", body={"purge_up_to_ts": 1}, status=404, errcode="M_NOT_FOUND")
    admin.post(PURGES, room_id, body={"purge_up_to_event_id": "$no"}, status=404, errcode="M_NOT_FOUND")
    admin.get(STATUS, "nothing", status=404, errcode="M_NOT_FOUND")
    alice.post(PURGES, room_id, event_id, body={}, status=403, errcode="M_FORBIDDEN")
    assert bodies(alice, room_id) == ["here"]


def test_the_command_line_deletes_history_and_the_room_is_sound(server: Server, alice: Client) -> None:
    room_id = alice.create_room()
    said = [alice.say(room_id, str(number)) for number in range(4)]

    words = ("admin", "room", "purge-history", room_id, "--upto", said[2], "--local")
    dry = server.command(*words, "--dry-run")
    before = bodies(alice, room_id)
    done = server.command(*words, "--yes")

    assert dry.returncode == 0
    assert before == ["0", "1", "2", "3"]
    assert done.stdout == f"{room_id}: 2 events were deleted.\n"
    assert bodies(alice, room_id) == ["2", "3"]
    assert server.command("admin", "room", "verify", room_id).returncode == 0
