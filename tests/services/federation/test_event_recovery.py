"""One very event is asked for from one server after the other, and nothing else is taken for it."""

import pytest

from homeserver.core.event import Event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID
from homeserver.core.redaction import redact
from homeserver.core.unpadded_base64 import encode_base64
from homeserver.services.federation.event_fetching import Budget
from homeserver.services.federation.event_recovery import EventRecovery, Recovered
from tests.forked_rooms import BOB, ONE, TWO
from tests.services.federation.filling import Filling
from tests.services.world import SERVER, World, now


class Recovering:
    """A room of others, one of whose events is lost here."""

    def __init__(self, world: World, version: str = "11") -> None:
        self.filling = Filling(world, version)
        self.filling.join()
        self.lost = self.filling.scene.say(BOB, "lost", after=[self.filling.scene.last])
        self.recovery = EventRecovery(world.database, self.filling.source, world.receipt, world.clock, SERVER)

    def recover(self, *hashes: str, event: Event | None = None, budget: Budget | None = None) -> Recovered:
        event_id: EventID = (event or self.lost).event_id
        asking = self.recovery.recover(
            self.filling.room_id, event_id, frozenset(hashes), budget or self.recovery.budget()
        )
        return now(asking)


@pytest.fixture
def recovering(world: World) -> Recovering:
    return Recovering(world)


def test_the_next_server_is_asked_where_one_has_it_not(recovering: Recovering) -> None:
    recovering.filling.holder(ONE).lacks.add(recovering.lost.event_id)

    came = recovering.recover()

    assert (came.server, came.is_whole, list(came.refusals)) == (TWO, True, [f"{ONE}: no such event"])
    assert recovering.filling.source.servers_asked("event") == [ONE, TWO]


def test_nobody_else_is_asked_once_somebody_gave_it(recovering: Recovering) -> None:
    assert recovering.recover().server == ONE
    assert recovering.filling.source.servers_asked("event") == [ONE]


def test_one_who_has_it_whole_is_looked_for_where_it_comes_redacted(recovering: Recovering) -> None:
    lost, filling = recovering.lost, recovering.filling
    filling.holder(ONE).lies["event"] = lambda _: redact(lost.pdu, lost.version)
    whole = recovering.recover()
    filling.holder(TWO).is_away = True
    redacted = recovering.recover()

    assert (whole.server, whole.is_whole) == (TWO, True)
    assert (redacted.server, redacted.is_whole, redacted.received is not None) == (ONE, False, True)


def test_nobody_is_asked_without_end(recovering: Recovering) -> None:
    clock = recovering.filling.world.clock

    came = recovering.recover(budget=Budget(clock, clock.seconds() + 10, requests=0))

    assert came.received is None
    assert [one.partition(": ")[2] for one in came.refusals] == ["there is no more time to ask it"] * 2
    assert recovering.filling.source.servers_asked("event") == []


def test_where_ids_are_no_hashes_it_must_have_the_hash_by_which_it_is_named(world: World) -> None:
    recovering = Recovering(world, "1")
    digest = encode_base64(reference_hash(recovering.lost.pdu, recovering.lost.version))

    other, named = recovering.recover("another"), recovering.recover("another", digest)

    assert other.received is None
    assert [one.partition(": ")[2] for one in other.refusals] == ["it answered an event with another hash"] * 2
    assert named.is_whole
    assert recovering.filling.source.servers_asked("event")[0] == TWO  # whose event it says to be
