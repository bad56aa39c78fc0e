"""Events of other servers: judged in the order in which they came, whatever happens in between."""

from typing import Any

import pytest

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.runtime.metrics import Metrics
from homeserver.services.federation.receiver import LONGEST_REST_S, MOST_TRIES
from homeserver.storage.database import DatabaseUnavailable, Transaction
from homeserver.storage.events import Verdict
from homeserver.storage.inbound_transactions import NewPDU
from homeserver.storage.rooms import find_head
from tests.forked_rooms import BOB, MALLORY
from tests.services.federation.receiving import ONE, TWO, Receiving
from tests.services.world import World


@pytest.fixture
def receiving(world: World) -> Receiving:
    """It judges."""
    made = Receiving(world)
    made.start()
    return made


@pytest.mark.parametrize("version", ["1", "3", "6", "12"])
def test_events_join_the_room(world: World, version: str) -> None:
    receiving = Receiving(world, ROOM_VERSIONS[version])
    receiving.start()
    events = receiving.chain(3)

    receiving.send_events(*events)

    head = world.sync_database.read(find_head, receiving.room_id)
    assert head is not None
    assert head.heads == (events[-1].event_id,)
    assert receiving.receiver.outcomes == {"accepted": 3}
    assert receiving.receiver.waiting == 0


def test_many_events_of_several_servers_are_judged_in_the_order_in_which_they_came(world: World) -> None:
    receiving = Receiving(world)
    events = receiving.chain(120)
    for start in range(0, 120, 20):
        receiving.send([event.pdu for event in events[start : start + 20]], origin=(ONE, TWO)[start // 20 % 2])

    receiving.start()

    assert receiving.receiver.outcomes == {"accepted": 120}
    assert receiving.gaps == []


def test_events_that_come_before_their_ancestors_wait_and_somebody_is_told(receiving: Receiving) -> None:
    first, second, third = receiving.chain(3)

    receiving.send_events(third)
    assert receiving.gaps == [receiving.room_id]
    receiving.send_events(second)
    assert receiving.kept(first, second, third) == set()
    receiving.send_events(first)

    assert receiving.kept(first, second, third) == {first.event_id, second.event_id, third.event_id}


def test_what_came_before_the_process_ended_is_judged_by_the_next_one(world: World) -> None:
    before = Receiving(world)
    events = before.chain(3)
    before.send([event.pdu for event in events])

    after = Receiving(world, scene=before.scene)
    assert after.kept(*events) == set()
    after.start()

    assert after.kept(*events) == {event.event_id for event in events}
    assert after.receiver.waiting == 0


def test_what_was_judged_but_not_forgotten_yet_is_judged_again_with_no_harm(receiving: Receiving) -> None:
    events = receiving.chain(2)
    receiving.send_events(*events)
    position = receiving.world.sync_database.position

    again = [NewPDU(receiving.room_id, encode_lenient(event.pdu)) for event in events]
    receiving.world.sync_database.write(receiving.receiver.stage, ONE, again, 1)
    receiving.settle()

    assert receiving.world.sync_database.position == position
    assert receiving.receiver.outcomes == {"accepted": 4}


def test_an_event_that_its_server_has_not_signed_is_dropped(receiving: Receiving) -> None:
    (event,) = receiving.chain(1)
    signatures = {ONE: {"ed25519:test": "A" * 86}}

    receiving.send([{**event.pdu, "signatures": signatures}])
    receiving.settle()

    assert receiving.kept(event) == set()
    assert receiving.receiver.outcomes == {"refused": 1}
    assert receiving.receiver.waiting == 0


@pytest.mark.parametrize("number", [21, 1_000])
def test_an_event_after_too_many_others_is_dropped(receiving: Receiving, number: int) -> None:
    (event,) = receiving.chain(1)
    prev_events = [f"${one:043}" for one in range(number)]

    receiving.send([{**event.pdu, "prev_events": prev_events}])
    receiving.settle()

    assert receiving.receiver.outcomes == {"refused": 1}
    assert receiving.gaps == []


def test_an_event_that_the_rules_refuse_is_kept_as_rejected(receiving: Receiving) -> None:
    event = receiving.scene.say(MALLORY, after=[receiving.scene.last])

    receiving.send_events(event)

    stored = receiving.find(event)
    assert stored is not None
    assert stored.verdict is Verdict.REJECTED


def test_an_event_of_a_third_server_is_taken_from_whoever_brings_it(receiving: Receiving) -> None:
    join = receiving.scene.member(BOB, "join", after=[receiving.scene.last])

    receiving.send_events(join, origin=ONE)

    assert receiving.kept(join) == {join.event_id}


class Failing:
    """An intake that fails at one event."""

    def __init__(self, receiving: Receiving, body: str) -> None:
        self.body = body
        self.taking = receiving.world.intake.take
        self.failures = 0

    async def take(self, room_id: Any, version: Any, received: Any, **named: Any) -> Any:
        if any(one.encoded.event.content["body"] == self.body for one in received):
            self.failures += 1
            raise ZeroDivisionError
        return await self.taking(room_id, version, received, **named)


def test_an_event_at_which_this_server_fails_ends_no_room(receiving: Receiving) -> None:
    failing = Failing(receiving, "1")
    receiving.receiver._intake = failing  # type: ignore[assignment]
    events = receiving.chain(4)

    receiving.send_events(*events)
    for _ in range(2 * MOST_TRIES):
        receiving.world.clock.advance(LONGEST_REST_S)

    assert failing.failures == 1 + MOST_TRIES  # once together with those around it
    assert receiving.receiver.outcomes == {"accepted": 1, "given up": 1, "waiting": 2}
    assert receiving.receiver.waiting == 0


def test_another_room_goes_on_while_one_fails(receiving: Receiving) -> None:
    other = Receiving(receiving.world, ROOM_VERSIONS["12"])
    failing = Failing(receiving, "0")
    receiving.receiver._intake = failing  # type: ignore[assignment]
    (bad,) = receiving.chain(1)
    _, good = other.chain(2)

    receiving.send_events(bad)
    receiving.send_events(good)

    assert failing.failures == 1
    assert receiving.receiver.outcomes == {"waiting": 1}
    assert receiving.receiver.waiting == 1


class Gone:
    """A database that is away for a while, as the receiver sees it."""

    def __init__(self, receiving: Receiving) -> None:
        self.database = receiving.world.database
        self.is_away = True

    async def read(self, *arguments: Any, **named: Any) -> Any:
        if self.is_away:
            raise DatabaseUnavailable
        return await self.database.read(*arguments, **named)

    async def write(self, *arguments: Any, **named: Any) -> Any:
        return await self.database.write(*arguments, **named)


def test_no_event_is_given_up_while_the_database_is_away(receiving: Receiving) -> None:
    events = receiving.chain(2)
    gone = Gone(receiving)
    receiving.receiver._database = gone  # type: ignore[assignment]

    receiving.send_events(*events)
    for _ in range(2 * MOST_TRIES):
        receiving.world.clock.advance(LONGEST_REST_S)
    assert receiving.receiver.outcomes == {}
    gone.is_away = False
    receiving.world.clock.advance(LONGEST_REST_S)

    assert receiving.receiver.outcomes == {"accepted": 2}


def test_events_of_a_room_that_went_meanwhile_are_dropped(world: World) -> None:
    receiving = Receiving(world)
    (event,) = receiving.chain(1)
    receiving.send([event.pdu])

    def purge(tx: Transaction) -> None:
        tx.run("DELETE FROM rooms")

    world.sync_database.write(purge)
    receiving.start()

    assert receiving.receiver.outcomes == {"dropped": 1}
    assert receiving.receiver.waiting == 0


def test_what_waits_and_for_how_long_is_shown(world: World) -> None:
    receiving = Receiving(world)
    metrics = Metrics()
    receiving.receiver.export(metrics)
    (event,) = receiving.chain(1)
    receiving.send([event.pdu])
    world.clock.advance(7)

    shown = metrics.render().decode()
    assert "columba_federation_staged 1.0" in shown
    assert "columba_federation_receive_lag_seconds 7.0" in shown
    receiving.start()

    shown = metrics.render().decode()
    assert "columba_federation_staged 0.0" in shown
    assert 'columba_federation_received_total{outcome="accepted"} 1.0' in shown
