"""Rooms that are deleted, over HTTP, as tools of Synapse do it and by the command line."""

import json
from typing import Any

from tests.api.client import Client
from tests.server import Server

V1, V2 = "/_synapse/admin/v1/rooms", "/_synapse/admin/v2/rooms"
JOBS = "/_columba/admin/v1/jobs"


def delete(client: Client, *path: str, body: Any, status: int = 200, errcode: str | None = None) -> Any:  # Any: JSON
    return client.call("DELETE", *path, body=body, status=status, errcode=errcode)


def test_a_room_is_deleted_while_its_members_watch(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Spam")
    alice.say(room_id, "buy")
    token = bob.token()

    done = delete(admin, V1, room_id, body={"block": True, "message": "Spam is no fun"})

    left = bob.get("sync", query={"since": token})["rooms"]["leave"][room_id]
    assert set(done["kicked_users"]) == {alice.user_id, bob.user_id}
    assert (done["failed_to_kick_users"], done["local_aliases"], done["new_room_id"]) == ([], [], None)
    assert left["timeline"]["events"][-1]["content"]["membership"] == "leave"
    assert admin.get("/_columba/admin/v1/rooms", room_id, "block")["block"] is True
    admin.get(V1, room_id, status=404, errcode="M_NOT_FOUND")
    alice.get("rooms", room_id, "messages", query={"dir": "b"}, status=403, errcode="M_FORBIDDEN")


def test_how_far_it_is_can_be_asked_for_afterwards(admin: Client, alice: Client) -> None:
    room_id = alice.create_room()

    delete_id = delete(admin, V2, room_id, body={})["delete_id"]
    while admin.get(V2, "delete_status", delete_id)["status"] not in ("complete", "failed"):
        pass

    one = admin.get(V2, "delete_status", delete_id)
    shutdown = one["shutdown_room"]
    task = admin.get("/_synapse/admin/v1/scheduled_tasks", query={"resource_id": room_id})["scheduled_tasks"]
    job = admin.get(JOBS, delete_id)
    assert (one["status"], shutdown["kicked_users"]) == ("complete", [alice.user_id])
    assert admin.get(V2, room_id, "delete_status") == {"results": [one]}
    assert (one["delete_id"], one["room_id"]) == (delete_id, room_id)
    assert [(each["id"], each["action"], each["status"]) for each in task] == [
        (delete_id, "shutdown_and_purge_room", "complete")
    ]
    assert (job["kind"], job["asked_by"], job["arguments"]["purge"]) == ("delete_room", admin.user_id, True)
    assert admin.get(JOBS, query={"subject": room_id})["jobs"] == [
        {name: value for name, value in job.items() if name != "arguments"}
    ]
    admin.post(JOBS, delete_id, "cancel", body={}, status=403, errcode="M_BAD_STATE")


def test_what_is_not_there_or_makes_no_sense_is_refused(admin: Client, alice: Client) -> None:
    room_id = alice.create_room()
    delete(admin, V2, "!nowhere:localhost", body={}, status=404, errcode="M_NOT_FOUND")
    delete(admin, V1, room_id, body={"new_room_user_id": "@a:elsewhere.example"}, status=400, errcode="M_INVALID_PARAM")
    admin.get(V2, room_id, "delete_status", status=404, errcode="M_NOT_FOUND")
    admin.get(V2, "delete_status", "nothing", status=404, errcode="M_NOT_FOUND")
    admin.get(JOBS, query={"status": "asleep"}, status=400, errcode="M_INVALID_PARAM")
    admin.get(JOBS, "nothing", status=404, errcode="M_NOT_FOUND")
    delete(alice, V1, room_id, body={}, status=403, errcode="M_FORBIDDEN")
    alice.say(room_id, "still here")


def test_the_command_line_deletes_a_room_and_says_what_it_did(server: Server, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Spam")

    dry = server.command("admin", "room", "delete", room_id, "--dry-run")
    still = alice.get("joined_rooms")["joined_rooms"]
    unsure = server.command("admin", "room", "delete", room_id)
    done = server.command("admin", "room", "delete", room_id, "--yes", "--json")
    listed = server.command("admin", "job", "list", "--of", room_id)

    assert (dry.returncode, done.returncode) == (0, 0)
    assert dry.stdout.startswith(f"Would delete the room {room_id} (Spam) with 2 members of this server and ")
    assert room_id in still
    assert (unsure.returncode, "use --yes" in unsure.stderr) == (1, True)
    assert json.loads(done.stdout)["outcome"]["left"] == 2
    assert f"delete_room of {room_id} complete" in listed.stdout
    assert room_id not in alice.get("joined_rooms")["joined_rooms"]


def test_a_room_is_shut_down_and_its_members_find_a_new_one(server: Server, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    words = ("--new-room-by", alice.user_id, "--name", "Closed", "--message", "Sorry", "--yes", "--json")
    done = json.loads(server.command("admin", "room", "shutdown", room_id, *words).stdout)

    new_room_id = done["outcome"]["new_room_id"]
    assert bob.get("joined_rooms")["joined_rooms"].count(new_room_id) == 1
    assert room_id not in bob.get("joined_rooms")["joined_rooms"]
    bodies = [event["content"].get("body") for event in bob.messages(new_room_id, dir="b")["chunk"]]
    assert "Sorry" in bodies
