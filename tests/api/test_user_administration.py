"""Administrators who look after accounts, by the requests of Synapse, on a running server."""

import json

from tests.api.client import PASSWORD, Client, new_user
from tests.server import Server
from tests.services.e2ee.signed_keys import identity

USERS = "/_synapse/admin/v2/users"
OWN = "/_columba/admin/v1/users"
V1 = "/_synapse/admin/v1"
NEW = "another horse battery staple"


def test_an_account_is_made_found_changed_and_closed(server: Server, admin: Client) -> None:
    user_id = f"@made.{admin.user_id[1:]}"
    assert admin.put(USERS, user_id, body={"password": PASSWORD, "displayname": "Made"}, status=201)["name"] == user_id

    name = user_id[1:].partition(":")[0]
    found = admin.get(USERS, query={"name": name.upper()})
    assert [(one["name"], one["displayname"]) for one in found["users"]] == [(user_id, "Made")]
    assert found["total"] == 1
    changed = admin.put(USERS, user_id, body={"displayname": "", "locked": True, "threepids": [], "external_ids": []})
    assert (changed["displayname"], changed["locked"]) == (None, True)
    assert admin.get(USERS, query={"name": name})["users"] == []
    assert admin.get(USERS, query={"name": name, "locked": True})["total"] == 1
    admin.put(USERS, user_id, body={"locked": False})

    admin.post(V1, "deactivate", user_id, body={"erase": True})
    assert admin.get(USERS, user_id)["erased"] is True
    assert admin.get(USERS, query={"name": name})["users"] == []
    v3 = "/_synapse/admin/v3/users"
    assert admin.get(v3, query={"name": name, "deactivated": True})["total"] == 1
    assert admin.get(v3, query={"name": name})["total"] == 1
    assert admin.get(v3, query={"name": name, "deactivated": False})["total"] == 0
    admin.put(USERS, user_id, body={"deactivated": False}, status=400, errcode="M_INVALID_PARAM")


def test_pages_follow_each_other(server: Server, admin: Client) -> None:
    for _ in range(3):
        new_user(server.url, "paged")
    query = {"name": "paged", "limit": 2, "order_by": "creation_ts", "dir": "b"}

    first = admin.get(USERS, query=query)
    second = admin.get(USERS, query={**query, "from": first["next_token"]})

    created = [one["creation_ts"] for one in [*first["users"], *second["users"]]]
    assert created == sorted(created, reverse=True)
    assert len(first["users"]) == 2
    newest = first["users"][0]
    # Synapse tells of one account alone in seconds when it was made, and its tools know.
    assert admin.get(USERS, newest["name"])["creation_ts"] == newest["creation_ts"] // 1000
    assert admin.put(USERS, newest["name"])["creation_ts"] == newest["creation_ts"] // 1000
    assert admin.get(OWN, newest["name"])["creation_ts"] == newest["creation_ts"]
    assert admin.put(OWN, newest["name"])["creation_ts"] == newest["creation_ts"]
    for wrong in ({"limit": 0}, {"from": -1}, {"order_by": "password_hash"}, {"dir": "x"}):
        admin.get(USERS, query=wrong, status=400, errcode="M_INVALID_PARAM")


def test_what_accounts_here_do_not_have_is_refused_and_changes_nothing(admin: Client, alice: Client) -> None:
    for wish in (
        {"threepids": [{"medium": "email", "address": "a@example.org"}]},
        {"external_ids": [{"auth_provider": "x", "external_id": "y"}]},
        {"user_type": "bot"},
        {"password": ""},
    ):
        admin.put(USERS, alice.user_id, body={"displayname": "New", **wish}, status=400)

    assert admin.get(USERS, alice.user_id)["displayname"] != "New"


def test_a_password_is_given_and_devices_are_logged_out_as_wished(admin: Client, alice: Client, bob: Client) -> None:
    admin.post(V1, "reset_password", alice.user_id, body={"new_password": NEW, "logout_devices": False})
    alice.get("account", "whoami")
    alice.login_again(NEW)

    admin.post(V1, "reset_password", bob.user_id, body={"new_password": NEW})
    bob.get("account", "whoami", status=401)
    bob.login_again(NEW)


def test_administrators_are_made_and_unmade_but_not_by_themselves(admin: Client, alice: Client) -> None:
    path = (V1, "users", alice.user_id, "admin")
    assert admin.get(*path) == {"admin": False}
    alice.get(*path, status=403)

    admin.put(*path, body={"admin": True})
    assert alice.get(*path) == {"admin": True}
    alice.put(*path, body={"admin": False}, status=400, errcode="M_INVALID_PARAM")
    admin.put(V1, "suspend", alice.user_id, body={"suspend": True}, status=403)

    admin.put(*path, body={"admin": False})
    alice.get(*path, status=403)
    suspended = admin.put(V1, "suspend", alice.user_id, body={"suspend": True})
    assert suspended == {f"user_{alice.user_id}_suspended": True}
    assert admin.get(USERS, alice.user_id)["suspended"] is True


def test_what_a_user_has_and_where_they_are_is_seen(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    bob.put("user", bob.user_id, "account_data", "org.example", body={"a": 1})
    bob.put("user", bob.user_id, "rooms", room_id, "account_data", "org.example", body={"b": 2})

    of_bob = (V1, "users", bob.user_id)
    assert admin.get(*of_bob, "joined_rooms") == {"joined_rooms": [room_id], "total": 1}
    bob.post("rooms", room_id, "leave")
    assert admin.get(*of_bob, "joined_rooms") == {"joined_rooms": [], "total": 0}
    assert admin.get(*of_bob, "memberships") == {"memberships": {room_id: "leave"}}
    kept = admin.get(*of_bob, "accountdata")["account_data"]
    assert kept["global"]["org.example"] == {"a": 1}
    assert kept["rooms"][room_id]["org.example"] == {"b": 2}
    assert list(admin.get(V1, "whois", bob.user_id)["devices"]) == [bob.device_id]


def test_names_are_to_be_had_or_not(admin: Client, alice: Client) -> None:
    taken = alice.user_id[1:].partition(":")[0]
    path = (V1, "username_available")

    assert admin.get(*path, query={"username": f"{taken}.new"}) == {"available": True}
    admin.get(*path, query={"username": taken}, status=400, errcode="M_USER_IN_USE")
    admin.get(*path, query={"username": "a b"}, status=400, errcode="M_INVALID_USERNAME")
    assert admin.get(V1, "server_version")["server_version"]


def test_devices_are_looked_after(admin: Client, alice: Client) -> None:
    devices = (USERS, alice.user_id, "devices")

    admin.post(*devices, body={"device_id": "TABLET"}, status=201)
    admin.put(*devices, "TABLET", body={"display_name": "A tablet"})
    listed = admin.get(*devices)
    assert admin.get(*devices, "TABLET") in listed["devices"]
    assert listed["total"] == 2
    assert alice.get("devices", "TABLET")["display_name"] == "A tablet"
    admin.post(USERS, alice.user_id, "delete_devices", body={"devices": ["TABLET"]})
    admin.get(*devices, "TABLET", status=404)
    admin.delete(*devices, alice.device_id)
    alice.get("account", "whoami", status=401)


def test_who_logs_in_as_somebody_is_seen_by_them_and_written_down_without_the_token(
    server: Server, admin: Client, alice: Client
) -> None:
    token = admin.post(V1, "users", alice.user_id, "login")["access_token"]

    acting = Client(server.url, access_token=token)
    whoami = acting.get("account", "whoami")
    assert whoami["user_id"] == alice.user_id
    acting.get(V1, "server_version", status=403)
    names = [device.get("display_name") for device in alice.get("devices")["devices"]]
    assert "Login by an administrator" in names
    act = admin.get("/_columba/admin/v1/audit", query={"target": alice.user_id})["acts"][0]
    assert (act["by"], act["act"]) == (admin.user_id, f"POST {V1}/users/{{userId}}/login")
    assert token not in json.dumps(act)
    alice.post("logout", "all")
    acting.get("account", "whoami", status=401)
    admin.post(V1, "users", admin.user_id, "login", status=403)


def test_all_that_is_stored_of_a_user_is_exported_and_that_is_written_down(
    server: Server, admin: Client, alice: Client, bob: Client
) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    event_id = bob.say(room_id, "hello")
    path = ("/_columba/admin/v1/users", bob.user_id, "export")

    page = admin.post(*path)
    lines = page["lines"]
    while page["next"] is not None:
        page = admin.get(*path, query={"from": page["next"]})
        lines += page["lines"]

    assert [line["user_id"] for line in lines if line["part"] == "account"] == [bob.user_id]
    assert event_id in {line["event_id"] for line in lines if line["part"] == "event"}
    act = admin.get("/_columba/admin/v1/audit", query={"target": bob.user_id})["acts"][0]
    assert (act["by"], act["act"]) == (admin.user_id, "POST /_columba/admin/v1/users/{userId}/export")
    admin.get(*path, status=400)
    bob.post(*path, status=403)


def test_what_a_user_did_of_late_is_counted(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room(invite=[bob.user_id])
    bob.join(room_id)
    query = {"from_ts": 0}

    assert admin.get(V1, "users", alice.user_id, "sent_invite_count", query=query) == {"invite_count": 1}
    joined = admin.get(V1, "users", bob.user_id, "cumulative_joined_room_count", query=query)
    assert joined == {"cumulative_joined_room_count": 1}
    admin.get(V1, "users", bob.user_id, "sent_invite_count", status=400)


def test_who_is_let_replaces_their_keys_without_a_password(admin: Client, alice: Client) -> None:
    upload = ("keys", "device_signing", "upload")
    alice.post(*upload, body=identity(alice.user_id))
    alice.post(*upload, body=identity(alice.user_id, "new"), status=401)

    path = (V1, "users", alice.user_id, "_allow_cross_signing_replacement_without_uia")
    until_ms = admin.post(*path)["updatable_without_uia_before_ms"]

    assert until_ms > 0
    assert alice.post(*upload, body=identity(alice.user_id, "new")) == {}
    alice.post(*upload, body=identity(alice.user_id, "newer"), status=401)


def test_an_event_is_shown_whatever_its_room(admin: Client, alice: Client) -> None:
    event_id = alice.say(alice.create_room(), "secret")

    event = admin.get(V1, "fetch_event", event_id)["event"]

    assert (event["event_id"], event["sender"], event["content"]["body"]) == (event_id, alice.user_id, "secret")
    admin.get(V1, "fetch_event", "$" + "B" * 43, status=404)
