"""A moderator of Synapse takes synadm along: what it is told, Columba does, and synadm shows it.

What synadm calls and Columba does not have is refused, and synadm shows that, too.
"""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.api.client import PASSWORD, Client, new_administrator, register
from tests.clients.synadm import Synadm
from tests.environments import NotInstalled
from tests.server import Server, running

pytestmark = pytest.mark.clients

NEW_PASSWORD: Final = "staple battery horse correct"
IN_2096_MS: Final = 4_000_000_000_000
# All that `room list --sort` takes, but for those that are sorted as others of these.
ORDERS: Final = ("name", "canonical_alias", "joined_local_members", "creator", "federatable", "join_rules")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The server that is administrated."""
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> Client:
    """Its administrator."""
    return new_administrator(server)


@pytest.fixture(scope="module")
def synadm(server: Server, admin: Client, tmp_path_factory: pytest.TempPathFactory) -> Synadm:
    """The program, which has the administrator's access token."""
    assert admin.access_token is not None
    try:
        home = tmp_path_factory.mktemp("synadm")
        return Synadm(home, base_url=server.url, user_id=admin.user_id, token=admin.access_token)
    except NotInstalled as missing:
        pytest.skip(f"NOT TRIED: {missing}")


@pytest.fixture
def new(server: Server) -> Callable[[str], Client]:
    """Make somebody whose name begins like this."""
    return lambda name: register(server.url, f"{name}.{secrets.token_hex(4)}")


def until(synadm: Synadm, *arguments: str, among: set[str]) -> Any:  # Any: JSON
    """Ask for the status of some work again and again, until it is one of these."""
    while True:
        answer = synadm.does(*arguments)
        found = answer["results"][0] if "results" in answer else answer
        if found["status"] in among:
            return found
        assert found["status"] in {"scheduled", "active"}, answer


def test_it_says_which_version_it_speaks_with(synadm: Synadm, server: Server) -> None:
    version = synadm.does("version")["server_version"]
    assert version == Client(server.url).get("/_matrix", "federation", "v1", "version")["server"]["version"]
    assert version in synadm.shows("version")


def test_people_are_found_looked_at_and_changed(synadm: Synadm, new: Callable[[str], Client]) -> None:
    bob = new("bob")
    name = bob.user_id[1:].partition(":")[0]

    listed = synadm.does("user", "list", "--name", name)
    lower, capital = synadm.all_answers("user", "search", name)
    synadm.does(
        "user", "modify", bob.user_id, "--display-name", "Bobby", "--avatar-url", "mxc://example.org/b", "--lock"
    )
    locked = synadm.does("user", "details", name)  # which of all servers is asked for by /_matrix/key
    synadm.does("user", "modify", bob.user_id, "--unlock", "--admin")
    unlocked = synadm.does("user", "details", bob.user_id)
    only_admins = synadm.does("user", "list", "--admins", "--sort-by", "creation_ts", "--reverse", "--limit", "1")

    assert [user["name"] for user in listed["users"]] == [bob.user_id]
    assert (listed["total"], lower["total"], capital["total"]) == (1, 1, 1)
    assert (locked["displayname"], locked["avatar_url"], locked["locked"]) == ("Bobby", "mxc://example.org/b", True)
    assert (unlocked["locked"], unlocked["admin"], unlocked["user_type"]) == (False, True, None)
    assert only_admins["users"][0]["name"] == bob.user_id
    assert "Bobby" in synadm.shows("user", "list", "--name", name)
    assert synadm.refused("user", "details", "@nobody.at.all:example.org") in {"M_NOT_FOUND", "M_INVALID_PARAM"}


def test_an_account_is_made(synadm: Synadm, server: Server) -> None:
    user_id = f"@carol.{secrets.token_hex(4)}:{server.server_name}"
    created = synadm.run("user", "modify", user_id, "--password", PASSWORD, "--display-name", "Carol").answers
    logged_in = synadm.does("matrix", "login", user_id, "--password", PASSWORD)

    assert created[0]["errcode"] == "M_NOT_FOUND"  # it looks first who that is
    assert (created[-1]["name"], created[-1]["displayname"]) == (user_id, "Carol")
    assert logged_in["user_id"] == user_id


def test_devices_are_shown_and_signed_out_and_a_password_is_given(synadm: Synadm, new: Callable[[str], Client]) -> None:
    bob = new("bob")
    other = bob.login_again()
    bob.get("devices")
    other.get("devices")

    (pruned,) = synadm.does("user", "prune-devices", bob.user_id, "--device-id", other.device_id, "--list-only")
    connections = synadm.does("user", "whois", bob.user_id)["devices"]
    assert "no relevant devices" in synadm.shows("user", "prune-devices", bob.user_id, "--min-days", "1")
    synadm.does("user", "prune-devices", bob.user_id, "--device-id", other.device_id)
    left = [device["device_id"] for device in bob.get("devices")["devices"]]
    synadm.does("user", "password", bob.user_id, "--password", NEW_PASSWORD, "--no-logout")
    bob.get("account", "whoami")
    synadm.does("user", "password", bob.user_id, "--password", PASSWORD)

    assert pruned["device_id"] == other.device_id
    assert connections.keys() == {bob.device_id, other.device_id}
    assert left == [bob.device_id]
    bob.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    assert bob.login_again().user_id == bob.user_id


def test_an_administrator_acts_as_somebody_for_a_time(
    synadm: Synadm, server: Server, new: Callable[[str], Client]
) -> None:
    bob = new("bob")
    token = synadm.does("user", "login", bob.user_id, "--expire-days", "2")["access_token"]
    assert Client(server.url, access_token=token).get("account", "whoami")["user_id"] == bob.user_id
    assert synadm.does("user", "login", bob.user_id)["access_token"] != token


def test_somebody_is_suspended_shadow_banned_and_closed(synadm: Synadm, new: Callable[[str], Client]) -> None:
    bob = new("bob")
    room_id = bob.create_room()

    synadm.does("user", "suspend", bob.user_id)
    bob.post("createRoom", status=403, errcode="M_USER_SUSPENDED")
    assert synadm.does("user", "details", bob.user_id)["suspended"]
    synadm.does("user", "suspend", bob.user_id, "--unsuspend")
    synadm.does("user", "shadow-ban", bob.user_id)
    assert synadm.does("user", "details", bob.user_id)["shadow_banned"]
    assert "Success" in synadm.shows("user", "shadow-ban", bob.user_id, "--unban")
    assert synadm.does("user", "membership", "--ids", bob.user_id) == {"joined_rooms": [room_id], "total": 1}

    closed = synadm.does("user", "deactivate", bob.user_id, "--gdpr-erase")
    details = synadm.does("user", "details", bob.user_id)

    assert closed["id_server_unbind_result"] in {"success", "no-support"}
    assert (details["deactivated"], details["erased"]) == (True, True)
    bob.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    assert synadm.does("user", "list", "--user-id", bob.user_id)["total"] == 0
    assert synadm.does("user", "list", "--user-id", bob.user_id, "--deactivated")["total"] == 1


def test_many_accounts_are_closed_at_once(synadm: Synadm, new: Callable[[str], Client]) -> None:
    raiders, bob = [new("raider"), new("raider")], new("bob")
    told = synadm.run("user", "deactivate-regex", "@raider", "--dry-run", "--batch-size", "2").stdout
    assert {f"Would deactivate: {raider.user_id}" for raider in raiders} == set(told.splitlines())

    synadm.does("user", "deactivate-regex", "@raider", "--batch-size", "1000")

    for raider in raiders:
        raider.get("account", "whoami", status=401, errcode="M_UNKNOWN_TOKEN")
    bob.get("account", "whoami")


def test_all_that_somebody_said_is_redacted(synadm: Synadm, new: Callable[[str], Client]) -> None:
    alice, bob = new("alice"), new("bob")
    room_id = alice.create_room_with(bob)
    said = [bob.say(room_id, "buy"), bob.say(room_id, "now")]
    kept = alice.say(room_id, "no")

    work = synadm.does("user", "redact", bob.user_id, "--room", room_id, "--reason", "spam", "--limit", "500")
    done = until(synadm, "user", "redact-status", work["redact_id"], among={"complete", "failed"})

    assert (done["status"], done["failed_redactions"]) == ("complete", {})
    assert all(alice.get("rooms", room_id, "event", event_id)["content"] == {} for event_id in said)
    assert alice.get("rooms", room_id, "event", kept)["content"]["body"] == "no"
    assert synadm.refused("user", "redact-status", "nothing") == "M_NOT_FOUND"


def test_rooms_are_found_and_looked_into(synadm: Synadm, new: Callable[[str], Client]) -> None:
    alice, bob = new("alice"), new("bob")
    word = f"orchard{secrets.token_hex(4)}"
    room_id = alice.create_room_with(bob, name=word, room_alias_name=word)

    for order in ORDERS:
        (found,) = synadm.does("room", "list", "--name", word, "--sort", order, "--reverse")["rooms"]
        assert (found["room_id"], found["name"], found["joined_local_members"]) == (room_id, word, 2)
    assert synadm.does("room", "search", word)["rooms"] == [found]
    assert synadm.does("room", "list", "--name", word, "--empty")["rooms"] == []
    assert synadm.does("room", "details", room_id)["canonical_alias"] == f"#{word}:{alice.server_name}"
    assert synadm.does("room", "members", room_id)["members"] == sorted([alice.user_id, bob.user_id])
    state = synadm.does("room", "state", room_id)["state"]
    assert {"m.room.create", "m.room.member", "m.room.power_levels"} <= {event["type"] for event in state}
    assert room_id in synadm.run("room", "resolve", f"#{word}:{alice.server_name}").stdout
    assert f"#{word}" in synadm.run("room", "resolve", "--reverse", room_id).stdout
    assert synadm.does("user", "membership", "--aliases", bob.user_id)["joined_rooms"] == [
        f"#{word}:{alice.server_name}"
    ]
    assert word in synadm.shows("room", "list", "--name", word)
    assert synadm.refused("room", "details", "!nowhere:example.org") == "M_NOT_FOUND"


def test_power_is_shown_and_given_and_somebody_joins(
    synadm: Synadm, admin: Client, new: Callable[[str], Client]
) -> None:
    alice, bob = new("alice"), new("bob")
    room_id = alice.create_room(room_version="11")

    synadm.does("room", "join", room_id, bob.user_id)
    synadm.does("room", "make-admin", room_id, "--user-id", bob.user_id)
    synadm.does("room", "make-admin", room_id)  # the administrator
    (shown,) = synadm.does("room", "power-levels", "--room-id", room_id)["rooms"]

    assert bob.get("joined_rooms")["joined_rooms"] == [room_id]
    assert shown["power_levels"] == {alice.user_id: 100, bob.user_id: 100, admin.user_id: 100}
    admin.join(room_id)
    assert "100" in synadm.shows("room", "power-levels", "--room-id", room_id)


def test_a_room_is_blocked_and_opened_again(synadm: Synadm, admin: Client, new: Callable[[str], Client]) -> None:
    alice, bob = new("alice"), new("bob")
    room_id = alice.create_room(preset="public_chat")

    assert synadm.does("room", "block", room_id) == {"block": True}
    bob.join(room_id, status=403, errcode="M_FORBIDDEN")
    status = synadm.does("room", "block-status", room_id)
    assert (status["block"], status["user_id"]) == (True, admin.user_id)
    assert synadm.does("room", "block", room_id, "--unblock") == {"block": False}
    assert synadm.does("room", "block-status", room_id) == {"block": False}
    bob.join(room_id)


def test_a_room_is_deleted_while_one_looks_on_or_waits(
    synadm: Synadm, admin: Client, new: Callable[[str], Client]
) -> None:
    alice, bob = new("alice"), new("bob")
    first, second = alice.create_room_with(bob, name="One"), alice.create_room_with(bob, name="Two")

    work = synadm.does("room", "delete", first, "--block", "--new-room-user-id", admin.user_id, "--message", "Away.")
    done = until(synadm, "room", "delete-status", "--delete-id", work["delete_id"], among={"complete", "failed"})
    by_room = synadm.does("room", "delete-status", "--room-id", first)["results"]
    at_once = synadm.does("room", "delete", second, "--v1")

    assert (done["status"], done["shutdown_room"]["failed_to_kick_users"]) == ("complete", [])
    assert by_room[0]["status"] == "complete"
    assert sorted(at_once["kicked_users"]) == sorted([alice.user_id, bob.user_id])
    assert {first, second}.isdisjoint(bob.get("joined_rooms")["joined_rooms"])
    assert synadm.refused("room", "details", second) == "M_NOT_FOUND"
    assert synadm.does("room", "block-status", first)["block"]
    assert "Room not found." in synadm.run("room", "delete", second).stdout


def test_rooms_that_all_have_left_are_swept_away(synadm: Synadm, new: Callable[[str], Client]) -> None:
    alice = new("alice")
    empty, inhabited = alice.create_room(), alice.create_room()
    alice.post("rooms", empty, "leave")

    would = synadm.does("room", "purge-empty", "--dry-run")
    synadm.does("room", "purge-empty")

    assert empty in would
    assert inhabited not in would
    until(synadm, "room", "delete-status", "--room-id", empty, among={"complete"})
    assert synadm.does("room", "details", inhabited)["joined_members"] == 1


def test_history_is_purged(synadm: Synadm, new: Callable[[str], Client]) -> None:
    alice = new("alice")
    room_id = alice.create_room()
    said = [alice.say(room_id, str(number)) for number in range(4)]

    work = synadm.does("history", "purge", room_id, "--before-event-id", said[2], "--delete-local")
    ended = synadm.does("history", "purge-status", work["purge_id"])
    while ended["status"] == "active":
        ended = synadm.does("history", "purge-status", work["purge_id"])
    nothing_older = synadm.does("history", "purge", room_id, "--before-days", "1")

    assert ended["status"] == "complete"
    alice.get("rooms", room_id, "event", said[0], status=404)
    assert alice.get("rooms", room_id, "event", said[2])["content"]["body"] == "2"
    assert nothing_older["purge_id"]
    assert synadm.refused("history", "purge-status", "nothing") == "M_NOT_FOUND"


def test_registration_tokens_are_given_out_changed_and_taken_back(synadm: Synadm) -> None:
    later = IN_2096_MS
    made = synadm.does("regtok", "new", "--token", "for-dan", "--uses-allowed", "3", "--expiry-ts", str(later))
    by_chance = synadm.does("regtok", "new", "--length", "20")
    synadm.does("regtok", "update", "for-dan", "--uses-allowed", "-1", "--expiry-ts", "-1")
    details = synadm.does("regtok", "details", "for-dan")
    listed = synadm.does("regtok", "list", "--valid")["registration_tokens"]
    assert "successfully deleted" in synadm.run("regtok", "delete", "for-dan").stdout

    assert (made["token"], made["uses_allowed"], made["expiry_time"], made["pending"]) == ("for-dan", 3, later, 0)
    assert len(by_chance["token"]) == 20
    assert (details["uses_allowed"], details["expiry_time"]) == (None, None)
    assert {"for-dan", by_chance["token"]} <= {token["token"] for token in listed}
    assert by_chance["token"] in synadm.shows("regtok", "list")
    assert synadm.refused("regtok", "details", "for-dan") == "M_NOT_FOUND"


def test_notices_are_sent_to_one_and_to_many(synadm: Synadm, new: Callable[[str], Client]) -> None:
    tag = secrets.token_hex(4)
    readers = [new(f"reader{tag}"), new(f"reader{tag}")]

    (to_one,) = synadm.does("notice", "send", readers[0].user_id, "Down at noon", "<b>Down</b> at noon")
    to_all = synadm.does("notice", "send", "--regex", f"@reader{tag}", "Up again")

    assert to_one["event_id"].startswith("$")
    assert len(to_all) == 2
    (room_id,) = readers[0].sync()["rooms"]["invite"]
    readers[0].join(room_id)
    event = readers[0].get("rooms", room_id, "event", to_one["event_id"])
    assert event["content"]["formatted_body"] == "<b>Down</b> at noon"


def test_a_request_is_typed_by_hand(synadm: Synadm, new: Callable[[str], Client]) -> None:
    bob = new("bob")
    assert bob.access_token is not None
    path = f"v1/users/{bob.user_id}/override_ratelimit"
    synadm.does("raw", path, "--method", "post", "--data", '{"messages_per_second": 2, "burst_count": 9}')
    assert synadm.does("raw", path) == {"messages_per_second": 2, "burst_count": 9}
    # For these it has no words of its own.
    assert synadm.does("raw", "v1/federation/destinations") == {"destinations": [], "total": 0}
    room_id = bob.create_room(name="Den")
    assert synadm.does("raw", f"v1/rooms/{room_id}/hierarchy")["rooms"][0]["name"] == "Den"
    heads = f"v1/rooms/{room_id}/forward_extremities"
    assert synadm.does("raw", heads, "--method", "delete") == {"deleted": 0}
    assert synadm.does("raw", heads)["count"] == 1
    assert (
        synadm.does("matrix", "raw", "client/v3/account/whoami", "--token", bob.access_token)["user_id"] == bob.user_id
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("media", "list", "--user-id", "@bob:example.org"),
        ("media", "list", "--room-id", "!room:example.org"),
        ("media", "quarantine", "--server-name", "example.org", "--media-id", "picture"),
        ("media", "quarantine", "--room-id", "!room:example.org"),
        ("media", "quarantine", "--user-id", "@bob:example.org"),
        ("media", "unquarantine", "--server-name", "example.org", "--media-id", "picture"),
        ("media", "protect", "picture"),
        ("media", "purge", "--before-days", "30"),
        ("media", "delete", "--media-id", "picture"),
        ("media", "delete", "--before-days", "30", "--size", "1024"),
        ("user", "media", "@bob:example.org"),
        ("user", "3pid", "bob@example.org"),
        ("user", "auth-provider", "bob", "--provider", "oidc"),
        ("group", "delete", "+group:example.org"),
    ],
    ids=" ".join,
)
def test_what_the_server_does_not_have_is_refused_and_said_to_be(synadm: Synadm, arguments: tuple[str, ...]) -> None:
    assert synadm.refused(*arguments) == "M_UNRECOGNIZED"


def test_who_is_no_administrator_gets_nowhere(server: Server, new: Callable[[str], Client], tmp_path: Path) -> None:
    bob = new("bob")
    assert bob.access_token is not None
    try:
        mine = Synadm(tmp_path, base_url=server.url, user_id=bob.user_id, token=bob.access_token)
    except NotInstalled as missing:
        pytest.skip(f"NOT TRIED: {missing}")
    for arguments in (("user", "list"), ("version",), ("regtok", "list"), ("room", "details", "!room:example.org")):
        assert mine.refused(*arguments) == "M_FORBIDDEN"


def test_the_owner_of_the_server_needs_no_token_at_its_socket(server: Server, admin: Client, tmp_path: Path) -> None:
    socket = str(server.data_dir / "admin.sock")
    try:
        owner = Synadm(tmp_path, base_url=socket, user_id="@owner:example.org", token="none", protocol="unix")
    except NotInstalled as missing:
        pytest.skip(f"NOT TRIED: {missing}")
    # Commands that ask more than one question find the socket for the first one alone: synadm quotes its path again.
    assert admin.user_id in {user["name"] for user in owner.does("user", "list", "--admins")["users"]}
    assert owner.does("regtok", "new", "--token", "by-the-owner")["token"] == "by-the-owner"
