"""Administrators who lock and suspend accounts, and ask who uses one."""

from tests.api.client import PASSWORD, Client, new_user
from tests.server import Server

ADMIN = "/_matrix/client/v1/admin"


def test_who_is_suspended_reads_leaves_and_takes_back_but_says_nothing(
    admin: Client, alice: Client, bob: Client
) -> None:
    room_id = alice.create_room(preset="public_chat")
    bob.join(room_id)
    alice.set_state(room_id, "m.room.power_levels", {"users": {bob.user_id: 100}})
    of_alice, of_bob = alice.say(room_id, "hello"), bob.say(room_id, "buy hats")
    other_id = alice.create_room(preset="public_chat")

    assert admin.get(ADMIN, "suspend", bob.user_id) == {"suspended": False}
    assert admin.put(ADMIN, "suspend", bob.user_id, body={"suspended": True}) == {"suspended": True}
    assert admin.get(ADMIN, "suspend", bob.user_id) == {"suspended": True}

    refused = {"status": 403, "errcode": "M_USER_SUSPENDED"}
    bob.put("rooms", room_id, "send", "m.room.message", "t1", body={"body": "x", "msgtype": "m.text"}, **refused)
    bob.put("rooms", room_id, "state", "m.room.name", "", body={"name": "x"}, **refused)
    bob.post("join", other_id, body={}, **refused)
    bob.put("rooms", room_id, "redact", of_alice, "t2", body={}, **refused)
    bob.put("rooms", room_id, "send", "m.room.redaction", "t3", body={"redacts": of_alice}, **refused)
    bob.put("profile", bob.user_id, "displayname", body={"displayname": "x"}, **refused)
    assert bob.messages(room_id)["chunk"]
    bob.put("rooms", room_id, "redact", of_bob, "t4", body={})
    assert alice.get("rooms", room_id, "event", of_bob)["content"] == {}
    assert alice.get("rooms", room_id, "event", of_alice)["content"]["body"] == "hello"

    admin.put(ADMIN, "suspend", bob.user_id, body={"suspended": False})
    bob.say(room_id, "sorry")
    admin.put(ADMIN, "suspend", bob.user_id, body={"suspended": True})
    bob.post("rooms", room_id, "leave", body={})


def test_who_is_locked_can_do_nothing_until_they_are_unlocked(admin: Client, alice: Client) -> None:
    assert admin.get(ADMIN, "lock", alice.user_id) == {"locked": False}
    assert admin.put(ADMIN, "lock", alice.user_id, body={"locked": True}) == {"locked": True}

    answer = alice.get("sync", status=401, errcode="M_USER_LOCKED")

    assert answer["soft_logout"] is True
    admin.put(ADMIN, "lock", alice.user_id, body={"locked": False})
    assert admin.get(ADMIN, "lock", alice.user_id) == {"locked": False}
    alice.sync()


def test_tools_of_administrators_lock_and_suspend_by_this_servers_own_names(
    admin: Client, alice: Client, bob: Client
) -> None:
    own = ("/_columba/admin/v1/users", alice.user_id)

    admin.put(*own, "lock", body={"locked": True})
    alice.get("sync", status=401, errcode="M_USER_LOCKED")
    admin.put(*own, "lock", body={"locked": False})
    admin.put(*own, "suspend", body={"suspended": True})

    assert (admin.get(*own, "lock"), admin.get(*own, "suspend")) == ({"locked": False}, {"suspended": True})
    bob.put(*own, "suspend", body={"suspended": False}, status=403, errcode="M_FORBIDDEN")


def test_users_of_other_servers_users_who_are_not_and_administrators_cannot_be_moderated(
    server: Server, admin: Client, alice: Client
) -> None:
    identifier = {"type": "m.id.user", "user": alice.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    alice.post("account", "deactivate", body={"auth": auth})
    expected = {
        "@eve:elsewhere.example": (400, "M_INVALID_PARAM"),
        f"@nobody:{server.server_name}": (404, "M_NOT_FOUND"),
        alice.user_id: (404, "M_NOT_FOUND"),
        admin.user_id: (403, "M_FORBIDDEN"),
    }

    for user_id, (status, errcode) in expected.items():
        for word, key in (("lock", "locked"), ("suspend", "suspended")):
            admin.get(ADMIN, word, user_id, status=status, errcode=errcode)
            admin.put(ADMIN, word, user_id, body={key: True}, status=status, errcode=errcode)


def test_who_was_made_an_administrator_while_held_back_is_let_go_and_not_held_back_again(
    admin: Client, alice: Client
) -> None:
    for word, key in (("lock", "locked"), ("suspend", "suspended")):
        admin.put(ADMIN, word, alice.user_id, body={key: True})
    admin.put("/_columba/admin/v1/users", alice.user_id, "admin", body={"admin": True})
    alice.get("/_columba/admin/v1/users", status=401, errcode="M_USER_LOCKED")

    admin.put(ADMIN, "lock", alice.user_id, body={"locked": False})
    alice.get("/_columba/admin/v1/users", status=403, errcode="M_USER_SUSPENDED")
    admin.put(ADMIN, "suspend", alice.user_id, body={"suspended": False})

    alice.get("/_columba/admin/v1/users")
    for word, key in (("lock", "locked"), ("suspend", "suspended")):
        admin.put(ADMIN, word, alice.user_id, body={key: True}, status=403, errcode="M_FORBIDDEN")


def test_nobody_else_may_ask_or_change_anything(server: Server, alice: Client, bob: Client) -> None:
    for user_id in (bob.user_id, alice.user_id, f"@nobody:{server.server_name}", "@eve:elsewhere.example"):
        for word, key in (("lock", "locked"), ("suspend", "suspended")):
            alice.get(ADMIN, word, user_id, status=403, errcode="M_FORBIDDEN")
            alice.put(ADMIN, word, user_id, body={key: True}, status=403, errcode="M_FORBIDDEN")


def test_administrators_are_told_so_among_their_capabilities(admin: Client, alice: Client) -> None:
    known = {"suspend": True, "lock": True}

    assert admin.get("capabilities")["capabilities"]["m.account_moderation"] == known
    assert "m.account_moderation" not in alice.get("capabilities")["capabilities"]


def test_users_and_administrators_see_from_where_an_account_is_used(
    server: Server, admin: Client, alice: Client, bob: Client
) -> None:
    for asker in (alice, admin):
        known = asker.get("admin", "whois", alice.user_id)
        assert known["user_id"] == alice.user_id
        assert list(known["devices"]) == [alice.device_id]
        assert "connections" in known["devices"][alice.device_id]["sessions"][0]
    bob.get("admin", "whois", alice.user_id, status=403, errcode="M_FORBIDDEN")
    assert admin.get("admin", "whois", f"@nobody:{server.server_name}")["devices"] == {}
    assert new_user(server.url, "carol").user_id not in str(known)
