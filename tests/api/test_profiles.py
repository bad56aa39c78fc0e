"""Profiles, over HTTP."""

import pytest

from tests.api.client import Client

AVATAR = "mxc://example.org/SEsfnsuifSDFSSEF"


def test_a_profile_is_set_read_by_anybody_and_deleted(alice: Client, nobody: Client) -> None:
    fields = {"displayname": "Alice", "avatar_url": AVATAR, "m.tz": "Europe/Berlin"}
    for key, value in fields.items():
        alice.put("profile", alice.user_id, key, body={key: value})

    assert nobody.get("profile", alice.user_id) == fields
    assert nobody.get("profile", alice.user_id, "m.tz") == {"m.tz": "Europe/Berlin"}
    for key in fields:
        alice.delete("profile", alice.user_id, key)
    assert nobody.get("profile", alice.user_id) == {}
    nobody.get("profile", alice.user_id, "displayname", status=404, errcode="M_NOT_FOUND")


def test_whoever_is_unknown_has_no_profile(alice: Client, nobody: Client) -> None:
    nobody.get("profile", f"@nobody:{alice.server_name}", status=404, errcode="M_NOT_FOUND")
    nobody.get("profile", "no-user", status=400, errcode="M_INVALID_PARAM")


def test_a_profile_is_its_users_own(alice: Client, bob: Client, nobody: Client) -> None:
    body = {"displayname": "Mallory"}

    bob.put("profile", alice.user_id, "displayname", body=body, status=403, errcode="M_FORBIDDEN")
    bob.delete("profile", alice.user_id, "displayname", status=403, errcode="M_FORBIDDEN")
    nobody.put("profile", alice.user_id, "displayname", body=body, status=401, errcode="M_MISSING_TOKEN")


@pytest.mark.parametrize(
    ("key", "body", "errcode"),
    [
        ("displayname", {}, "M_MISSING_PARAM"),
        ("displayname", {"displayname": 7}, "M_INVALID_PARAM"),
        ("avatar_url", {"avatar_url": "https://example.org/"}, "M_INVALID_PARAM"),
        ("m.float", {"m.float": 1.5}, "M_BAD_JSON"),
        ("Capital", {"Capital": 1}, "M_INVALID_PARAM"),
        ("m." + "x" * 300, {"m." + "x" * 300: 1}, "M_KEY_TOO_LARGE"),
        ("m.large", {"m.large": "x" * 70_000}, "M_PROFILE_TOO_LARGE"),
    ],
)
def test_what_a_profile_does_not_hold(alice: Client, key: str, body: dict[str, object], errcode: str) -> None:
    alice.put("profile", alice.user_id, key, body=body, status=400, errcode=errcode)

    assert alice.get("profile", alice.user_id) == {}


def test_a_new_name_reaches_those_who_share_a_room(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    alice.put("profile", alice.user_id, "displayname", body={"displayname": "Alice L."})

    events = bob.sync(since)["rooms"]["join"][room_id]["timeline"]["events"]
    assert [event["content"] for event in events] == [{"membership": "join", "displayname": "Alice L."}]
    assert events[0]["unsigned"]["prev_content"] == {"membership": "join"}
