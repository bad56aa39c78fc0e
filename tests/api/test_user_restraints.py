"""Users whom administrators hold back, or let go further than others, on a running server."""

from tests.api.client import Client

V1 = "/_synapse/admin/v1"
OWN = "/_columba/admin/v1"


def test_a_rate_limit_of_ones_own_holds_at_once_and_until_it_is_taken_away(
    admin: Client, alice: Client, bob: Client
) -> None:
    path = (V1, "users", alice.user_id, "override_ratelimit")
    room_id = alice.create_room_with(bob)
    assert admin.get(*path) == {}

    slow = {"messages_per_second": 0.001, "burst_count": 1}
    assert admin.post(*path, body=slow) == slow
    alice.say(room_id, "one")
    message = ("rooms", room_id, "send", "m.room.message", "two")
    waiting = alice.put(*message, body={"msgtype": "m.text", "body": "two"}, status=429, errcode="M_LIMIT_EXCEEDED")
    assert waiting["retry_after_ms"] > 60_000
    bob.say(room_id, "me too")
    for _ in range(3):
        alice.get("account", "whoami")

    assert admin.post(OWN, "users", alice.user_id, "override_ratelimit", body={"messages_per_second": 0}) == {
        "messages_per_second": 0,
        "burst_count": 0,
    }
    assert admin.get(OWN, "users", alice.user_id)["own_rate_limit"] == {"messages_per_second": 0, "burst_count": 0}
    alice.put(*message, body={"msgtype": "m.text", "body": "two"})
    assert admin.delete(*path) == {}
    assert admin.get(OWN, "users", alice.user_id)["own_rate_limit"] is None
    assert admin.get(*path) == {}


def test_rate_limits_are_for_administrators_to_set_and_for_users_who_are_here(admin: Client, alice: Client) -> None:
    path = (V1, "users", alice.user_id, "override_ratelimit")

    alice.post(*path, status=403)
    alice.get(*path, status=403)
    for wrong in (-1, 1e300, "1", None):
        admin.post(*path, body={"messages_per_second": wrong}, status=400)
    admin.post(
        V1, "users", f"@nobody:{admin.server_name}", "override_ratelimit", body={"messages_per_second": 1}, status=404
    )
    admin.get(V1, "users", "@a:elsewhere.example", "override_ratelimit", status=400)
    assert admin.get(*path) == {}
