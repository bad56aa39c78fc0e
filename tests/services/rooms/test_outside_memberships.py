"""What another server gives of a room to show to somebody who is not in it."""

from typing import Any

import pytest

from homeserver.services.rooms.outside_memberships import MOST_STRIPPED, stripped_of

NAME = {"type": "m.room.name", "state_key": "", "sender": "@a:one.example", "content": {"name": "Room"}}


def test_of_whole_events_that_is_shown_which_stripped_ones_have() -> None:
    whole = {**NAME, "room_id": "!r", "hashes": {}, "signatures": {}, "origin_server_ts": 1, "prev_events": []}

    assert stripped_of([whole, NAME]) == [NAME, NAME]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        "x",
        [None, 1, "x", [], {}],
        [{**NAME, "type": 1}],
        [{**NAME, "state_key": None}],
        [{**NAME, "content": []}],
        [{**NAME, "type": "x" * 300}],
        [{**NAME, "content": {"number": 10**30}}],
        [{**NAME, "content": {"text": "x" * 300_000}}],
    ],
)
def test_what_is_no_event_is_left_out(odd: Any) -> None:
    assert stripped_of(odd) == []


def test_there_are_limits_to_what_is_shown() -> None:
    large = {**NAME, "content": {"text": "x" * 60_000}}

    assert len(stripped_of([NAME] * 1_000)) == MOST_STRIPPED
    assert len(stripped_of([large] * MOST_STRIPPED)) == 4
