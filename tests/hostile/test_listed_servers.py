"""A server whose users, rooms and name are in a moderation policy list that the server under attack follows."""

import json
from typing import Any

from tests.api.client import Client
from tests.hostile.hostile_server import HostileServer, Room, Victim

# Any: JSON, throughout.

RULE = "m.policy.rule"


def told(victim: Victim, *words: str, status: int = 0) -> str:
    """What `homeserver admin policy …` prints."""
    done = victim.server.command("admin", "policy", *words)
    assert done.returncode == status, done.stderr
    return done.stdout


def write_rule(alice: Client, list_id: str, kind: str, entity: str) -> None:
    content = {"entity": entity, "recommendation": "m.ban", "reason": "raids"}
    alice.set_state(list_id, f"{RULE}.{kind}", content, f"rule:{entity}")


def take_back(alice: Client, list_id: str, kind: str, entity: str) -> None:
    alice.set_state(list_id, f"{RULE}.{kind}", {}, f"rule:{entity}")


def is_banned(evil: HostileServer, room_id: str) -> bool:
    """Whether the server was told that Mallory is banned from a room."""
    return any(
        (pdu["room_id"], pdu["type"], pdu.get("state_key")) == (room_id, "m.room.member", evil.user)
        and pdu["content"]["membership"] == "ban"
        for pdu in evil.received
    )


def invite(evil: HostileServer, room: Room, alice: Client) -> tuple[int, Any]:
    event = room.member(alice.user_id, "invite", sender=evil.user)
    stripped = [room.events[one] for one in room.state.values()]
    content = {"event": event, "room_version": "11", "invite_room_state": stripped}
    return evil.ask("PUT", "invite", room.room_id, room.id_of(event), content=content, version="v2")


def test_who_is_in_a_list_is_banned_and_refused_until_the_list_is_given_up(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    list_id = alice.create_room(preset="public_chat", room_version="11")
    here, later = (alice.create_room(preset="public_chat", room_version="11") for _ in range(2))
    evil.join(here)
    own = evil.found()
    assert invite(evil, own, alice)[0] == 200
    write_rule(alice, list_id, "user", evil.user)
    write_rule(alice, list_id, "room", own.room_id)

    would = told(victim, "dry-run", list_id, "--apply-to", "server")
    told(victim, "subscribe", list_id, "--apply-to", "server")
    evil.wait_for(lambda: is_banned(evil, here))
    status, answer = invite(evil, evil.found(), alice)
    joining = evil.ask("GET", "make_join", later, evil.user, query={"ver": ["11"]})

    assert f"ban: {evil.user}: {here}: raids" in would
    assert f"room blocked: {own.room_id}: this server: raids" in would
    assert alice.state(here, "m.room.member", evil.user) == {"membership": "ban", "reason": "raids"}
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
    assert (joining[0], joining[1]["errcode"]) == (403, "M_FORBIDDEN")
    alice.post("join", own.room_id, status=403, errcode="M_FORBIDDEN")

    # A name here that nobody has yet.
    write_rule(alice, list_id, "user", f"@spam*:{victim.server.server_name}")
    told(victim, "apply", list_id)
    nobody = Client(victim.server.url)
    nobody.get("register", "available", query={"username": "spam.1"}, status=400, errcode="M_EXCLUSIVE")
    assert nobody.get("register", "available", query={"username": "ham.1"})["available"] is True

    # The server itself, by a rule that comes later.
    write_rule(alice, list_id, "server", evil.name.partition(":")[0])
    told(victim, "apply", list_id)
    blocked, refusal = evil.transaction()
    acts = told(victim, "watch", "--once")
    listed = json.loads(told(victim, "list", "--json"))
    checked = told(victim, "check", evil.user)

    assert (blocked, refusal["errcode"]) == (403, "M_FORBIDDEN")
    assert f" ban: {evil.user} in {here} ({list_id}): done\n" in acts
    assert listed["deeds"] == {"ban": 1, "block": 1, "refuse": 1}
    assert [line.split(" ")[1] for line in checked.splitlines()] == ["user", "server"]

    told(victim, "unsubscribe", list_id, "--undo", "--yes")

    assert evil.transaction()[0] == 200
    assert alice.state(here, "m.room.member", evil.user)["membership"] == "leave"
    assert invite(evil, evil.found(), alice)[0] == 200
    assert told(victim, "list") == ""
    assert told(victim, "check", evil.user, status=1) == ""


def test_servers_are_shut_out_of_a_room_by_its_own_list_and_let_in_again(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    list_id, room_id = (alice.create_room(preset="public_chat", room_version="11") for _ in range(2))
    room = evil.join(room_id)
    told(victim, "subscribe", list_id, "--apply-to", "rooms", "--room", room_id)
    host = evil.name.partition(":")[0]

    write_rule(alice, list_id, "server", host)
    told(victim, "apply", list_id)
    message = room.say("shut out")
    refused = evil.send(message)
    denied = alice.state(room_id, "m.room.server_acl")
    take_back(alice, list_id, "server", host)
    told(victim, "apply", list_id)

    assert denied == {"allow": ["*"], "deny": [host]}
    assert "error" in refused[room.id_of(message)]
    assert alice.state(room_id, "m.room.server_acl") == {"allow": ["*"], "deny": []}
    assert evil.ask("GET", "make_join", room_id, evil.other, query={"ver": ["11"]})[0] == 200
    told(victim, "unsubscribe", list_id, "--yes")
