"""Rooms that two users share."""

from tests.api.client import Client
from tests.server import Server

PATH = ("/_matrix/client/v1", "mutual_rooms")


def shared(asker: Client, user_id: str, **query: str) -> dict[str, object]:
    """What is told of the rooms shared with a user."""
    answer: dict[str, object] = asker.get(*PATH, query={"user_id": user_id, **query})
    return answer


def test_only_rooms_in_which_both_are_now_are_told(alice: Client, bob: Client, carol: Client) -> None:
    together, left, invited, with_carol = (alice.create_room_with(bob) for _ in range(4))
    bob.post("rooms", left, "leave", body={})
    bob.post("rooms", invited, "leave", body={})
    alice.post("rooms", invited, "invite", body={"user_id": bob.user_id})
    alice.post("rooms", with_carol, "invite", body={"user_id": carol.user_id})
    carol.join(with_carol)
    bob.create_room_with(carol)

    assert shared(alice, bob.user_id) == {"joined": sorted([together, with_carol]), "count": 2}
    assert shared(bob, alice.user_id) == {"joined": sorted([together, with_carol]), "count": 2}
    assert shared(alice, carol.user_id) == {"joined": [with_carol], "count": 1}


def test_users_who_do_not_exist_or_are_elsewhere_share_nothing(server: Server, alice: Client) -> None:
    alice.create_room()

    for user_id in (f"@nobody:{server.server_name}", "@eve:elsewhere.example"):
        assert shared(alice, user_id) == {"joined": [], "count": 0}


def test_oneself_and_what_is_no_user_are_refused(alice: Client) -> None:
    for user_id in (alice.user_id, "alice", "@", ""):
        alice.get(*PATH, query={"user_id": user_id}, status=400, errcode="M_INVALID_PARAM")
    alice.get(*PATH, status=400)
    alice.get(*PATH, query={"user_id": "@b:example.org", "from": "x"}, status=400, errcode="M_INVALID_PARAM")


def test_clients_that_know_the_older_name_are_told_the_same_by_the_names_of_that_time(
    alice: Client, bob: Client
) -> None:
    room_id = alice.create_room_with(bob)

    known = alice.get("/_matrix/client/versions")["unstable_features"]

    assert known["uk.half-shot.msc2666.query_mutual_rooms"] is True
    older = ("/_matrix/client/unstable/uk.half-shot.msc2666", "user", "mutual_rooms")
    assert alice.get(*older, query={"user_id": bob.user_id}) == {"joined": [room_id], "count": 1}
    asked = {"user_id": bob.user_id, "batch_token": room_id}
    assert alice.get(*older, query=asked) == {"joined": [], "count": 1}
    alice.get(*older, query={**asked, "batch_token": "x"}, status=400, errcode="M_INVALID_PARAM")
