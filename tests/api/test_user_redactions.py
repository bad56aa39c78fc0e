"""Taking back all that a user said, on a running server."""

from typing import Any

from tests.api.client import Client
from tests.server import Server

V1 = "/_synapse/admin/v1"
OWN = "/_columba/admin/v1"


def done(admin: Client, *path: str) -> Any:  # Any: JSON
    """How a job ended."""
    while (answer := admin.get(*path))["status"] in ("scheduled", "active"):
        pass
    return answer


def test_all_that_a_user_said_is_taken_back(server: Server, admin: Client, alice: Client, bob: Client) -> None:
    here, there = (alice.create_room_with(bob) for _ in range(2))
    said = [(room_id, bob.say(room_id, "buy hats")) for room_id in (here, there, here)]
    mine = alice.say(here, "no")
    bob.post(V1, "user", bob.user_id, "redact", body={"rooms": []}, status=403)
    admin.post(V1, "user", bob.user_id, "redact", body={"reason": "spam"}, status=400, errcode="M_BAD_JSON")

    dry = admin.post(OWN, "users", bob.user_id, "redact", body={"dry_run": True, "rooms": [here]})
    counted = done(admin, OWN, "jobs", dry["job_id"])["outcome"]
    assert (counted["found"], counted["redacted"], counted["rooms"]) == (3, 0, 1)  # with the join
    assert all(alice.get("rooms", room_id, "event", event_id)["content"] for room_id, event_id in said)

    begun = admin.post(V1, "user", bob.user_id, "redact", body={"rooms": [], "reason": "spam"})
    assert done(admin, V1, "user", "redact_status", begun["redact_id"]) == {
        "status": "complete",
        "failed_redactions": {},
    }
    tasks = {"action_name": "redact_all_events", "resource_id": bob.user_id}
    listed = admin.get(V1, "scheduled_tasks", query={**tasks, "status": "complete"})["scheduled_tasks"]
    assert admin.get(V1, "scheduled_tasks", query={**tasks, "job_status": "failed"}) == {"scheduled_tasks": []}
    assert begun["redact_id"] in [task["id"] for task in listed]
    assert not any(alice.get("rooms", room_id, "event", event_id)["content"] for room_id, event_id in said)
    assert alice.get("rooms", here, "event", mine)["content"]["body"] == "no"
    admin.get(V1, "user", "redact_status", "unknown", status=404, errcode="M_NOT_FOUND")
    bob.get(V1, "user", "redact_status", begun["redact_id"], status=403)
    admin.post(OWN, "users", bob.user_id, "redact", body={"rooms": ["x"]}, status=400)
    admin.post(OWN, "users", bob.user_id, "redact", body={"since_ts": 5, "until_ts": 4}, status=400)

    bob.say(here, "more hats")
    command = ("admin", "user", "redact-all", bob.user_id, "--since", "1h", "--yes")
    told = server.command(*command)
    assert (told.returncode, told.stdout) == (0, f"Redacted 1 events of {bob.user_id}, who was in 2 rooms.\n")


def test_what_was_said_before_or_after_a_time_stays(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    said = [bob.say(room_id, str(number)) for number in range(3)]
    times = [alice.get("rooms", room_id, "event", event_id)["origin_server_ts"] for event_id in said]

    def redact(**within: int) -> None:
        begun = admin.post(V1, "user", bob.user_id, "redact", body={"rooms": [room_id], "limit": None, **within})
        assert done(admin, V1, "user", "redact_status", begun["redact_id"])["status"] == "complete"

    def left() -> list[int]:
        shown = [alice.get("rooms", room_id, "event", event_id)["content"] for event_id in said]
        return [times[number] for number, content in enumerate(shown) if content]

    redact(after_ts=times[-1] + 1)
    redact(before_ts=times[0] - 1)
    untouched = left()
    redact(before_ts=times[0])
    later = left()
    redact(after_ts=times[-1], before_ts=times[-1])

    assert untouched == times
    assert later == [time for time in times if time > times[0]]
    assert left() == [time for time in times if times[0] < time < times[-1]]
