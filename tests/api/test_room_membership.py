"""Joining, inviting, leaving, kicking, banning, knocking."""

import pytest

from tests.api.client import Client, new_user
from tests.server import running


def membership(client: Client, room_id: str, of: Client) -> str:
    found: str = client.state(room_id, "m.room.member", of.user_id)["membership"]
    return found


def test_an_invited_user_sees_the_room_in_stripped_state_and_joins(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(bob, name="Dovecote")

    stripped = bob.sync()["rooms"]["invite"][room_id]["invite_state"]["events"]
    bob.join(room_id)

    shown = {event["type"]: event["content"] for event in stripped}
    assert shown["m.room.name"] == {"name": "Dovecote"}
    assert shown["m.room.create"]["room_version"] == "12"
    assert shown["m.room.join_rules"]["join_rule"] == "invite"
    assert shown["m.room.member"]["membership"] == "invite"
    assert membership(alice, room_id, bob) == "join"
    assert bob.get("joined_rooms")["joined_rooms"] == [room_id]


def test_nobody_enters_a_private_room_uninvited(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()

    bob.join(room_id, status=403, errcode="M_FORBIDDEN")
    bob.post("rooms", room_id, "join", status=403, errcode="M_FORBIDDEN")
    bob.get("rooms", room_id, "state", status=403, errcode="M_FORBIDDEN")
    bob.get("rooms", room_id, "messages", query={"dir": "b"}, status=403, errcode="M_FORBIDDEN")


def test_an_invite_can_be_declined(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(bob)

    bob.post("rooms", room_id, "leave")

    assert membership(alice, room_id, bob) == "leave"
    bob.join(room_id, status=403, errcode="M_FORBIDDEN")


def test_who_is_in_the_room_cannot_be_invited_again(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id}, status=403, errcode="M_FORBIDDEN")


def test_an_invite_needs_the_power_to_invite(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob, power_level_content_override={"invite": 50})

    bob.post("rooms", room_id, "invite", body={"user_id": carol.user_id}, status=403, errcode="M_FORBIDDEN")


def test_a_kicked_user_can_come_back_by_another_invite(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    alice.post("rooms", room_id, "kick", body={"user_id": bob.user_id, "reason": "noise"})

    event = alice.get("rooms", room_id, "state", "m.room.member", bob.user_id, query={"format": "event"})
    assert (event["sender"], event["content"]["reason"]) == (alice.user_id, "noise")
    bob.put("rooms", room_id, "send", "m.room.message", "x", body={"body": "?"}, status=403, errcode="M_FORBIDDEN")
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    bob.join(room_id)
    assert membership(bob, room_id, bob) == "join"


def test_a_banned_user_is_kept_out_until_the_ban_is_lifted(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")

    alice.post("rooms", room_id, "ban", body={"user_id": bob.user_id, "reason": "spam"})
    bob.join(room_id, status=403, errcode="M_FORBIDDEN")
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id}, status=403, errcode="M_FORBIDDEN")
    alice.post("rooms", room_id, "unban", body={"user_id": bob.user_id})
    bob.join(room_id)

    assert membership(alice, room_id, bob) == "join"


def test_a_member_without_power_neither_kicks_nor_bans(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    for act in ("kick", "ban"):
        bob.post("rooms", room_id, act, body={"user_id": alice.user_id}, status=403, errcode="M_FORBIDDEN")


def test_who_is_not_banned_cannot_be_unbanned(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    alice.post("rooms", room_id, "unban", body={"user_id": bob.user_id}, status=403, errcode="M_BAD_STATE")


def test_a_room_is_forgotten_only_after_it_was_left(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    refused = bob.post("rooms", room_id, "forget", status=400)
    bob.post("rooms", room_id, "leave")
    bob.post("rooms", room_id, "forget")

    assert refused["errcode"] == "M_UNKNOWN"
    bob.get("rooms", room_id, "messages", query={"dir": "b"}, status=403, errcode="M_FORBIDDEN")


def test_joining_twice_adds_no_second_event(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    before = alice.messages(room_id)["chunk"][0]["event_id"]

    bob.join(room_id)

    assert alice.messages(room_id)["chunk"][0]["event_id"] == before


def test_a_room_can_be_joined_by_its_alias(alice: Client, bob: Client) -> None:
    name = f"by-alias-{alice.user_id[1:].split(':')[0]}"
    room_id = alice.create_room(preset="public_chat", room_alias_name=name)

    assert bob.join(f"#{name}:{bob.server_name}") == {"room_id": room_id}


def test_a_room_that_is_not_there_cannot_be_joined(alice: Client) -> None:
    alice.join(f"!nowhere:{alice.server_name}", status=404, errcode="M_NOT_FOUND")
    alice.join(f"#nowhere:{alice.server_name}", status=404, errcode="M_NOT_FOUND")


def test_a_restricted_room_lets_in_who_is_in_a_room_that_it_names(alice: Client, bob: Client, carol: Client) -> None:
    club = alice.create_room_with(bob)
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": club}]}
    room_id = alice.create_room(initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": rule}])

    bob.join(room_id)
    carol.join(room_id, status=403, errcode="M_FORBIDDEN")

    assert membership(alice, room_id, bob) == "join"


def test_joined_members_are_shown_with_their_names(alice: Client, bob: Client) -> None:
    bob.put("profile", bob.user_id, "displayname", body={"displayname": "Bob the Bird"})

    room_id = alice.create_room_with(bob)

    joined = alice.get("rooms", room_id, "joined_members")["joined"]
    assert set(joined) == {alice.user_id, bob.user_id}
    assert joined[bob.user_id]["display_name"] == "Bob the Bird"


def test_members_can_be_asked_for_by_their_membership(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob)
    alice.post("rooms", room_id, "invite", body={"user_id": carol.user_id})
    bob.post("rooms", room_id, "leave")

    def members(**query: str) -> set[str]:
        return {event["state_key"] for event in alice.get("rooms", room_id, "members", query=query)["chunk"]}

    assert members() == {alice.user_id, bob.user_id, carol.user_id}
    assert members(membership="join") == {alice.user_id}
    assert members(membership="invite") == {carol.user_id}
    assert members(not_membership="leave") == {alice.user_id, carol.user_id}


def test_members_at_a_token_are_those_of_then(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob)
    then = alice.token()
    bob.post("rooms", room_id, "leave")
    alice.post("rooms", room_id, "invite", body={"user_id": carol.user_id})

    chunk = alice.get("rooms", room_id, "members", query={"at": then})["chunk"]

    memberships = {event["state_key"]: event["content"]["membership"] for event in chunk}
    assert memberships == {alice.user_id: "join", bob.user_id: "join"}


@pytest.mark.parametrize("act", ["invite", "kick", "ban", "unban"])
@pytest.mark.parametrize("body", [{}, {"user_id": 7}, {"user_id": "nobody"}, {"user_id": "@x:y", "reason": []}])
def test_what_is_done_to_a_user_needs_a_user(alice: Client, act: str, body: dict[str, object]) -> None:
    room_id = alice.create_room()

    answer = alice.post("rooms", room_id, act, body=body, status=400)

    assert answer["errcode"] in ("M_BAD_JSON", "M_MISSING_PARAM", "M_INVALID_PARAM")


def test_an_operator_lets_rooms_be_forgotten_as_soon_as_they_are_left() -> None:
    with running(settings={"forget_rooms_when_left": True}) as server:
        alice, bob = (new_user(server.url, name) for name in ("alice", "bob"))
        room_id = alice.create_room_with(bob)
        since = bob.sync()["next_batch"]

        bob.post("rooms", room_id, "leave")

        assert bob.get("capabilities")["capabilities"]["m.forget_forced_upon_leave"] == {"enabled": True}
        assert bob.sync(since)["rooms"]["leave"].keys() == {room_id}
        assert bob.get("rooms", room_id, "messages", query={"dir": "b"}, status=403)["errcode"] == "M_FORBIDDEN"
