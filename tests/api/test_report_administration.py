"""Administrators who do something about reports, on a running server."""

from typing import Any

from tests.api.client import Client
from tests.server import Server

V1 = "/_synapse/admin/v1"
REPORTS = "/_columba/admin/v1/reports"


def mine(reports: list[dict[str, Any]], reporter: Client) -> list[dict[str, Any]]:  # Any: JSON
    """Those of one user: the server is shared."""
    return [one for one in reports if reporter.user_id in (one.get("reporter"), one.get("user_id"))]


def test_reports_are_seen_in_context_and_resolved(server: Server, admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Hats", preset="private_chat")
    event_id = bob.say(room_id, "buy hats")
    alice.post("rooms", room_id, "report", event_id, body={"reason": "spam"})
    report = mine(admin.get(REPORTS, query={"resolved": False})["reports"], alice)[0]
    alice.get(REPORTS, report["report_id"], status=403)

    shown = admin.get(REPORTS, report["report_id"])
    assert (shown["sender"], shown["name"], shown["reason"]) == (bob.user_id, "Hats", "spam")
    assert shown["context"]["event"]["event_id"] == event_id
    assert shown["context"]["events_before"]
    path = (REPORTS, report["report_id"], "resolve")
    alice.post(*path, body={"resolution": "dismiss"}, status=403)
    admin.post(*path, body={"resolution": "forget"}, status=400)
    answer = admin.post(*path, body={"resolution": "redact", "note": "clear", "reason": "spam"})

    assert (answer["resolution"], answer["resolved"]) == ("redact", 1)
    assert alice.get("rooms", room_id, "event", event_id)["content"] == {}
    done = admin.get(REPORTS, report["report_id"])
    assert (done["resolution"], done["resolved_by"], done["note"]) == ("redact", admin.user_id, "clear")
    assert mine(admin.get(REPORTS, query={"resolved": False})["reports"], alice) == []
    act = admin.get("/_columba/admin/v1/audit", query={"target": report["report_id"]})["acts"][0]
    assert act["by"] == admin.user_id
    assert act["details"]["body"] == {"resolution": "redact", "note": "(withheld)", "reason": "spam", "from": None}
    told = server.command("admin", "report", "show", report["report_id"])
    assert f"redacted by {admin.user_id}" in told.stdout
    assert mine(admin.get(REPORTS, query={"resolved": True})["reports"], alice)
    admin.delete(REPORTS, report["report_id"])
    admin.get(REPORTS, report["report_id"], status=404, errcode="M_NOT_FOUND")


def test_reports_of_what_was_redacted_or_purged_since_say_so_and_its_sender_can_still_be_banned(
    server: Server, admin: Client, alice: Client, bob: Client
) -> None:
    room_id = alice.create_room_with(bob, preset="private_chat")
    purged, redacted = bob.say(room_id, "buy hats"), bob.say(room_id, "buy shoes")
    for event_id in (purged, redacted):
        alice.post("rooms", room_id, "report", event_id, body={"reason": "spam"})
    reports = {one["event_id"]: one["report_id"] for one in mine(admin.get(REPORTS)["reports"], alice)}
    of_purged, of_redacted = reports[purged], reports[redacted]
    bob.put("rooms", room_id, "redact", redacted, "t", body={"reason": "never mind"})
    gone = server.command("admin", "room", "purge-history", room_id, "--upto", redacted, "--local", "--yes")
    assert gone.returncode == 0, gone.stderr

    shown = [server.command("admin", "report", "show", report_id) for report_id in (of_purged, of_redacted)]
    listed = server.command("admin", "report", "list")
    redact = server.command("admin", "report", "resolve", of_purged, "--redact", "--yes")
    ban = server.command("admin", "report", "resolve", of_purged, "--ban", "--yes")

    assert [(one.returncode, one.stderr) for one in shown] == [(0, ""), (0, "")]
    assert f"The event is not here any more. It was sent by {bob.user_id}." in shown[0].stdout
    assert f"{{}} (redacted by {bob.user_id})" in shown[1].stdout
    assert {of_purged, of_redacted} <= {line.split()[0] for line in listed.stdout.splitlines()}
    assert (redact.returncode, "no such event in this room here" in redact.stderr) == (1, True)
    assert (ban.returncode, ban.stderr) == (0, "")
    assert alice.get("rooms", room_id, "state", "m.room.member", bob.user_id)["membership"] == "ban"


def test_reports_are_listed_and_deleted_as_tools_of_synapse_ask_for_it(
    admin: Client, alice: Client, bob: Client
) -> None:
    room_id = alice.create_room_with(bob, name="Hats")
    event_id = bob.say(room_id, "buy hats")
    alice.post("rooms", room_id, "report", event_id, body={"reason": "spam"})
    alice.post("users", bob.user_id, "report", body={"reason": "hats"})

    events = admin.get(V1, "event_reports", query={"user_id": alice.user_id, "room_id": room_id, "limit": 1})
    users = admin.get(V1, "user_reports", query={"user_id": alice.user_id, "target_user_id": bob.user_id, "dir": "f"})

    by_others = {"user_id": alice.user_id, "event_sender_user_id": alice.user_id}
    assert admin.get(V1, "event_reports", query={**by_others, "event_sender_user_id": bob.user_id})["total"] == 1
    assert admin.get(V1, "event_reports", query=by_others)["total"] == 0
    of_event, of_user = events["event_reports"][0], users["user_reports"][0]
    assert (events["total"], users["total"], "next_token" in events) == (1, 1, False)
    assert (of_event["sender"], of_event["user_id"], of_event["name"]) == (bob.user_id, alice.user_id, "Hats")
    assert (of_user["target_user_id"], of_user["reason"]) == (bob.user_id, "hats")
    one = admin.get(V1, "event_reports", str(of_event["id"]))
    assert one["event_json"]["content"]["body"] == "buy hats"
    assert admin.get(V1, "user_reports", str(of_user["id"])) == of_user
    admin.get(V1, "user_reports", str(of_event["id"]), status=404)
    admin.delete(V1, "user_reports", str(of_event["id"]), status=404)
    assert admin.delete(V1, "user_reports", str(of_user["id"])) == {}
    assert admin.delete(V1, "event_reports", str(of_event["id"])) == {}
    admin.get(V1, "event_reports", str(of_event["id"]), status=404)
    for wrong in ({"from": -1}, {"limit": 0}, {"dir": "x"}):
        admin.get(V1, "event_reports", query=wrong, status=400)
