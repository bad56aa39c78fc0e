"""Events in rooms with a policy server: signed by it, or soft-failed."""

from typing import Any

import pytest

from homeserver.core.event import Event
from homeserver.core.signing import SigningKey, sign_event
from homeserver.storage.events import Verdict
from tests.fakes.policy_source import KEY
from tests.forked_rooms import ALICE, BOB
from tests.services.federation.receiving import TWO, Receiving
from tests.services.world import World


class Guarded:
    """A room whose policy server is that of Bob, who may be in it."""

    def __init__(self, world: World, *, with_bob: bool = True) -> None:
        self.receiving = Receiving(world)
        self.receiving.start()
        self.scene = self.receiving.scene
        self.signers = self.receiving.signers
        if with_bob:
            self.receiving.let_bob_join()
        content = {"via": TWO, "public_keys": {"ed25519": KEY.verify_key.to_base64()}}
        self.policy = self.scene.last = self.scene.send(ALICE, "m.room.policy", content, after=[self.scene.last])
        self.receiving.send_events(self.policy)

    def verdict(self, event: Event) -> Verdict | None:
        """What was said of an event."""
        stored = self.receiving.find(event)
        return None if stored is None else stored.verdict

    def signatures(self, event: Event) -> dict[str, dict[str, str]]:
        """The signatures of an event as it is kept."""
        stored = self.receiving.find(event)
        assert stored is not None
        signatures: dict[str, dict[str, str]] = stored.event.pdu["signatures"]
        return signatures


@pytest.fixture
def guarded(world: World) -> Guarded:
    return Guarded(world)


def test_the_policy_itself_is_not_shown_to_the_server(guarded: Guarded) -> None:
    assert guarded.verdict(guarded.policy) is Verdict.ACCEPTED
    assert guarded.signers.asked == []


def test_an_event_without_the_signature_gets_it(guarded: Guarded) -> None:
    (event,) = guarded.receiving.chain(1)

    guarded.receiving.send_events(event)

    assert guarded.verdict(event) is Verdict.ACCEPTED
    assert guarded.signatures(event)[TWO].keys() == {"ed25519:policy_server"}
    assert len(guarded.signers.asked) == 1


def test_the_signature_that_the_server_made_as_the_sender_stays(guarded: Guarded) -> None:
    event = guarded.scene.say(BOB, after=[guarded.scene.last])

    guarded.receiving.send_events(event, origin=TWO)

    assert guarded.verdict(event) is Verdict.ACCEPTED
    assert guarded.signatures(event)[TWO].keys() == {"ed25519:policy_server", "ed25519:test"}


def test_an_event_with_the_signature_is_not_shown_again(guarded: Guarded) -> None:
    (event,) = guarded.receiving.chain(1)

    guarded.receiving.send([sign_event(event.pdu, event.version, TWO, KEY)])
    guarded.receiving.settle()

    assert guarded.verdict(event) is Verdict.ACCEPTED
    assert guarded.signers.asked == []


@pytest.mark.parametrize("how", ["refuses", "is away", "says nothing", "says nonsense", "has another key"])
def test_what_the_server_does_not_sign_is_soft_failed(guarded: Guarded, how: str) -> None:
    guarded.signers.refuses = how == "refuses"
    guarded.signers.is_away = how == "is away"
    answers: dict[str, dict[str, Any]] = {
        "says nothing": {},
        "says nonsense": {TWO: {"ed25519:policy_server": "A" * 86}},
    }
    guarded.signers.answer = answers.get(how)
    if how == "has another key":
        guarded.signers.key = SigningKey("policy_server", bytes([6]) * 32)
    (event,) = guarded.receiving.chain(1)

    guarded.receiving.send_events(event)

    assert guarded.verdict(event) is Verdict.SOFT_FAILED


def test_a_server_that_is_away_is_asked_once_for_many_events(guarded: Guarded) -> None:
    guarded.signers.is_away = True
    events = guarded.receiving.chain(20)

    guarded.receiving.send_events(*events)

    assert len(guarded.signers.asked) == 1
    assert {guarded.verdict(event) for event in events} == {Verdict.SOFT_FAILED}


def test_a_server_that_is_not_in_the_room_has_no_say(world: World) -> None:
    guarded = Guarded(world, with_bob=False)
    (event,) = guarded.receiving.chain(1)

    guarded.receiving.send_events(event)

    assert guarded.verdict(event) is Verdict.ACCEPTED
    assert guarded.signers.asked == []


def test_an_event_that_waited_needs_the_signature_no_less(guarded: Guarded) -> None:
    first, second = guarded.receiving.chain(2)
    guarded.signers.refuses = True

    guarded.receiving.send_events(second)
    guarded.receiving.send_events(first)

    assert guarded.verdict(first) is Verdict.SOFT_FAILED
    assert guarded.verdict(second) is Verdict.SOFT_FAILED


def test_a_room_that_takes_its_policy_back_needs_no_signatures(guarded: Guarded) -> None:
    scene = guarded.scene
    scene.last = scene.send(ALICE, "m.room.policy", {}, after=[scene.last])
    guarded.receiving.send_events(scene.last)
    (event,) = guarded.receiving.chain(1)

    guarded.receiving.send_events(event)

    assert guarded.verdict(event) is Verdict.ACCEPTED
    assert guarded.signers.asked == []
