"""What Mjolnir and Draupnir ask of a server, in their words, and what they read of the answers.

Draupnir holds answers against schemas and takes none that does not fit: so the shapes here are those of its decoders.
Mjolnir puts IDs into paths as they are. What policy lists do without a bot is in services/admin/policy_*.py.
The bot is an administrator of its server: `admin`.
"""

import json
import uuid
from typing import Any, Final

from tests.api.client import Client, new_user
from tests.server import Server

# Any: JSON, throughout.
V1: Final = "/_synapse/admin/v1"
V2: Final = "/_synapse/admin/v2"
MJOLNIR: Final = "org.matrix.mjolnir"
LIST_TYPE: Final = "support.feline.policy.lists.msc.v1"
RULES: Final = ("m.policy.rule.user", "m.policy.rule.room", "m.policy.rule.server", f"{MJOLNIR}.rule.user")
NOTHING: Final = type(None)

USER: Final = {
    "name": str,
    "is_guest": bool,
    "admin": bool,
    "user_type": (str, NOTHING),
    "deactivated": bool,
    "erased": bool,
    "shadow_banned": bool,
    "displayname": (str, NOTHING),
    "avatar_url": (str, NOTHING),
    "creation_ts": int,
    "last_seen_ts": int,
    "locked": bool,
    "suspended": bool,
}
ROOM: Final = {
    "room_id": str,
    "name": (str, NOTHING),
    "canonical_alias": (str, NOTHING),
    "joined_members": int,
    "joined_local_members": int,
    "version": str,
    "creator": str,
    "encryption": (str, NOTHING),
    "federatable": bool,
    "public": bool,
    "join_rules": (str, NOTHING),
    "guest_access": (str, NOTHING),
    "history_visibility": (str, NOTHING),
    "state_events": int,
    "room_type": (str, NOTHING),
}
ROOM_ALONE: Final = {**ROOM, "topic": (str, NOTHING), "avatar": (str, NOTHING), "joined_local_devices": int}
REPORT: Final = {
    "id": int,
    "room_id": str,
    "name": (str, NOTHING),
    "event_id": str,
    "sender": str,
    "user_id": str,
    "reason": (str, NOTHING),
}


def check_shape(value: Any, shape: dict[str, Any]) -> None:
    """Fail unless an object has all of these fields, each of its type; true is no number."""
    for name, kind in shape.items():
        assert name in value, (name, value)
        fits = isinstance(value[name], kind) and (kind is not int or not isinstance(value[name], bool))
        assert fits, (name, value[name])


def test_a_bot_comes_up_and_keeps_what_it_knows_in_its_account(admin: Client, alice: Client) -> None:
    bot = admin
    name = f"moderators{uuid.uuid4().hex[:8]}"
    management = alice.create_room(bot, room_alias_name=name)
    told = bot.get("directory", "room", f"#{name}:{alice.server_name}")
    kept = {f"{MJOLNIR}.{word}" for word in ("protected_rooms", "watched_lists", "report_poll")}

    assert bot.get("account", "whoami")["user_id"] == bot.user_id
    assert bot.get("/_matrix/client/versions")["versions"]
    assert bot.get("capabilities")["capabilities"]["m.room_versions"]["default"]
    assert (told["room_id"], told["servers"]) == (management, [alice.server_name])
    bot.post("join", management)
    assert management in bot.get("joined_rooms")["joined_rooms"]
    filter_id = bot.post("user", bot.user_id, "filter", body={"room": {"include_leave": False}})["filter_id"]
    first = bot.sync(filter=filter_id, full_state=False)
    for event_type in sorted(kept):
        bot.get("user", bot.user_id, "account_data", event_type, status=404, errcode="M_NOT_FOUND")
        bot.put("user", bot.user_id, "account_data", event_type, body={"rooms": [management], "from": 3})
        assert bot.get("user", bot.user_id, "account_data", event_type)["rooms"] == [management]
    changed = bot.sync(first["next_batch"], filter=filter_id)["account_data"]["events"]
    assert {event["type"] for event in changed} == kept
    create = bot.get("rooms", management, "state", "m.room.create", "", query={"format": "event"})
    assert (create["type"], create["sender"], create["room_id"]) == ("m.room.create", alice.user_id, management)
    check_shape(bot.get(f"{V1}/users/{bot.user_id}/admin"), {"admin": bool})
    alice.get(V1, "users", alice.user_id, "admin", status=403, errcode="M_FORBIDDEN")


def test_a_bot_keeps_a_policy_list(admin: Client, alice: Client) -> None:
    bot = admin
    version = bot.get("capabilities")["capabilities"]["m.room_versions"]["default"]
    owner = {} if version == "12" else {bot.user_id: 100}
    list_id = bot.post(
        "createRoom",
        body={
            "creation_content": {"type": LIST_TYPE},
            "preset": "public_chat",
            "invite": [alice.user_id],
            "initial_state": [{"type": f"{MJOLNIR}.shortcode", "state_key": "", "content": {"shortcode": "coc"}}],
            "power_level_content_override": {"ban": 50, "events_default": 50, "users": {**owner, alice.user_id: 50}},
        },
    )["room_id"]
    since = bot.token()

    for number, rule in enumerate(RULES):
        content = {"entity": f"@eve{number}:*", "recommendation": "m.ban", "reason": "spam"}
        bot.put("rooms", list_id, "state", rule, f"rule:@eve{number}:*", body=content)
    bot.put("rooms", list_id, "state", RULES[0], "rule:@eve0:*", body={})  # an unban

    state = {(event["type"], event["state_key"]): event for event in bot.get("rooms", list_id, "state")}
    assert all(state[rule, f"rule:@eve{number}:*"]["content"]["entity"] for number, rule in enumerate(RULES) if number)
    assert state[RULES[0], "rule:@eve0:*"]["content"] == {}
    assert state["m.room.create", ""]["content"]["type"] == LIST_TYPE
    assert state[f"{MJOLNIR}.shortcode", ""]["content"] == {"shortcode": "coc"}
    timeline = bot.sync(since)["rooms"]["join"][list_id]["timeline"]["events"]
    assert timeline[-1]["unsigned"]["prev_content"]["entity"] == "@eve0:*"
    assert [event["type"] for event in timeline] == [*RULES, RULES[0]]


def test_a_bot_carries_a_list_out_in_a_room(admin: Client, alice: Client, bob: Client, carol: Client) -> None:
    bot = admin
    power = {"users": {bot.user_id: 100}}
    room_id = alice.create_room_with(bot, bob, carol, power_level_content_override=power)
    said = [bob.say(room_id, "buy"), bob.say(room_id, "now")]

    members = bot.get("rooms", room_id, "members")["chunk"]
    for member in members:
        check_shape(
            member, {"state_key": str, "sender": str, "event_id": str, "content": dict, "origin_server_ts": int}
        )
    assert {member["state_key"] for member in members} == {alice.user_id, bob.user_id, bot.user_id, carol.user_id}
    acl = {"allow": ["*"], "deny": ["evil.example", "*.evil.example"], "allow_ip_literals": True}
    bot.put("rooms", room_id, "state", "m.room.server_acl", "", body=acl)
    assert bot.get("rooms", room_id, "state", "m.room.server_acl", "") == acl
    bot.post("rooms", room_id, "kick", body={"user_id": carol.user_id, "reason": "flood"})
    bot.post("rooms", room_id, "ban", body={"user_id": bob.user_id, "reason": "spam"})
    wanted = json.dumps({"rooms": [room_id], "senders": [bob.user_id]})
    page = bot.get("rooms", room_id, "messages", query={"dir": "b", "filter": wanted})
    found = [event["event_id"] for event in page["chunk"] if event["type"] == "m.room.message"]
    for event_id in found:
        bot.put("rooms", room_id, "redact", event_id, bot.new_transaction(), body={"reason": "spam"})

    assert found == said[::-1]
    assert bot.get("rooms", room_id, "event", said[0])["content"] == {}
    banned = bot.get("rooms", room_id, "state", "m.room.member", bob.user_id)
    assert (banned["membership"], banned["reason"]) == ("ban", "spam")
    bot.post("rooms", room_id, "unban", body={"user_id": bob.user_id})
    assert bot.get("rooms", room_id, "state", "m.room.member", bob.user_id)["membership"] == "leave"


def test_a_bot_is_told_of_reports_by_asking_again_and_again(admin: Client, alice: Client, bob: Client) -> None:
    bot = admin
    room_id = alice.create_room_with(bob)
    before = bot.get(V1, "event_reports", query={"dir": "f"})
    begin = before.get("next_token", before["total"])
    event_id = bob.say(room_id, "buy hats")
    alice.post("rooms", room_id, "report", event_id, body={"reason": "spam"})
    alice.post("rooms", room_id, "report", event_id)  # instead of it, without a reason
    bob.post("rooms", room_id, "report", event_id, body={"reason": "mine"})

    polled = bot.get(V1, "event_reports", query={"dir": "f", "from": str(begin)})
    again = bot.get(V1, "event_reports", query={"dir": "f", "from": str(polled["total"])})

    for report in polled["event_reports"]:
        check_shape(report, REPORT)
        assert bot.get(V1, "event_reports", str(report["id"]))["id"] == report["id"]
    about = [(one["event_id"], one["user_id"], one["sender"]) for one in polled["event_reports"]]
    assert about == [(event_id, alice.user_id, bob.user_id), (event_id, bob.user_id, bob.user_id)]
    context = bot.get(f"{V1}/rooms/{room_id}/context/{event_id}?limit=1")
    assert (context["event"]["event_id"], context["event"]["sender"]) == (event_id, bob.user_id)
    assert again["event_reports"] == []
    assert again.get("next_token") is None

    newest = alice.say(room_id, "no hats")
    body = {"purge_up_to_event_id": newest, "delete_local_events": True}
    purge_id = bot.post(V1, "purge_history", room_id, body=body)["purge_id"]
    while bot.get(V1, "purge_history_status", purge_id)["status"] == "active":
        pass
    for report in bot.get(V1, "event_reports", query={"dir": "f", "from": str(begin)})["event_reports"]:
        check_shape(report, REPORT)  # though the event is gone
    bot.get(f"{V1}/rooms/{room_id}/context/{event_id}?limit=1", status=404, errcode="M_NOT_FOUND")


def test_a_bot_restricts_accounts(server: Server, admin: Client, alice: Client) -> None:
    bot, bob = admin, new_user(server.url, "bob")
    room_id = alice.create_room_with(bob)
    event_id = bob.say(room_id, "buy")

    def shown(state: str) -> bool:
        details = bot.get(V2, "users", bob.user_id)
        check_shape(details, USER)
        is_so: bool = details[state]
        return is_so

    for wish in (True, False):
        bot.put(f"{V1}/suspend/{bob.user_id}", body={"suspend": wish})
        assert shown("suspended") is wish
        bot.put("/_matrix/client/v1/admin/suspend", bob.user_id, body={"suspended": wish})
        assert shown("suspended") is wish
        bot.put(f"{V2}/users/{bob.user_id}", body={"locked": wish})
        assert shown("locked") is wish
        bot.call("POST" if wish else "DELETE", V1, "users", bob.user_id, "shadow_ban", body={})
        assert shown("shadow_banned") is wish

    redact_id = bot.post(V1, "user", bob.user_id, "redact", body={"rooms": []})["redact_id"]
    status = bot.get(V1, "user", "redact_status", redact_id)
    while status["status"] in {"scheduled", "active"}:
        status = bot.get(V1, "user", "redact_status", redact_id)
    assert (status["status"], status["failed_redactions"]) == ("complete", {})
    assert alice.get("rooms", room_id, "event", event_id)["content"] == {}
    also_by_mjolnir = bot.post(f"{V1}/user/{bob.user_id}/redact", body={"limit": 9, "rooms": [], "use_admin": True})
    check_shape(also_by_mjolnir, {"redact_id": str})

    bot.call("POST", f"{V1}/deactivate/{bob.user_id}")  # Mjolnir sends no body
    assert bot.get(V2, "users", bob.user_id)["deactivated"]
    bob.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    bot.get(V2, "users", f"@nobody.here:{server.server_name}", status=404)


def test_a_bot_takes_rooms_over_and_down(server: Server, admin: Client, alice: Client) -> None:
    bot = admin
    first, second = (alice.create_room(room_version="11", name="Den", preset="public_chat") for _ in range(2))

    bot.post(f"{V1}/rooms/{first}/make_room_admin", body={"user_id": bot.user_id})
    bot.join(first)
    assert bot.state(first, "m.room.power_levels")["users"][bot.user_id] == 100
    check_shape(bot.get(V1, "rooms", first), ROOM_ALONE)
    listed = bot.get(V1, "rooms", query={"search_term": first, "order_by": "name", "limit": 10, "from": 0})
    check_shape(listed, {"rooms": list, "offset": int, "total_rooms": int})
    check_shape(listed["rooms"][0], ROOM)

    work = bot.delete(V2, "rooms", first, body={"block": True, "purge": True})
    check_shape(work, {"delete_id": str})
    shut = bot.delete(
        f"{V1}/rooms/{second}",
        body={"new_room_user_id": bot.user_id, "block": True, "message": "Away.", "room_name": "Room removed"},
    )
    check_shape(shut, {"kicked_users": list, "failed_to_kick_users": list, "local_aliases": list, "new_room_id": str})
    assert shut["kicked_users"] == [alice.user_id]
    block = bot.get(V1, "rooms", second, "block")
    assert (block["block"], block["user_id"]) == (True, bot.user_id)
    bot.get(V1, "rooms", second, status=404, errcode="M_NOT_FOUND")
    alice.join(second, status=403, errcode="M_FORBIDDEN")


def test_who_blocked_a_room_is_left_out_when_it_was_the_owner_of_the_server(server: Server, admin: Client) -> None:
    room_id = f"!{uuid.uuid4().hex}:elsewhere.example"
    done = server.command("admin", "room", "block", room_id)
    assert done.returncode == 0, done.stderr

    assert "user_id" not in admin.get(V1, "rooms", room_id, "block")
    assert admin.get(V1, "rooms", room_id, "block")["block"] is True


def test_media_are_not_quarantined_as_there_are_none(admin: Client, bob: Client) -> None:
    for path in (("media", "quarantine", "example.org", "picture"), ("user", bob.user_id, "media", "quarantine")):
        admin.post(V1, *path, status=404, errcode="M_UNRECOGNIZED")
