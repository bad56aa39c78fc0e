"""Users whom nobody hears, on a running server: they are answered, and others see nothing, by either way to sync."""

import json

from tests.api.client import Client
from tests.api.sliding import EXTENSIONS, following
from tests.server import Server

V1 = "/_synapse/admin/v1"
DELAYED = "/_matrix/client/unstable/org.matrix.msc4140"


def test_what_a_shadow_banned_user_does_reaches_nobody(
    server: Server, admin: Client, alice: Client, bob: Client, carol: Client
) -> None:
    room_id = alice.create_room_with(bob, preset="trusted_private_chat")
    heard = alice.say(room_id, "hello")
    since = alice.sync()["next_batch"]
    sliding = following(alice)
    sliding.want(extensions=EXTENSIONS)
    sliding.ask()
    ban = (V1, "users", bob.user_id, "shadow_ban")
    bob.post(*ban, status=403)
    assert admin.post(*ban) == {}
    assert admin.get("/_synapse/admin/v2/users", bob.user_id)["shadow_banned"] is True

    event_id = bob.say(room_id, "buy hats")
    bob.set_state(room_id, "m.room.topic", {"topic": "hats"})
    bob.put("rooms", room_id, "redact", heard, "t1")
    bob.post("rooms", room_id, "invite", body={"user_id": carol.user_id})
    bob.put("rooms", room_id, "typing", bob.user_id, body={"typing": True})
    bob.post("rooms", room_id, "receipt", "m.read", heard)
    bob.put("presence", bob.user_id, "status", body={"presence": "online", "status_msg": "hats"})
    bob.put("profile", bob.user_id, "displayname", body={"displayname": "Hats"})
    bob.put("sendToDevice", "m.thing", "t2", body={"messages": {alice.user_id: {"*": {"hats": 1}}}})
    delay = {"delay": 3_600_000, "content": {"body": "later hats", "msgtype": "m.text"}}
    path = (DELAYED, "rooms", room_id, "delayed_event", "m.room.message", "t3")
    bob.post(DELAYED, "delayed_events", bob.put(*path, body=delay)["delay_id"], "send")
    bob.create_room(carol)
    bob.post("rooms", room_id, "ban", body={"user_id": carol.user_id})
    bob.sync(since=None, set_presence="online")
    end = alice.say(room_id, "end")

    told = alice.sync(since)
    events = told["rooms"]["join"][room_id]["timeline"]["events"]
    assert [event["event_id"] for event in events] == [end]
    assert bob.user_id not in json.dumps(told)
    by_sliding = sliding.ask()
    assert [event["event_id"] for event in by_sliding["rooms"][room_id]["timeline"]] == [end]
    assert bob.user_id not in json.dumps(by_sliding["rooms"][room_id]["timeline"])
    assert bob.user_id not in json.dumps(by_sliding["extensions"])
    assert "rooms" not in carol.sync()
    assert event_id.startswith("$")
    alice.get("rooms", room_id, "event", event_id, status=404)
    assert alice.get("rooms", room_id, "event", heard)["content"]["body"] == "hello"
    assert [event["event_id"] for event in bob.messages(room_id, limit=1)["chunk"]] == [end]

    assert admin.delete(*ban) == {}
    sorry = bob.say(room_id, "sorry")
    assert alice.get("rooms", room_id, "event", sorry)["sender"] == bob.user_id


def test_administrators_and_users_of_elsewhere_are_not_shadow_banned(admin: Client, alice: Client) -> None:
    admin.post(V1, "users", admin.user_id, "shadow_ban", status=403)
    admin.post(V1, "users", "@a:elsewhere.example", "shadow_ban", status=400)
    admin.post(V1, "users", f"@nobody:{alice.server_name}", "shadow_ban", status=404)
    alice.post(V1, "users", alice.user_id, "shadow_ban", status=403)
    alice.delete("/_columba/admin/v1/users", alice.user_id, "shadow_ban", status=403)

    assert admin.get("/_synapse/admin/v2/users", alice.user_id)["shadow_banned"] is False
