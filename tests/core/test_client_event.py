"""Events as clients see them."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given

from homeserver.core.client_event import (
    client_event_body,
    federation_event_body,
    spliced,
    stripped_state_event,
    with_user_id,
)
from homeserver.core.event import Event, view_event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import V1, V5, V10, V11, V12, RoomVersion
from tests.strategies import versioned_pdus

BAD = "$" + "b" * 43
PDU: dict[str, Any] = {
    "type": "m.room.message",
    "sender": "@alice:x",
    "room_id": "!room:x",
    "content": {"body": "héllo"},
    "origin_server_ts": 1_632_489_532_305,
    "depth": 3,
    "prev_events": [],
    "auth_events": [],
    "hashes": {"sha256": "x"},
    "signatures": {"x": {"ed25519:a": "y"}},
    "unsigned": {"age": 4},
}


def event(version: RoomVersion = V12, **fields: object) -> Event:
    return view_event({**PDU, **fields}, version, event_id=EventID("$event"), room_id=RoomID("!room:x"))


def whole(body: bytes) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(spliced(body))
    return shown


def test_clients_see_the_fields_of_a_client_event() -> None:
    assert whole(client_event_body(event())) == {
        "type": "m.room.message",
        "sender": "@alice:x",
        "content": {"body": "héllo"},
        "event_id": "$event",
        "origin_server_ts": 1_632_489_532_305,
    }


@pytest.mark.parametrize("state_key", ["", "@alice:x"])
def test_a_state_event_has_its_state_key_even_if_it_is_empty(state_key: str) -> None:
    assert whole(client_event_body(event(state_key=state_key)))["state_key"] == state_key


def test_the_sender_is_known_by_an_older_name_too() -> None:
    shown = json.loads(with_user_id(spliced(client_event_body(event()), room_id="!room:x"), "@alice:x"))

    assert shown["user_id"] == shown["sender"] == "@alice:x"
    assert shown["room_id"] == "!room:x"


def test_what_differs_between_recipients_is_spliced_in() -> None:
    text = spliced(client_event_body(event()), room_id="!room:x", unsigned=orjson.dumps({"age": 7}))

    shown = json.loads(text)

    assert shown["room_id"] == "!room:x"
    assert shown["unsigned"] == {"age": 7}
    assert json.loads(orjson.dumps([orjson.Fragment(text)])) == [shown]


def test_clients_find_what_an_old_redaction_redacts_in_both_places() -> None:
    redaction = event(V10, type="m.room.redaction", redacts=BAD, content={"reason": "spam"})

    shown = whole(client_event_body(redaction))

    assert shown["redacts"] == BAD
    assert shown["content"] == {"reason": "spam", "redacts": BAD}
    assert redaction.content == {"reason": "spam"}


def test_clients_find_what_a_new_redaction_redacts_in_both_places() -> None:
    redaction = event(V11, type="m.room.redaction", content={"redacts": BAD}, redacts="$" + "f" * 43)

    shown = whole(client_event_body(redaction))

    assert shown["redacts"] == shown["content"]["redacts"] == BAD


def test_only_redactions_redact() -> None:
    shown = whole(client_event_body(event(V10, redacts=BAD)))

    assert "redacts" not in shown
    assert "redacts" not in shown["content"]


def test_a_redacted_redaction_redacts_nothing() -> None:
    shown = whole(client_event_body(event(V10, type="m.room.redaction", content={})))

    assert "redacts" not in shown
    assert shown["content"] == {}


def test_integers_of_old_rooms_pass_whatever_their_size() -> None:
    assert whole(client_event_body(event(V5, content={"number": 2**80})))["content"] == {"number": 2**80}


def test_the_federation_format_is_the_pdu_with_its_id() -> None:
    shown = json.loads(spliced(federation_event_body(event()), room_id="!room:x", unsigned=b'{"age":1}'))

    assert shown == {**PDU, "event_id": "$event", "unsigned": {"age": 1}}


def test_stripped_state_has_four_fields() -> None:
    member = event(type="m.room.member", state_key="@bob:x", content={"membership": "invite"})

    assert stripped_state_event(member) == {
        "type": "m.room.member",
        "sender": "@alice:x",
        "state_key": "@bob:x",
        "content": {"membership": "invite"},
    }


@given(versioned_pdus())
def test_any_event_can_be_shown(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned
    one = view_event(pdu, version, event_id=EventID("$event"), room_id=RoomID("!room:x"))

    shown = whole(client_event_body(one))

    assert {**one.content, **shown["content"]} == shown["content"]
    assert json.loads(spliced(federation_event_body(one), room_id="!room:x"))["event_id"] == "$event"
    assert "unsigned" not in shown
    assert "room_id" not in shown


def test_an_assigned_event_id_is_kept() -> None:
    pdu = {**PDU, "event_id": "$1:x"}

    one = view_event(pdu, V1, event_id=EventID("$1:x"), room_id=RoomID("!room:x"))

    assert whole(client_event_body(one))["event_id"] == "$1:x"
