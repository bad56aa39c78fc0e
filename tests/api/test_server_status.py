"""What a server says of itself, over HTTP and from the shell."""

import json

from tests.api.client import Client
from tests.server import Server


def test_an_administrator_sees_how_the_server_is(server: Server, admin: Client, alice: Client) -> None:
    room_id = alice.create_room(name="Salon")
    for number in range(3):
        alice.say(room_id, str(number))

    status = admin.get("/_columba/admin/v1/status")
    typed = server.command("admin", "server", "status")
    as_json = server.command("admin", "server", "status", "--json")

    assert status["about"]["server_name"] == server.server_name
    assert status["connections"] >= 1
    assert status["requests_in_flight"] >= 1
    families = {family["family"]: family["size_bytes"] for family in status["database"]["families"]}
    assert families["events"] > 0
    assert "others" not in families or families["others"] < families["events"]
    assert status["database"]["size"]["size_bytes"] >= families["events"]
    assert status["streams"]["log"] > 0
    assert status["queues"]["jobs"] == 0
    assert any(cache["hits"] for cache in status["caches"])
    assert status["slowest_rooms"]  # perhaps others, of other tests: how they are sorted is the service's
    assert status["largest_rooms"]
    assert f"server: {server.server_name}, Columba" in typed.stdout
    assert json.loads(as_json.stdout).keys() == status.keys()
    alice.get("/_columba/admin/v1/status", status=403, errcode="M_FORBIDDEN")


def test_the_rooms_that_take_up_most_are_told_as_tools_ask_for_them(admin: Client, alice: Client) -> None:
    alice.say(alice.create_room(), "x")

    rooms = admin.get("/_synapse/admin/v1/statistics/database/rooms")["rooms"]

    assert rooms
    assert all(room["estimated_size"] > 0 for room in rooms)


def test_the_doctor_looks_at_everything_and_the_exit_code_says_what_came_of_it(server: Server, alice: Client) -> None:
    typed = server.command("admin", "server", "doctor", "--json")

    findings = {finding["name"]: finding for finding in map(json.loads, typed.stdout.splitlines())}
    assert {findings[name]["level"] for name in ("disk", "database")} == {"ok"}
    assert findings["files"]["level"] != "error"  # others may read the settings of these tests
    assert findings["settings"]["level"] == "warning"  # registration is open, and nothing is limited, in these tests
    assert findings["client well-known"]["level"] != "ok"
    assert all(finding["advice"] for finding in findings.values() if finding["level"] != "ok")
    assert typed.returncode == 1
    alice.post("/_columba/admin/v1/doctor", status=403, errcode="M_FORBIDDEN")
