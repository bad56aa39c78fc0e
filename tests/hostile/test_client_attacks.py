"""Attacks of clients that need no bad request: numbers that are none, circles, state that means nothing, hidden pages.

Each is right enough to be taken, or nearly; what is wrong in any other way comes from test_declared.py, and attacks on
whole accounts are in test_attacks.py.
"""

import json
from typing import Any, Final

import pytest

from homeserver.http.endpoint import Auth, Endpoint, NoBody, Upload
from tests.api.client import Client, new_user
from tests.api.sliding import following
from tests.conformance.operations import declared
from tests.hostile.declared import plain_draft
from tests.hostile.judgement import Judge
from tests.hostile.values import Raw
from tests.server import Server

# Any: JSON, throughout.

V1: Final = "/_matrix/client/v1"
SPACE: Final = {"creation_content": {"type": "m.space"}}
NO_NUMBERS: Final = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"01", b"1.", b"0x1")
ODD_NUMBERS: Final = (b"1.5", b"9007199254740992", b"-0.0", b"1e300", b"-9223372036854775809", b"1" + b"0" * 300)


@pytest.fixture
def alice(sqlite_server: Server) -> Client:
    return new_user(sqlite_server.url, "alice")


@pytest.fixture
def bob(sqlite_server: Server) -> Client:
    return new_user(sqlite_server.url, "bob")


def rarely(value: Any) -> Any:
    """One of which others are variants: tried in large runs alone."""
    return pytest.param(value, marks=pytest.mark.large)


# Numbers


def _readers_of_json() -> list[Endpoint]:
    """Every endpoint for clients that reads a body of JSON."""
    return [
        mark
        for mark in declared()
        if mark.body not in (NoBody, Upload, bytes) and mark.auth not in (Auth.FEDERATION, Auth.ADMIN_SOCKET)
    ]


def test_what_is_no_number_is_in_no_body(sqlite_judge: Judge) -> None:
    sqlite_judge.begin()
    asked = _readers_of_json()
    assert len(asked) > 50

    for place, mark in enumerate(asked):
        plain = plain_draft(mark.method, mark.path)
        # One or two of them for each endpoint: what reads them is one function.
        for number in (NO_NUMBERS[place % len(NO_NUMBERS)], b"NaN"):
            body = Raw(b'{"n": {"n": [1, %s]}}' % number)
            token = "admin" if mark.auth is Auth.ADMIN else "self"
            sent = type(plain)(plain.method, plain.path, plain.query, token, body, plain.content_type)
            answer = sqlite_judge.send(sent.addressed(sqlite_judge.cast))
            if (answer.status, answer.errcode) != (400, "M_NOT_JSON"):
                sqlite_judge.faults.append(f"{mark.name} takes {number!r}: {answer}")

    sqlite_judge.conclude()


@pytest.mark.parametrize(
    "number", [*ODD_NUMBERS[:2], *map(rarely, ODD_NUMBERS[2:])], ids=lambda number: number[:12].decode()
)
def test_a_number_that_not_everybody_reads_breaks_nothing_wherever_it_is_kept(
    alice: Client, bob: Client, number: bytes
) -> None:
    room_id = alice.create_room_with(bob)
    content = b'{"n": %s}' % number
    me = alice.user_id
    key = b'{"first_message_index": 0, "forwarded_count": 0, "is_verified": false, "session_data": {"n": %s}}' % number
    backup = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "A", "signatures": {}}}
    version = alice.post("room_keys", "version", body=backup)["version"]
    scheduled = ("/_matrix/client/unstable/org.matrix.msc4140", "rooms", room_id, "delayed_event", "org.example.n", "t")
    requests: list[tuple[tuple[str, ...], bytes, dict[str, Any]]] = [
        (("user", me, "account_data", "org.example.n"), content, {}),
        (("user", me, "rooms", room_id, "account_data", "org.example.n"), content, {}),
        (("user", me, "rooms", room_id, "tags", "u.n"), b'{"order": %s}' % number, {}),
        (("sendToDevice", "org.example.n", "t"), b'{"messages": {"%s": {"*": %s}}}' % (me.encode(), content), {}),
        (("rooms", room_id, "send", "org.example.n", "t"), content, {}),
        (("rooms", room_id, "state", "org.example.n", ""), content, {}),
        (scheduled, b'{"delay": 1, "content": %s}' % content, {}),
        (("profile", me, "org.example.n"), b'{"org.example.n": %s}' % number, {}),
        (("pushrules", "global", "override", "n"), b'{"actions": [], "conditions": [%s]}' % _condition(number), {}),
        (("room_keys", "keys", room_id, "s"), key, {"version": version}),
        (("presence", me, "status"), b'{"presence": "online", "n": %s}' % number, {}),
    ]

    for path, body, query in requests:
        assert alice.send("PUT", *path, content=body, query=query).status in (200, 400), path
    filtered = b'{"room": {"timeline": {"limit": %s}, "n": %s}}' % (number, number)
    assert alice.send("POST", "user", me, "filter", content=filtered).status in (200, 400)
    keys = b'{"device_keys": {"user_id": "%s", "device_id": "%s", "algorithms": [], "keys": {}, "n": %s}}'
    uploaded = keys % (me.encode(), alice.device_id.encode(), number)
    assert alice.send("POST", "keys", "upload", content=uploaded).status in (200, 400)

    said = bob.say(room_id, "still here")
    timeline = alice.sync(filter={"room": {"timeline": {"limit": 50}}})["rooms"]["join"][room_id]["timeline"]["events"]
    assert said in [event["event_id"] for event in timeline]
    assert [event for event in timeline if event["type"] == "org.example.n"] == [], (
        "canonical JSON knows no such number"
    )
    extensions = {name: {"enabled": True} for name in ("account_data", "to_device", "e2ee")}
    connection = following(alice)
    connection.want(extensions=extensions)
    assert connection.ask()["rooms"][room_id]
    for path in (("pushrules", ""), ("profile", me), ("user", me, "rooms", room_id, "tags"), ("initialSync",)):
        alice.get(*path)
    alice.get("room_keys", "keys", query={"version": version})
    bob.post("keys", "query", body={"device_keys": {me: []}})


def _condition(number: bytes) -> bytes:
    return b'{"kind": "event_property_is", "key": "content.n", "value": %s}' % number


# Graphs


def test_spaces_that_hold_each_other_are_walked_through_once(alice: Client, bob: Client) -> None:
    outer, middle, inner = (alice.create_room(preset="public_chat", **SPACE) for _ in range(3))
    for parent, child in ((outer, middle), (middle, inner), (inner, outer), (inner, inner), (inner, middle)):
        alice.set_state(parent, "m.space.child", {"via": [alice.server_name]}, child)
        alice.set_state(child, "m.space.parent", {"via": [alice.server_name], "canonical": True}, parent)

    for client in (alice, bob):
        seen: list[str] = []
        page: dict[str, Any] = {"next_batch": None}
        for _ in range(9):
            query = {"limit": 1} if page["next_batch"] is None else {"limit": 1, "from": page["next_batch"]}
            page = {"next_batch": None, **client.get(V1, "rooms", outer, "hierarchy", query=query)}
            seen += [room["room_id"] for room in page["rooms"]]
            if page["next_batch"] is None:
                break

        assert seen == [outer, middle, inner]


def test_rooms_that_replace_each_other_are_joined_and_replaced(alice: Client, bob: Client) -> None:
    first = alice.create_room(preset="public_chat", room_version="11")
    before = {"room_id": first, "event_id": "$" + "A" * 43}
    wish = {"preset": "public_chat", "room_version": "11", "creation_content": {"predecessor": before}}
    second = alice.create_room(**wish)
    for room_id, successor in ((first, second), (second, first)):
        alice.set_state(room_id, "m.room.tombstone", {"body": "moved", "replacement_room": successor})

    bob.join(first)
    bob.put("user", bob.user_id, "rooms", first, "tags", "u.kept", body={})
    bob.join(second)
    third = alice.post("rooms", second, "upgrade", body={"new_version": "12"})["replacement_room"]
    bob.join(third)

    assert set(bob.get("joined_rooms")["joined_rooms"]) == {first, second, third}
    assert {first, second, third} <= set(bob.sync()["rooms"]["join"])
    assert {first, second, third} <= set(following(bob).ask()["rooms"])
    assert alice.say(third, "here now")


def test_edits_of_edits_and_threads_in_threads_are_none(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    root = alice.say(room_id, "root")
    edits = [root]
    for number in range(8):
        relation = {"rel_type": "m.replace", "event_id": edits[-1]}
        said = {"msgtype": "m.text", "body": str(number)}
        edits.append(alice.say(room_id, "*", **{"m.new_content": said, "m.relates_to": relation}))
    reply = bob.say(room_id, "reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    nested = {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": reply}}

    bob.put("rooms", room_id, "send", "m.room.message", "t", body=nested, status=400)

    [newest] = [bob.get("rooms", room_id, "event", root)["unsigned"]["m.relations"]["m.replace"]]
    assert newest["content"]["m.new_content"]["body"] == "0"
    assert [thread["event_id"] for thread in bob.get(V1, "rooms", room_id, "threads")["chunk"]] == [root]
    found = bob.get(V1, "rooms", room_id, "relations", root, query={"recurse": True, "limit": 50})
    assert len({event["event_id"] for event in found["chunk"]}) == len(found["chunk"]) <= len(edits)
    assert found["recursion_depth"] <= 3


# Pages


def test_pages_of_what_one_may_not_see_end_nothing(alice: Client, bob: Client) -> None:
    joined = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = alice.create_room_with(bob, initial_state=[joined])
    root = alice.say(room_id, "bananas")
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    first = alice.say(room_id, "bananas", **thread)
    bob.post("rooms", room_id, "leave")
    for _ in range(25):
        hidden = alice.say(room_id, "bananas")
        alice.say(room_id, "bananas", **thread)
        alice.say(room_id, "bananas", **{"m.relates_to": {"rel_type": "m.thread", "event_id": hidden}})
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    bob.join(room_id)

    related = _all_pages(bob, (V1, "rooms", room_id, "relations", root))
    threads = _all_pages(bob, (V1, "rooms", room_id, "threads"))
    found: list[str] = []
    batch: str | None = None
    for _ in range(60):
        term = {"search_term": "bananas", "order_by": "recent", "filter": {"rooms": [room_id], "limit": 3}}
        body = {"search_categories": {"room_events": term}}
        query: dict[str, str] = {} if batch is None else {"next_batch": batch}
        answer = bob.post("search", body=body, query=query)["search_categories"]["room_events"]
        found += [result["result"]["event_id"] for result in answer["results"]]
        batch = answer.get("next_batch")
        if batch is None:
            break

    assert [event["event_id"] for event in related] == [first]
    assert [event["event_id"] for event in threads] == [root]
    assert set(found) == {root, first}


def _all_pages(client: Client, path: tuple[str, ...]) -> list[Any]:
    """All that a listing has, a few at a time."""
    found, page = [], client.get(*path, query={"limit": 3})
    for _ in range(60):
        found += page["chunk"]
        if "next_batch" not in page:
            return found
        page = client.get(*path, query={"limit": 3, "from": page["next_batch"]})
    raise AssertionError("it has no end")


# State


ODD_VALUES: Final[tuple[Any, ...]] = (None, 7, {"a": {}}, [None, 1, "x"], True, [], [[]], {}, "\u0000", "x" * 9_000)
# What describes a room, and is read when rooms are listed.
DESCRIBING: Final = (
    ("m.room.name", "", "name"),
    ("m.room.topic", "", "topic"),
    ("m.room.topic", "", "m.topic"),
    ("m.room.avatar", "", "url"),
    ("m.room.join_rules", "", "join_rule"),
    ("m.room.history_visibility", "", "history_visibility"),
    ("m.room.guest_access", "", "guest_access"),
    ("m.room.encryption", "", "algorithm"),
    ("m.room.tombstone", "", "replacement_room"),
    ("m.room.pinned_events", "", "pinned"),
    ("m.room.server_acl", "", "deny"),
    ("m.space.child", "!odd:elsewhere.example", "via"),
    ("m.space.child", "not a room", "via"),
    ("m.space.child", "!odd:elsewhere.example", "order"),
    ("m.space.parent", "!odd:elsewhere.example", "via"),
    ("im.vector.modular.widgets", "w", "url"),
)


# What is a text is shown as it is, though it be no URI of a picture and no algorithm that anybody knows.
SHOWN_AS_THEY_ARE: Final = ("avatar_url", "url", "algorithm")


@pytest.mark.parametrize(
    "value", [*ODD_VALUES[:4], *map(rarely, ODD_VALUES[4:])], ids=lambda value: json.dumps(value)[:20]
)
def test_state_of_any_shape_keeps_no_list_from_being_shown(alice: Client, bob: Client, value: Any) -> None:
    name = f"odd.{alice.user_id[1:].partition(':')[0]}"
    room_id = alice.create_room(preset="public_chat", visibility="public", room_alias_name=name, **SPACE)
    bob.join(room_id)
    for client in (alice, bob):
        member = {"membership": "join", "displayname": value, "avatar_url": value, "is_direct": value}
        member = {field: odd for field, odd in member.items() if not _is_shown_as_it_is(field, odd)}
        client.send("PUT", "rooms", room_id, "state", "m.room.member", client.user_id, content=_json(member))

    for event_type, state_key, field in DESCRIBING:
        if _is_shown_as_it_is(field, value):
            continue
        path = ("rooms", room_id, "state", event_type, state_key)
        assert alice.send("PUT", *path, content=_json({field: value})).status in (200, 400, 403), path

    for client in (alice, bob):
        joined = client.sync(full_state=True)["rooms"]["join"]
        assert room_id in joined
        connection = following(client, required_state=[["*", "*"]])
        assert room_id in connection.ask()["rooms"]
        client.get("initialSync")
        client.get(V1, "rooms", room_id, "hierarchy")
        client.get(V1, "room_summary", room_id)
        client.get("rooms", room_id, "joined_members")
        client.get("rooms", room_id, "state")
        assert client.say(room_id, "still here")
    client = new_user(alice.url, "carol")
    answer = client.get("publicRooms")
    assert room_id in [room["room_id"] for room in answer["chunk"]]
    client.post("publicRooms", body={"filter": {"generic_search_term": "odd"}})
    client.post("user_directory", "search", body={"search_term": "alice"})


def _is_shown_as_it_is(field: str, value: Any) -> bool:
    return isinstance(value, str) and field in SHOWN_AS_THEY_ARE


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


# Chat


def test_nothing_that_is_said_in_a_room_administers(sqlite_judge: Judge, bob: Client) -> None:
    sqlite_judge.begin()
    owner = sqlite_judge.cast.people["admin"]
    room_id = owner.create_room_with(bob)
    acts = owner.get("/_columba/admin/v1/audit")["acts"]

    for opening in ("!admin", "\\!admin", "!columba", "/admin", f"@_server:{bob.server_name}:", "homeserver admin"):
        for speaker in (owner, bob):
            speaker.say(room_id, f"{opening} user make-admin {bob.user_id}")

    assert owner.get("/_columba/admin/v1/audit")["acts"] == acts
    bob.get("/_columba/admin/v1/audit", status=403, errcode="M_FORBIDDEN")


def test_who_takes_the_alias_of_a_room_has_no_power_in_it(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    alias = f"#{alice.user_id[1:].replace(':', '-taken:', 1)}"
    alice.put("directory", "room", alias, body={"room_id": room_id})
    other = bob.create_room(preset="public_chat")

    bob.put("directory", "room", alias, body={"room_id": other}, status=409)
    bob.delete("directory", "room", alias, status=403, errcode="M_FORBIDDEN")
    bob.put("rooms", room_id, "state", "m.room.canonical_alias", body={"alias": alias}, status=403)

    assert alice.get("directory", "room", alias)["room_id"] == room_id
    bob.put("rooms", room_id, "state", "m.room.power_levels", body={"users": {bob.user_id: 100}}, status=403)
