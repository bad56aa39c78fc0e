"""Asking spam checks, whatever they do."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.side_threads import SideThreads
from homeserver.services.errors import RefusedAsSpam
from homeserver.services.spam_checks import REST_S, Installed, Refusal, SpamCheck, SpamChecks, Told
from tests.fakes.reactor import StillReactor

ALICE, BOB = UserID("@alice:b"), UserID("@bob:b")
ROOM = RoomID("!room:b")


class Joins(SpamCheck):
    """Says what it is told to say of joins, and nothing else."""

    def __init__(self, told: Any) -> None:  # Any: whatever a check may do
        self.told = told
        self.asked: list[tuple[UserID, RoomID, bool]] = []

    def may_join(self, user_id: UserID, room_id: RoomID, *, is_invited: bool) -> Told:
        self.asked.append((user_id, room_id, is_invited))
        if isinstance(self.told, Exception):
            raise self.told
        told: Told = self.told
        return told


class Later(SpamCheck):
    """Says nothing before the test does, and does not let itself be cancelled."""

    def __init__(self) -> None:
        self.answer: Deferred[Refusal | None] = Deferred()

    async def may_join(self, user_id: UserID, room_id: RoomID, *, is_invited: bool) -> Refusal | None:
        while True:
            try:
                return await self.answer
            except CancelledError:
                self.answer = Deferred()


class Strange:
    """No SpamCheck at all, but it has one of the methods."""

    async def may_create_room(self, user_id: UserID) -> Refusal | None:
        return Refusal("no", "ORG.EXAMPLE_NO")


@pytest.fixture
def reactor() -> Iterator[StillReactor]:
    made = StillReactor()
    yield made
    made.close()


class Asking:
    """Checks, and a question to them."""

    def __init__(self, reactor: StillReactor, *checks: Any, fails_open: bool = True) -> None:
        self.reactor = reactor
        self.clock = ManualClock()
        installed = [Installed(f"check {number}", each, 5, fails_open) for number, each in enumerate(checks)]
        self.checks = SpamChecks(installed, self.clock, SideThreads(reactor.callFromThread, "side").run)
        self.told: list[Any] = []

    def ask(self, question: str = "may_join", *about: object, **more: object) -> None:
        if question == "may_join":
            about, more = (ALICE, ROOM), {"is_invited": True}
        Deferred.fromCoroutine(self.checks.ask(question, *about, **more)).addBoth(self.told.append)

    @property
    def answer(self) -> Any:
        """None if it may be, or else the failure's exception."""
        self.reactor.turn_until(lambda: bool(self.told))
        return self.told[0] if self.told[0] is None else self.told[0].value


def test_what_nobody_has_anything_against_may_be(reactor: StillReactor) -> None:
    check = Joins(None)
    asking = Asking(reactor, check)

    asking.ask()

    assert asking.answer is None
    assert check.asked == [(ALICE, ROOM, True)]
    assert asking.checks.counts == {("check 0", "allowed"): 1}


def test_the_first_to_refuse_is_heard_and_nobody_is_asked_after_it(reactor: StillReactor) -> None:
    last = Joins(Refusal("never asked"))
    asking = Asking(reactor, Joins(None), Joins(Refusal("Not this one", "M_OTHER")), last)

    asking.ask()

    assert isinstance(asking.answer, RefusedAsSpam)
    assert (asking.answer.reason, asking.answer.errcode) == ("Not this one", "M_OTHER")
    assert last.asked == []


def test_a_check_is_asked_only_what_it_has_an_answer_to(reactor: StillReactor) -> None:
    asking = Asking(reactor, Joins(None), Strange())

    assert asking.checks.has("may_join")
    assert asking.checks.has("may_create_room")
    assert not asking.checks.has("may_invite")
    asking.ask("may_create_room", ALICE)
    assert isinstance(asking.answer, RefusedAsSpam)
    assert asking.answer.errcode == "ORG.EXAMPLE_NO"


@pytest.mark.parametrize("told", [ValueError("broken"), KeyError(), True, "no", [], {"errcode": "M_FORBIDDEN"}])
@pytest.mark.parametrize("fails_open", [True, False])
def test_a_check_that_fails_means_what_its_setting_says(reactor: StillReactor, told: Any, *, fails_open: bool) -> None:
    asking = Asking(reactor, Joins(told), Joins(None), fails_open=fails_open)

    asking.ask()

    if fails_open:
        assert asking.answer is None
    else:
        assert isinstance(asking.answer, RefusedAsSpam)
        assert asking.answer.errcode == "M_UNKNOWN"
    assert asking.checks.counts["check 0", "failed"] == 1


@pytest.mark.parametrize("fails_open", [True, False])
def test_nobody_waits_for_a_check_for_ever(reactor: StillReactor, *, fails_open: bool) -> None:
    asking = Asking(reactor, Later(), fails_open=fails_open)

    asking.ask()
    asking.clock.advance(4.9)
    before = list(asking.told)
    asking.clock.advance(0.2)

    assert before == []
    assert (asking.answer is None) is fails_open


def test_a_check_that_took_too_long_is_left_alone_for_a_while(reactor: StillReactor) -> None:
    asking = Asking(reactor, Later())
    asking.ask()
    asking.clock.advance(5)

    for _ in range(3):
        asking.ask()
    meanwhile = list(asking.told)
    asking.clock.advance(REST_S)
    asking.ask()

    assert meanwhile == [None] * 4
    assert asking.told == meanwhile
    assert asking.checks.counts == {("check 0", "failed"): 4, ("check 0", "allowed"): 4}


def test_an_answer_that_comes_later_is_waited_for(reactor: StillReactor) -> None:
    check = Later()
    asking = Asking(reactor, check)

    asking.ask()
    check.answer.callback(Refusal("thought about it"))

    assert asking.answer.reason == "thought about it"
    assert asking.clock.pending == 0


def test_a_check_that_takes_other_parameters_has_failed(reactor: StillReactor) -> None:
    asking = Asking(reactor, Strange(), fails_open=False)

    asking.ask("may_create_room", ALICE, BOB)

    assert asking.answer.errcode == "M_UNKNOWN"
