"""Tests of pouring: whatever the order of the lines, each room's events are taken in ancestors first."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Any, TypeVar

import pytest

from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.event_format import parse_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.key_validity import PublishedKey
from homeserver.core.room_versions import V1, V11, V12, RoomVersion
from homeserver.core.signing import SigningKey
from homeserver.services.events.keyring import GivenKeys
from homeserver.services.events.pouring import PouringReport, pour
from homeserver.services.events.receipt import Receipt, Received
from homeserver.storage.events import Form
from tests.core.rooms import every_version
from tests.services.world import now

# PDUs are JSON objects, so their values are `Any`.

T = TypeVar("T")

ONE = ServerName("one.example")
ALICE = UserID(f"@alice:{ONE}")
KEY = SigningKey("a", b"\x01" * 32)
TIME_MS = 1_700_000_000_000


class Outcome(Enum):
    """What the intake of these tests says."""

    TAKEN = "taken"
    WAITING = "waiting"


class Taken:
    """An intake that takes each event whose ancestors it has, and notes the batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[RoomID, RoomVersion, list[Received]]] = []
        self._event_ids: set[EventID] = set()

    async def take(
        self, room_id: RoomID, version: RoomVersion, received: Sequence[Received], *, received_from: ServerName | None
    ) -> Mapping[EventID, Enum]:
        """Take the events."""
        assert received_from is None
        self.batches.append((room_id, version, list(received)))
        outcomes = {}
        for one in received:
            event = one.encoded.event
            lacks = {*event.prev_event_ids, *event.auth_event_ids} - self._event_ids
            outcomes[event.event_id] = Outcome.WAITING if lacks else Outcome.TAKEN
            if not lacks:
                self._event_ids.add(event.event_id)
        return outcomes


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """What a thread would do."""
    return function(*arguments)


async def no_room_is_known(room_id: RoomID) -> RoomVersion | None:
    """What a new server knows."""
    return None


RECEIPT = Receipt(GivenKeys({ONE: [PublishedKey(KEY.verify_key, TIME_MS)]}), in_thread)


def room(version: RoomVersion, length: int, name: str = "room") -> list[dict[str, Any]]:
    """A room's create event and a chain of messages, as PDUs."""
    room_id = None if version.room_id_is_create_hash else RoomID(f"!{name}:{ONE}")
    pdus: list[dict[str, Any]] = []
    previous: tuple[tuple[EventID, bytes], ...] = ()
    for number in range(length):
        template = EventTemplate(
            room_id=room_id,
            type="m.room.message" if number else "m.room.create",
            sender=ALICE,
            content={"n": name} if number else {"room_version": version.name, "creator": ALICE, "n": name},
            state_key=None if number else "",
            prev_events=previous,
            auth_events=(),
            depth=1,  # says nothing about the order
            origin_server_ts=TIME_MS,
        )
        assigned = None if version.event_ids_are_hashes else EventID(f"${number}-{name}:{ONE}")
        event = build_event(template, version, ONE, KEY, assigned).event
        room_id = event.room_id
        previous = ((event.event_id, b""),)
        pdus.append(dict(event.pdu))
    return pdus


def poured(taken: Taken, pdus: Sequence[object], **options: Any) -> PouringReport:
    """The report on pouring these PDUs."""
    lines = [json.dumps(pdu).encode() + b"\n" for pdu in pdus]
    return now(pour(taken, RECEIPT, options.pop("find_version", no_room_is_known), lines, **options))


@every_version
def test_events_in_any_order_are_taken_ancestors_first(version: RoomVersion) -> None:
    pdus = room(version, 12)
    Random(version.name).shuffle(pdus)
    taken = Taken()

    report = poured(taken, pdus, batch=5)

    assert report == PouringReport(0, 0, {}, {Outcome.TAKEN: 12})
    assert [len(received) for _, _, received in taken.batches] == [5, 5, 2]


def test_the_events_of_several_rooms_go_each_to_its_own() -> None:
    rooms = {version: room(version, 3, f"r{version.name}") for version in (V1, V11, V12)}
    pdus = [pdu for each in zip(*rooms.values(), strict=True) for pdu in reversed(each)]
    taken = Taken()

    report = poured(taken, pdus)

    assert report.outcomes == {Outcome.TAKEN: 9}
    assert {(room_id, version) for room_id, version, _ in taken.batches} == {
        (parse_event(each[0], version).room_id, version) for version, each in rooms.items()
    }


def test_the_version_of_a_known_room_is_not_that_of_some_line() -> None:
    pdus = room(V11, 3)

    async def all_rooms_are_of_v11(room_id: RoomID) -> RoomVersion | None:
        return V11

    taken = Taken()
    poured(taken, [pdus[0] | {"content": {"room_version": "10"}}, *pdus], find_version=all_rooms_are_of_v11)

    assert [version for _, version, _ in taken.batches] == [V11]


@pytest.mark.parametrize("room_version", ["1", "10", "no such version", None])
def test_a_forged_create_event_does_not_choose_the_version(room_version: object) -> None:
    pdus = room(V11, 3)
    taken = Taken()

    poured(taken, [pdus[0] | {"content": {"room_version": room_version}}, *pdus])

    assert [version for _, version, _ in taken.batches] == [V11]


def test_events_of_a_room_without_a_version_are_counted() -> None:
    taken = Taken()

    report = poured(taken, room(V11, 4)[1:])

    assert report == PouringReport(0, 3, {}, {})
    assert not taken.batches


def test_an_event_that_stands_twice_is_taken_once_and_in_full() -> None:
    pdus = room(V11, 3)
    taken = Taken()

    report = poured(taken, [pdus[0], pdus[1] | {"content": {}}, pdus[1], pdus[1] | {"content": {}}, pdus[2]])

    assert report.outcomes == {Outcome.TAKEN: 3}
    assert all(one.form is Form.FULL for _, _, received in taken.batches for one in received)


def test_events_on_a_circle_come_last() -> None:
    create, first, *_ = room(V1, 2)
    ids = [EventID(f"${name}:{ONE}") for name in "xy"]
    circle = [
        dict(
            build_event(
                EventTemplate(
                    room_id=RoomID(create["room_id"]),
                    type="m.room.message",
                    sender=ALICE,
                    content={},
                    prev_events=((other, b""),),
                    auth_events=(),
                    depth=0,
                    origin_server_ts=TIME_MS,
                ),
                V1,
                ONE,
                KEY,
                own,
            ).event.pdu
        )
        for own, other in (ids, ids[::-1])
    ]
    taken = Taken()

    report = poured(taken, [*circle, first, create])

    assert report.outcomes == {Outcome.TAKEN: 2, Outcome.WAITING: 2}
    assert [one.encoded.event.event_id for one in taken.batches[0][2]][2:] == ids


def test_what_is_no_event_is_counted_and_hinders_nothing() -> None:
    pdus = room(V12, 2)
    lines = [b"", b" \n", b"{", b"[]", b"\xff", b'{"room_id": 1}', b'{"room_id": "room"}', b'{"n": NaN}']
    taken = Taken()

    report = now(pour(taken, RECEIPT, no_room_is_known, [*lines, *(json.dumps(pdu).encode() for pdu in pdus)]))

    assert report == PouringReport(6, 0, {}, {Outcome.TAKEN: 2})


def test_refused_events_are_counted_by_reason() -> None:
    pdus = room(V11, 3)
    taken = Taken()

    report = poured(taken, [*pdus, pdus[1] | {"depth": 9}, pdus[1] | {"signatures": {}}, pdus[2] | {"signatures": {}}])

    assert report.outcomes == {Outcome.TAKEN: 3}
    assert report.refused == {
        f"the signature of {ONE} by {KEY.key_id} is wrong": 1,
        f"{ONE} has not signed the event": 2,
    }
