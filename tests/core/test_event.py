"""Tests of the view of a checked PDU."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.core.event import is_create, view_event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import V1, V12

PDU: dict[str, Any] = {
    "type": "m.room.topic",
    "sender": "@a:example.org",
    "state_key": "",
    "content": {"topic": "t"},
    "depth": 1,
    "origin_server_ts": 2,
    "prev_events": ["$p"],
    "auth_events": ["$q", "$r"],
    "room_id": "!a",
}


def test_an_empty_state_key_makes_a_state_event() -> None:
    event = view_event(PDU, V12, event_id=EventID("$e"))

    assert event.is_state
    assert not replace(event, state_key=None).is_state


def test_the_room_id_is_given_or_carried_or_made_of_the_event_id() -> None:
    without = {key: value for key, value in PDU.items() if key != "room_id"}

    assert view_event(PDU, V12, event_id=EventID("$e"), room_id=RoomID("!given")).room_id == "!given"
    assert view_event(PDU, V12, event_id=EventID("$e")).room_id == "!a"
    assert view_event(without, V12, event_id=EventID("$e")).room_id == "!e"


def test_ids_are_read_out_of_the_pairs_of_early_versions() -> None:
    pdu = {**PDU, "prev_events": [["$p:b", {}]], "auth_events": [["$q:b", {}], ["$r:b", {}]]}

    event = view_event(pdu, V1, event_id=EventID("$e:b"))

    assert event.prev_event_ids == ("$p:b",)
    assert event.auth_event_ids == ("$q:b", "$r:b")
    assert view_event(PDU, V12, event_id=EventID("$e")).auth_event_ids == ("$q", "$r")


@pytest.mark.parametrize(
    ("event_type", "state_key", "creates"),
    [("m.room.create", "", True), ("m.room.create", None, False), ("m.room.create", "x", False), ("m.x", "", False)],
)
def test_the_create_event_has_an_empty_state_key(event_type: str, state_key: str | None, creates: bool) -> None:
    assert is_create(event_type, state_key) is creates
