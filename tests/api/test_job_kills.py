"""Jobs of administrators whose server is killed: the next one finishes them."""

import json
from typing import Any, Final

from tests.api.client import new_user
from tests.server import Server

ROOMS: Final = 8
MESSAGES: Final = 5
API: Final = "/_columba/admin/v1"


def call(server: Server, method: str, path: str, *body: str) -> Any:  # Any: JSON
    done = server.command("admin", "call", method, f"{API}{path}", *body, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rooms_that_were_half_deleted_when_the_server_was_killed_are_deleted_by_the_next_one(mortal: Server) -> None:
    alice, bob = new_user(mortal.url, "alice"), new_user(mortal.url, "bob")
    room_ids = [alice.create_room_with(bob) for _ in range(ROOMS)]
    for room_id in room_ids:
        for number in range(MESSAGES):
            alice.say(room_id, str(number))
    kept = alice.create_room_with(bob)
    token = bob.token()
    for room_id in room_ids:
        call(mortal, "POST", f"/rooms/{room_id}/delete", "{}")

    mortal.kill()  # some are done, some begun, some wait
    mortal.start()
    while call(mortal, "GET", "/jobs?status=active")["jobs"] or call(mortal, "GET", "/jobs?status=scheduled")["jobs"]:
        pass

    jobs = call(mortal, "GET", "/jobs")["jobs"]
    assert {(job["status"], job["error"], job["total"] - job["done"]) for job in jobs} == {("complete", None, 0)}
    assert {job["subject"] for job in jobs} == set(room_ids)
    assert set(bob.sync(token)["rooms"]["leave"]) == set(room_ids)
    assert [room["room_id"] for room in call(mortal, "GET", "/rooms")["rooms"]] == [kept]
    assert mortal.command("admin", "room", "verify", "--all").returncode == 0


def test_a_room_is_deleted_while_no_server_runs(mortal: Server) -> None:
    alice = new_user(mortal.url, "alice")
    room_id = alice.create_room()
    token = alice.token()
    mortal.stop()

    done = mortal.command("admin", "room", "delete", room_id, "--yes")
    mortal.start()

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{room_id}: 1 users left; ")
    assert set(alice.sync(token)["rooms"]["leave"]) == {room_id}
