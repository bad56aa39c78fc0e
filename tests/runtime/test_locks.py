"""Locks by key."""

from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.locks import KeyedLocks


class Visitor:
    """Takes a lock and holds it until it is told to leave."""

    def __init__(self, locks: KeyedLocks[str], key: str, order: list[str] | None = None, name: str = "") -> None:
        self.is_in = False
        self.leave: Deferred[None] = Deferred()
        self._order = [] if order is None else order
        self._name = name
        self.visit = Deferred.fromCoroutine(self._stay(locks, key))

    async def _stay(self, locks: KeyedLocks[str], key: str) -> None:
        async with locks(key):
            self.is_in = True
            self._order.append(self._name)
            await self.leave
        self.is_in = False


def test_one_at_a_time_holds_a_key_and_other_keys_are_free() -> None:
    locks: KeyedLocks[str] = KeyedLocks()

    first, second, elsewhere = Visitor(locks, "a"), Visitor(locks, "a"), Visitor(locks, "b")

    assert (first.is_in, second.is_in, elsewhere.is_in) == (True, False, True)


def test_a_released_key_goes_to_whoever_asked_first() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    order: list[str] = []
    visitors = [Visitor(locks, "a", order, str(number)) for number in range(4)]

    for visitor in visitors:
        visitor.leave.callback(None)

    assert order == ["0", "1", "2", "3"]


def test_nothing_is_kept_for_a_key_that_nobody_holds() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    visitors = [Visitor(locks, "a"), Visitor(locks, "a")]

    for visitor in visitors:
        visitor.leave.callback(None)

    assert len(locks) == 0
    assert not locks.is_held("a")


def test_a_waiter_that_is_cancelled_loses_its_turn_and_the_next_one_gets_it() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    holder, cancelled, last = Visitor(locks, "a"), Visitor(locks, "a"), Visitor(locks, "a")
    failures: list[type[BaseException] | None] = []
    cancelled.visit.addErrback(lambda failure: failures.append(failure.type))

    cancelled.visit.cancel()
    holder.leave.callback(None)

    assert failures == [CancelledError]
    assert (cancelled.is_in, last.is_in) == (False, True)


def test_a_holder_that_fails_or_is_cancelled_lets_the_key_go() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    failing, cancelled, last = Visitor(locks, "a"), Visitor(locks, "a"), Visitor(locks, "a")
    failing.visit.addErrback(lambda _: None)
    cancelled.visit.addErrback(lambda _: None)

    failing.leave.errback(ValueError("broken"))
    cancelled.visit.cancel()

    assert last.is_in


def test_ten_thousand_waiters_that_do_not_wait_inside_are_no_deep_stack() -> None:
    locks: KeyedLocks[str] = KeyedLocks()
    holder = Visitor(locks, "a")
    passed: list[int] = []

    async def pass_through(number: int) -> None:
        async with locks("a"):
            passed.append(number)

    for number in range(10_000):
        Deferred.fromCoroutine(pass_through(number))
    holder.leave.callback(None)

    assert passed == list(range(10_000))
    assert len(locks) == 0
