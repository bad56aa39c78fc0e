"""Events of other servers that a spam check does not want."""

from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.core.event import Event
from homeserver.services.events.intake import Outcome
from homeserver.services.spam_checks import CheckedEvent, Installed, Refusal, SpamCheck
from homeserver.storage.database import Backend
from homeserver.storage.events import Verdict
from tests.poured_rooms import received
from tests.services.federation.receiving import ONE, Receiving
from tests.services.world import ALICE, World, now


class NoSpam(SpamCheck):
    """Wants nothing whose text is about spam."""

    def __init__(self) -> None:
        self.asked: list[CheckedEvent] = []

    async def may_receive_event(self, event: CheckedEvent) -> Refusal | None:
        self.asked.append(event)
        return Refusal() if "spam" in str(event.content) else None


@pytest.fixture
def check() -> NoSpam:
    return NoSpam()


@pytest.fixture
def receiving(backend: Backend, check: NoSpam) -> Iterator[Receiving]:
    """A world that looks at what comes."""
    world = World(backend, spam_checks=[Installed("no spam", check, 5, fails_open=True)])
    made = Receiving(world)
    made.start()
    yield made
    world.close()


def say(receiving: Receiving, text: str) -> Event:
    scene = receiving.scene
    scene.last = scene.say(scene.create.sender, text, after=[scene.last])
    return scene.last


def verdict(receiving: Receiving, event: Event) -> Any:
    stored = receiving.find(event)
    return None if stored is None else stored.verdict


def test_spam_is_soft_failed_and_the_room_goes_on(receiving: Receiving, check: NoSpam) -> None:
    before, spam, after = say(receiving, "hello"), say(receiving, "spam"), say(receiving, "and on")

    receiving.send_events(before, spam, after)

    wanted = [Verdict.ACCEPTED, Verdict.SOFT_FAILED, Verdict.ACCEPTED]
    assert [verdict(receiving, event) for event in (before, spam, after)] == wanted
    shown = check.asked[-1]
    assert (shown.room_id, shown.type, shown.sender) == (after.room_id, after.type, after.sender)
    assert (shown.event_id, shown.origin_server_ts) == (after.event_id, after.origin_server_ts)


def test_spam_that_had_to_wait_for_others_is_spam_all_the_same(receiving: Receiving) -> None:
    first, spam = say(receiving, "hello"), say(receiving, "spam")

    receiving.send_events(spam)
    waiting = receiving.find(spam)
    receiving.send_events(first)

    assert waiting is None
    assert [verdict(receiving, one) for one in (first, spam)] == [Verdict.ACCEPTED, Verdict.SOFT_FAILED]


def test_what_fills_a_gap_is_looked_at_as_well(receiving: Receiving) -> None:
    spam = say(receiving, "spam")

    outcomes = now(
        receiving.world.intake.take(
            receiving.room_id, receiving.scene.version, [received(spam)], received_from=ONE, is_found=True
        )
    )

    assert outcomes == {spam.event_id: Outcome.SOFT_FAILED}


def test_nobody_is_asked_about_what_this_servers_users_say(receiving: Receiving, check: NoSpam) -> None:
    room_id = receiving.world.create_room()
    asked = len(check.asked)

    now(receiving.world.sending.send_message(ALICE, room_id, "m.room.message", {"body": "spam"}, None))

    assert len(check.asked) == asked
