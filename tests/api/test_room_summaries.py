"""Room summaries over HTTP."""

from tests.api.client import V1, Client


def test_a_room_is_described_to_whoever_may_join(alice: Client, bob: Client, nobody: Client) -> None:
    alias = f"tea-of-{alice.user_id[1:].split(':')[0]}"
    room_id = alice.create_room(preset="public_chat", name="Tea", room_alias_name=alias)

    of_member = alice.get(V1, "room_summary", room_id)
    of_other = bob.get(V1, "room_summary", f"#{alias}:{alice.server_name}", query={"via": ["elsewhere.example"]})
    of_nobody = nobody.get(V1, "room_summary", room_id)

    assert of_member.pop("membership") == "join"
    assert of_member == of_other == of_nobody
    assert (of_member["name"], of_member["join_rule"]) == ("Tea", "public")


def test_a_closed_room_is_not_found(alice: Client, bob: Client, nobody: Client) -> None:
    room_id = alice.create_room(preset="private_chat")

    bob.get(V1, "room_summary", room_id, status=404, errcode="M_NOT_FOUND")
    nobody.get(V1, "room_summary", room_id, status=404, errcode="M_NOT_FOUND")
    bob.get(V1, "room_summary", "no room at all", status=400, errcode="M_INVALID_PARAM")
