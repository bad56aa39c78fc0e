"""The bell."""

from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import ManualClock
from homeserver.runtime.wakeups import WAITERS_PER_TURN, Bell


def waiting(bell: Bell, key: str, timeout_s: float = 30, answers: list[object] | None = None) -> Deferred[bool]:
    waiter = Deferred.fromCoroutine(bell.wait(key, timeout_s))
    if answers is not None:
        waiter.addBoth(answers.append)
    return waiter


def test_a_ring_wakes_those_who_wait_for_the_key_and_nobody_else() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    rung: list[object] = []
    other: list[object] = []
    waiting(bell, "@alice", answers=rung)
    waiting(bell, "@alice", answers=rung)
    waiting(bell, "@bob", answers=other)

    bell.ring(["@alice", "@carol"])
    clock.advance(0)

    assert (rung, other) == ([True, True], [])


def test_a_woken_reader_goes_on_after_the_ringer_and_not_inside_of_the_ring() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    rung: list[object] = []
    waiting(bell, "@alice", answers=rung)

    bell.ring(["@alice"])
    during = list(rung)
    clock.advance(0)

    assert (during, rung) == ([], [True])


def test_a_wait_without_a_ring_ends_at_its_timeout_with_false() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    answers: list[object] = []
    waiting(bell, "@alice", 30, answers)

    clock.advance(29.9)
    before = list(answers)
    clock.advance(0.1)

    assert (before, answers, len(bell)) == ([], [False], 0)


def test_a_wait_of_no_time_is_answered_at_once() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    answers: list[object] = []

    waiting(bell, "@alice", 0, answers)

    assert (answers, clock.pending) == ([False], 0)


def test_a_reader_that_waits_again_is_not_woken_by_the_same_ring() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    woken: list[int] = []

    async def follow() -> None:
        while await bell.wait("@alice", 30):
            woken.append(1)

    Deferred.fromCoroutine(follow())
    bell.ring(["@alice"])
    bell.ring(["@alice"])
    clock.advance(0)
    clock.advance(0)

    assert woken == [1]
    assert len(bell) == 1


def test_a_wait_that_ended_leaves_neither_waiter_nor_timer() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    failures: list[type[BaseException] | None] = []
    cancelled_waiting, cancelled_rung = waiting(bell, "@alice"), waiting(bell, "@bob")
    for waiter in (cancelled_waiting, cancelled_rung):
        waiter.addErrback(lambda failure: failures.append(failure.type))
    waiting(bell, "@carol")

    bell.ring(["@bob", "@carol"])
    cancelled_waiting.cancel()
    cancelled_rung.cancel()
    clock.advance(0)

    assert failures == [CancelledError, CancelledError]
    assert (len(bell), clock.pending) == (0, 0)


def test_a_reader_that_cancels_another_woken_reader_does_no_harm() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    first, second = waiting(bell, "@alice"), waiting(bell, "@alice")
    second.addErrback(lambda _: None)
    first.addCallback(lambda _: second.cancel())

    bell.ring(["@alice"])
    clock.advance(0)

    assert (len(bell), clock.pending) == (0, 0)


def test_many_woken_readers_go_on_over_several_turns() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    answers: list[object] = []
    turns: list[int] = []
    for _ in range(2 * WAITERS_PER_TURN + 1):
        waiting(bell, "#room", answers=answers)

    bell.ring(["#room"])
    clock.call_later(0, lambda: turns.append(len(answers)))
    clock.advance(0)

    assert turns == [WAITERS_PER_TURN]
    assert len(answers) == 2 * WAITERS_PER_TURN + 1


def test_a_reader_that_was_rung_before_its_timeout_hears_of_the_ring() -> None:
    clock = ManualClock()
    bell = Bell(clock)
    answers: list[object] = []
    clock.call_later(30, lambda: bell.ring(["@alice"]))
    waiting(bell, "@alice", 30, answers)

    clock.advance(30)

    assert answers == [True]
