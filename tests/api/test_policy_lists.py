"""Policy lists by the administrators' API, from the first look to the end. What lists do is in services/admin."""

from typing import Final

from tests.api.client import Client

LISTS: Final = "/_columba/admin/v1/policy/lists"


def test_a_list_is_looked_at_carried_out_and_undone(admin: Client, alice: Client, bob: Client) -> None:
    list_id = alice.create_room(preset="public_chat", room_version="11")
    room_id = alice.create_room_with(bob, preset="public_chat")
    content = {"entity": bob.user_id, "recommendation": "m.ban", "reason": "raids"}
    event_id = alice.set_state(list_id, "m.policy.rule.user", content, "a rule")

    watched = admin.post(LISTS, body={"room": list_id})
    (rule,) = admin.get(LISTS, list_id, "rules")["rules"]
    forecast = admin.get(LISTS, list_id, "dry_run", query={"apply_to": ["rooms"], "rooms": [room_id]})
    admin.post(LISTS, body={"room": list_id, "apply_to": ["rooms"], "rooms": [room_id]})
    done = admin.post(LISTS, list_id, "apply")
    applied = admin.get(LISTS, list_id)
    opinion = admin.get("/_columba/admin/v1/policy/check", query={"entity": bob.user_id})
    listed = admin.get(LISTS)["lists"]
    undone = admin.delete(LISTS, list_id, query={"undo": True})

    assert (watched["apply_to"], watched["rules"]) == ([], {"user": 1, "room": 0, "server": 0})
    assert (rule["entity"], rule["event_id"], rule["is_idle"]) == (bob.user_id, event_id, False)
    assert [(step["act"], step["room_id"], step["obstacle"]) for step in forecast["steps"]] == [("ban", room_id, None)]
    assert done["is_complete"]
    assert (applied["rooms"], applied["deeds"]) == ([room_id], {"ban": 1})
    assert [(each["list"], each["acts"]) for each in opinion["rules"]] == [(list_id, True)]
    assert list_id in [each["room_id"] for each in listed]
    assert undone == {"done": 1, "failed": 0, "is_complete": True}
    assert alice.state(room_id, "m.room.member", bob.user_id)["membership"] == "leave"
