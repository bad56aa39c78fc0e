"""Knocks of users of other servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.event_format import parse_event
from homeserver.core.identifiers import RoomID
from homeserver.core.rate_limits import RateLimit
from homeserver.core.room_versions import room_version
from homeserver.services.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParameter,
    LimitExceeded,
    NotFound,
    UnableDueToPartialState,
)
from homeserver.services.rate_limits import Counted
from homeserver.services.rooms.creation import InitialState
from tests.services.federation.others import FAR, FAY
from tests.services.federation.serving import Serving, finished, read
from tests.services.world import ALICE, now

# Any: JSON.


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def doored(serving: Serving, rule: str = "knock", version: str = "11", **wishes: Any) -> RoomID:
    """A room upon which one may knock."""
    rules = InitialState("m.room.join_rules", "", {"join_rule": rule})
    return serving.world.create_room(ALICE, room_version=version, initial_state=[rules], name="Parlour", **wishes)


def make(serving: Serving, room_id: RoomID, version: str = "11") -> Any:
    return read(now(serving.knocks.make(FAR, room_id, FAY, [version])))


@pytest.mark.parametrize(("rule", "version"), [("knock", "7"), ("knock", "12"), ("knock_restricted", "10")])
def test_who_knocks_is_told_what_room_it_is(serving: Serving, rule: str, version: str) -> None:
    room_id = doored(serving, rule, version)
    encoded = finished(make(serving, room_id, version), FAY, "knock", {"reason": "It rains"})

    shown = read(now(serving.knocks.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu)))

    assert serving.member(room_id, FAY) == "knock"
    events = {event.type: event for event in (parse_event(pdu, room_version(version)) for pdu in shown)}
    assert all(event.room_id == room_id for event in events.values())
    assert events["m.room.create"].state_key == ""
    assert events["m.room.name"].content == {"name": "Parlour"}
    assert "m.room.member" not in events


def test_where_one_may_not_knock_there_is_no_template(serving: Serving) -> None:
    for room_id in (serving.room(), doored(serving, "invite")):
        with pytest.raises(AuthRejected):
            make(serving, room_id, "12" if room_id.startswith("!") and ":" not in room_id else "11")


def test_a_knock_upon_a_room_that_is_not_here_is_not_found(serving: Serving) -> None:
    with pytest.raises(NotFound):
        make(serving, RoomID("!nowhere:example.org"))


def test_a_knock_upon_a_room_whose_state_is_not_all_here_is_for_another_server(serving: Serving) -> None:
    room_id = doored(serving)
    encoded = finished(make(serving, room_id), FAY, "knock")

    serving.make_partial(room_id)

    with pytest.raises(UnableDueToPartialState):
        make(serving, room_id)
    with pytest.raises(UnableDueToPartialState):
        now(serving.knocks.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))
    assert serving.member(room_id, FAY) is None


def test_a_version_that_the_server_does_not_know_is_named(serving: Serving) -> None:
    with pytest.raises(IncompatibleRoomVersion):
        make(serving, doored(serving), "10")


def test_a_knock_by_a_server_that_is_shut_out_is_refused(serving: Serving) -> None:
    room_id = doored(serving)
    encoded = finished(make(serving, room_id), FAY, "knock")
    serving.shut_out(room_id, FAR)

    with pytest.raises(Forbidden):
        now(serving.knocks.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))
    assert serving.member(room_id, FAY) is None


def test_a_knock_that_the_room_no_longer_allows_is_refused(serving: Serving) -> None:
    room_id = doored(serving)
    encoded = finished(make(serving, room_id), FAY, "knock")
    serving.set_state(room_id, "m.room.join_rules", {"join_rule": "invite"})

    with pytest.raises(Forbidden):
        now(serving.knocks.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))
    assert serving.member(room_id, FAY) is None


def test_a_knock_is_no_leave(serving: Serving) -> None:
    room_id = doored(serving)
    encoded = finished(make(serving, room_id), FAY, "knock")

    with pytest.raises(InvalidParameter):
        now(serving.leaves.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))


def test_a_server_knocks_upon_a_room_so_often_and_then_waits(tmp_path: Path) -> None:
    serving = Serving(tmp_path, {Counted.JOINS_BY_SERVER: RateLimit(0.001, 1)})
    room_id, another = doored(serving), doored(serving)
    encoded = finished(make(serving, room_id), FAY, "knock")
    now(serving.knocks.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))

    with pytest.raises(LimitExceeded):
        make(serving, room_id)
    with pytest.raises(LimitExceeded):
        now(serving.knocks.send(FAR, room_id, encoded.event.event_id, encoded.event.pdu))

    make(serving, another)
    serving.world.clock.advance(1_000)
    make(serving, room_id)
    serving.close()
