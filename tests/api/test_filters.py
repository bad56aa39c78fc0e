"""Filters over HTTP: uploaded, read back, named in a sync."""

from tests.api.client import Client


def test_a_filter_is_read_back_and_sync_knows_it(alice: Client) -> None:
    definition = {"room": {"timeline": {"limit": 1}}, "presence": {"types": []}}
    room_id = alice.create_room()

    filter_id = alice.post("user", alice.user_id, "filter", body=definition)["filter_id"]
    again = alice.post("user", alice.user_id, "filter", body=definition)["filter_id"]

    assert again == filter_id
    assert alice.get("user", alice.user_id, "filter", filter_id) == definition
    answer = alice.sync(filter=filter_id)
    assert len(answer["rooms"]["join"][room_id]["timeline"]["events"]) == 1


def test_wrong_unknown_and_other_peoples_filters_are_refused(alice: Client, bob: Client) -> None:
    wrong = {"room": {"timeline": {"limit": "one"}}}

    alice.post("user", alice.user_id, "filter", body=wrong, status=400, errcode="M_BAD_JSON")
    alice.post("user", alice.user_id, "filter", body=[], status=400, errcode="M_BAD_JSON")
    alice.post("user", bob.user_id, "filter", status=403, errcode="M_FORBIDDEN")
    filter_id = alice.post("user", alice.user_id, "filter")["filter_id"]
    bob.get("user", alice.user_id, "filter", filter_id, status=403, errcode="M_FORBIDDEN")
    bob.get("user", bob.user_id, "filter", filter_id, status=404, errcode="M_NOT_FOUND")
