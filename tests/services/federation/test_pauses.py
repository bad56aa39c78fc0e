"""What failed rests, longer each time."""

from homeserver.runtime.clock import ManualClock
from homeserver.services.federation.pauses import FIRST_PAUSE_S, LONGEST_PAUSE_S, Pauses


def test_what_was_put_off_rests_and_longer_each_time() -> None:
    clock = ManualClock()
    pauses: Pauses[str] = Pauses(clock)
    rested_s: list[float] = []

    for _ in range(12):
        pauses.put_off("a")
        began_s = clock.seconds()
        while pauses.rests("a"):
            clock.advance(FIRST_PAUSE_S)
        rested_s.append(clock.seconds() - began_s)

    assert rested_s[:3] == [FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 16 * FIRST_PAUSE_S]
    assert rested_s[-1] == LONGEST_PAUSE_S


def test_what_went_well_is_forgotten_and_so_are_the_first_of_very_many() -> None:
    pauses: Pauses[int] = Pauses(ManualClock(), most_remembered=3)
    for number in range(5):
        pauses.put_off(number)

    pauses.forget(4)

    assert [number for number in range(5) if pauses.rests(number)] == [2, 3]
    assert len(pauses) == 2


def test_a_rest_that_is_cut_short_is_followed_by_a_longer_one() -> None:
    clock = ManualClock()
    pauses: Pauses[str] = Pauses(clock)
    pauses.put_off("a")

    pauses.cut_short("a")
    pauses.cut_short("b")

    assert not pauses.rests("a")
    assert not pauses.rests("b")
    pauses.put_off("a")
    clock.advance(FIRST_PAUSE_S)
    assert pauses.rests("a")
