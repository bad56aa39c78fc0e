"""Server-side key backups over HTTP."""

from typing import Any

import pytest

from tests.api.client import Client

MEGOLM = "m.megolm_backup.v1.curve25519-aes-sha2"
ONE, TWO = "!one:example.org", "!two:example.org"


def create(client: Client, public_key: str = "abc") -> str:
    body = {"algorithm": MEGOLM, "auth_data": {"public_key": public_key}}
    version: str = client.post("room_keys", "version", body=body)["version"]
    return version


def key(text: str = "data", **more: Any) -> Any:
    parts = {"ephemeral": "e", "ciphertext": text, "mac": "m"}
    return {"first_message_index": 5, "forwarded_count": 5, "is_verified": False, "session_data": parts, **more}


@pytest.fixture
def version(alice: Client) -> str:
    return create(alice)


def test_without_a_backup_there_is_none(alice: Client) -> None:
    alice.get("room_keys", "version", status=404, errcode="M_NOT_FOUND")
    alice.get("room_keys", "version", "1", status=404, errcode="M_NOT_FOUND")
    alice.delete("room_keys", "version", "1", status=404, errcode="M_NOT_FOUND")
    alice.get("room_keys", "keys", query={"version": "1"}, status=404, errcode="M_NOT_FOUND")


def test_a_version_is_made_changed_and_deleted(alice: Client, version: str) -> None:
    made = alice.get("room_keys", "version")
    changed = {"algorithm": MEGOLM, "auth_data": {"public_key": "new"}, "version": version}
    alice.put("room_keys", "version", version, body=changed)
    current = alice.get("room_keys", "version", version)
    alice.delete("room_keys", "version", version)
    alice.delete("room_keys", "version", version)

    assert made["version"] == version
    assert made["count"] == 0
    assert made["auth_data"] == {"public_key": "abc"}
    assert current["auth_data"] == {"public_key": "new"}
    alice.get("room_keys", "version", status=404, errcode="M_NOT_FOUND")
    assert create(alice) != version


def test_a_version_keeps_its_algorithm(alice: Client, version: str) -> None:
    other = {"algorithm": "org.example.other", "auth_data": {}}

    alice.put("room_keys", "version", version, body=other, status=400, errcode="M_INVALID_PARAM")

    wrong = {"algorithm": MEGOLM, "auth_data": {"public_key": "x"}, "version": "77"}
    alice.put("room_keys", "version", version, body=wrong, status=400, errcode="M_INVALID_PARAM")


def test_keys_are_added_in_three_ways_and_read_in_three_ways(alice: Client, version: str) -> None:
    asked = {"version": version}
    states = [
        alice.put("room_keys", "keys", query=asked, body={"rooms": {ONE: {"sessions": {"a": key("1")}}}}),
        alice.put("room_keys", "keys", ONE, query=asked, body={"sessions": {"b": key("2")}}),
        alice.put("room_keys", "keys", TWO, "a/b+c", query=asked, body=key("3")),
    ]

    assert [state["count"] for state in states] == [1, 2, 3]
    assert len({state["etag"] for state in states}) == 3
    assert alice.get("room_keys", "keys", query=asked) == {
        "rooms": {ONE: {"sessions": {"a": key("1"), "b": key("2")}}, TWO: {"sessions": {"a/b+c": key("3")}}}
    }
    assert alice.get("room_keys", "keys", ONE, query=asked) == {"sessions": {"a": key("1"), "b": key("2")}}
    assert alice.get("room_keys", "keys", TWO, "a/b+c", query=asked) == key("3")
    backup = alice.get("room_keys", "version")
    assert (backup["count"], backup["etag"]) == (3, states[-1]["etag"])


def test_what_is_not_there_is_empty_for_a_room_and_not_found_for_a_session(alice: Client, version: str) -> None:
    asked = {"version": version}

    assert alice.get("room_keys", "keys", query=asked) == {"rooms": {}}
    assert alice.get("room_keys", "keys", ONE, query=asked) == {"sessions": {}}
    alice.get("room_keys", "keys", ONE, "a", query=asked, status=404, errcode="M_NOT_FOUND")


def test_the_better_key_is_kept(alice: Client, version: str) -> None:
    asked = {"version": version}
    alice.put("room_keys", "keys", ONE, "a", query=asked, body=key("first"))

    alice.put("room_keys", "keys", ONE, "a", query=asked, body=key("worse", first_message_index=6))
    kept = alice.get("room_keys", "keys", ONE, "a", query=asked)
    alice.put("room_keys", "keys", ONE, "a", query=asked, body=key("better", is_verified=True, first_message_index=6))

    assert kept == key("first")
    better = alice.get("room_keys", "keys", ONE, "a", query=asked)
    assert better == key("better", is_verified=True, first_message_index=6)


def test_an_old_version_takes_no_keys_and_says_which_is_current(alice: Client, version: str) -> None:
    current = create(alice)

    refused = alice.put(
        "room_keys",
        "keys",
        ONE,
        "a",
        query={"version": version},
        body=key(),
        status=403,
        errcode="M_WRONG_ROOM_KEYS_VERSION",
    )

    assert refused["current_version"] == current
    alice.put("room_keys", "keys", ONE, "a", query={"version": "77"}, body=key(), status=404, errcode="M_NOT_FOUND")


def test_keys_are_deleted_by_session_room_and_version(alice: Client, version: str) -> None:
    asked = {"version": version}
    rooms = {room: {"sessions": {"a": key(), "b": key()}} for room in (ONE, TWO)}
    alice.put("room_keys", "keys", query=asked, body={"rooms": rooms})

    states = [
        alice.delete("room_keys", "keys", ONE, "a", query=asked),
        alice.delete("room_keys", "keys", TWO, query=asked),
        alice.delete("room_keys", "keys", query=asked),
    ]

    assert [state["count"] for state in states] == [3, 1, 0]
    assert len({state["etag"] for state in states}) == 3
    alice.delete("room_keys", "keys", query={"version": "77"}, status=404, errcode="M_NOT_FOUND")


def test_a_backup_is_its_owners_alone(alice: Client, bob: Client, version: str) -> None:
    alice.put("room_keys", "keys", ONE, "a", query={"version": version}, body=key())

    bob.get("room_keys", "version", version, status=404)
    bob.get("room_keys", "keys", query={"version": version}, status=404)
    bob.delete("room_keys", "version", version, status=404)

    assert alice.get("room_keys", "version")["count"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_message_index": "5"},
        {"first_message_index": -1},
        {"first_message_index": 1.5},
        {"first_message_index": 2**60},
        {"forwarded_count": None},
        {"is_verified": 1},
        {"session_data": "data"},
        {"session_data": {"x": 0.5}},
    ],
)
def test_a_key_of_another_shape_is_refused(alice: Client, version: str, wrong: Any) -> None:
    asked = {"version": version}

    alice.put("room_keys", "keys", ONE, "a", query=asked, body=key(**wrong), status=400, errcode="M_BAD_JSON")
    bodies = [{"rooms": {"nonsense": {"sessions": {"a": key()}}}}, {"rooms": []}, {}, {"rooms": {ONE: {}}}]
    for body in bodies:
        alice.put("room_keys", "keys", query=asked, body=body, status=400)

    assert alice.get("room_keys", "keys", query=asked) == {"rooms": {}}


def test_the_version_must_be_said(alice: Client, version: str) -> None:
    alice.get("room_keys", "keys", status=400, errcode="M_MISSING_PARAM")
    alice.put("room_keys", "keys", ONE, "a", body=key(), status=400, errcode="M_MISSING_PARAM")
