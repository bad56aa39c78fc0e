"""Background work."""

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import ManualClock
from homeserver.runtime.loops import LONGEST_PAUSE_S, Loops


class Work:
    """Background work that notes when it ran, fails when told to, and may last until it is let go."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.began_s: list[float] = []
        self.ended = 0
        self.fails = False
        self.lasts: Deferred[None] | None = None

    async def __call__(self) -> None:
        self.began_s.append(self._clock.seconds())
        if self.fails:
            raise ValueError("the work is broken")
        if self.lasts is not None:
            await self.lasts
        self.ended += 1


def test_a_loop_runs_again_after_each_pause() -> None:
    clock = ManualClock()
    work = Work(clock)

    Loops(clock).start("work", work, 10)
    clock.advance(35)

    assert work.began_s == [10, 20, 30]


def test_the_first_run_may_come_sooner() -> None:
    clock = ManualClock()
    work = Work(clock)

    Loops(clock).start("work", work, 10, first_after_s=1)
    clock.advance(15)

    assert work.began_s == [1, 11]


def test_a_run_that_lasts_is_not_joined_by_a_second_one() -> None:
    clock = ManualClock()
    work = Work(clock)
    work.lasts = Deferred()

    Loops(clock).start("work", work, 10)
    clock.advance(100)
    while_running = list(work.began_s)
    work.lasts.callback(None)
    clock.advance(10)

    assert (while_running, work.began_s) == ([10], [10, 110])


def test_given_a_loop_that_fails_then_the_pauses_double_and_it_goes_on() -> None:
    clock = ManualClock()
    work = Work(clock)
    loops = Loops(clock)
    work.fails = True

    loops.start("work", work, 10)
    clock.advance(75)
    work.fails = False
    clock.advance(100)

    assert work.began_s == [10, 20, 40, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170]
    assert (loops.counts["work"].runs, loops.counts["work"].failures) == (13, 3)


def test_the_pause_after_failures_has_an_end() -> None:
    clock = ManualClock()
    work = Work(clock)
    work.fails = True

    Loops(clock).start("work", work, 1)
    clock.advance(20_000)

    assert work.began_s[-1] - work.began_s[-2] == LONGEST_PAUSE_S


def test_a_hurried_loop_runs_at_once_and_then_after_its_usual_pause() -> None:
    clock = ManualClock()
    work = Work(clock)
    loops = Loops(clock)
    loops.start("work", work, 10)
    clock.advance(3)

    loops.hurry("work")
    clock.advance(12)

    assert work.began_s == [3, 13]


def test_a_loop_that_is_hurried_while_it_runs_runs_once_more() -> None:
    clock = ManualClock()
    work = Work(clock)
    loops = Loops(clock)
    work.lasts = Deferred()
    loops.start("work", work, 10)
    clock.advance(10)

    loops.hurry("work")
    loops.hurry("work")
    work.lasts.callback(None)
    work.lasts = None
    clock.advance(15)

    assert work.began_s == [10, 10, 20]


def test_a_loop_that_is_hurried_and_fails_rests_nevertheless() -> None:
    clock = ManualClock()
    work = Work(clock)
    loops = Loops(clock)
    work.lasts = Deferred()
    loops.start("work", work, 10)
    clock.advance(10)

    loops.hurry("work")
    work.lasts.errback(RuntimeError("no disk"))
    work.lasts = None
    clock.advance(15)

    assert work.began_s == [10, 20]


def test_stop_waits_for_the_current_run_and_begins_no_other() -> None:
    clock = ManualClock()
    work, resting = Work(clock), Work(clock)
    loops = Loops(clock)
    work.lasts = Deferred()
    loops.start("work", work, 1)
    loops.start("resting", resting, 50)
    clock.advance(1)

    stopped = Deferred.fromCoroutine(loops.stop())
    before = stopped.called
    work.lasts.callback(None)

    assert (before, stopped.called, work.ended) == (False, True, 1)
    assert (resting.began_s, clock.pending) == ([], 0)


def test_stop_cancels_what_does_not_end_in_time() -> None:
    clock = ManualClock()
    work = Work(clock)
    loops = Loops(clock)
    work.lasts = Deferred()
    loops.run_once("work", work)

    stopped = Deferred.fromCoroutine(loops.stop(grace_s=5))
    clock.advance(5)

    assert stopped.called
    assert (work.ended, loops.counts["work"].failures) == (0, 0)


def test_work_that_is_run_once_and_fails_is_counted() -> None:
    clock = ManualClock()
    work = Work(clock)
    work.fails = True
    loops = Loops(clock)

    loops.run_once("work", work)

    assert loops.counts["work"].failures == 1
