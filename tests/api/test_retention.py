"""For how long rooms keep what is said in them, over HTTP and from the shell."""

import json
from typing import Any

from tests.api.client import Client, new_user
from tests.server import Server, running

CONFIGURATION = "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration"


def test_what_has_expired_is_shown_nowhere_although_it_was_told_before() -> None:
    policy = {"enabled": True, "shortest_max_lifetime_s": 0, "longest_max_lifetime_s": 86_400}
    with running(settings={"retention": policy}) as server:
        alice = new_user(server.url, "alice")
        room_id = alice.create_room()
        event_id = alice.say(room_id, "wombats")
        assert alice.get("rooms", room_id, "event", event_id)["content"]["body"] == "wombats"
        set_so = server.command("admin", "room", "retention", room_id, "--max-lifetime", "1m", "--json")
        alice.set_state(room_id, "m.room.retention", {"max_lifetime": 1})
        alice.say(room_id, "that its time goes by")

        wanted = {"search_categories": {"room_events": {"search_term": "wombats"}}}
        found = alice.post("search", body=wanted)["search_categories"]["room_events"]
        timeline = alice.sync()["rooms"]["join"][room_id]["timeline"]["events"]

        (told,) = [event for event in timeline if event["event_id"] == event_id]
        assert json.loads(set_so.stdout)["said_ms"] == 60_000
        assert told["content"] == {}
        assert alice.get("rooms", room_id, "event", event_id)["content"] == {}
        assert alice.messages(room_id, limit=100)["chunk"][-1]["type"] == "m.room.create"
        assert found["count"] == 0
        limits: dict[str, Any] = alice.get(CONFIGURATION)["limits"]
        assert limits == {"max_lifetime": {"min": 0, "max": 86_400_000}}


def test_by_default_everything_is_kept_whatever_rooms_say(server: Server, admin: Client, alice: Client) -> None:
    room_id = alice.create_room()
    path = ("/_columba/admin/v1/rooms", room_id, "retention")
    admin.put(*path, body={"max_lifetime": 1_000})
    event_id = alice.say(room_id, "kept")

    shown = server.command("admin", "room", "retention", room_id)

    assert admin.get(*path) == {"said_ms": 1_000, "lifetime_ms": None, "removed": 0}
    assert "here it keeps what is said for ever" in shown.stdout
    assert alice.state(room_id, "m.room.retention") == {"max_lifetime": 1_000}
    assert alice.get("rooms", room_id, "event", event_id)["content"]["body"] == "kept"
    assert admin.get("/_columba/admin/v1/retention")["policy"]["is_enabled"] is False
    assert alice.get(CONFIGURATION) == {"policies": {}, "limits": {}}
    admin.put(*path, body={"max_lifetime": -5}, status=400, errcode="M_INVALID_PARAM")
    admin.put(*path, body={"max_lifetime": "x"}, status=400, errcode="M_BAD_JSON")
    alice.put(*path, body={"max_lifetime": 1_000}, status=403, errcode="M_FORBIDDEN")
