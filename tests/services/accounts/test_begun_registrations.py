"""What is remembered of registrations that began: for a while, not of too many, and no password longer than needed."""

import pytest

from homeserver.core.identifiers import DeviceID
from homeserver.runtime.clock import ManualClock
from homeserver.services.accounts.begun_registrations import BegunRegistrations, RegistrationWish
from homeserver.services.accounts.interactive_auth import LIFETIME_MS, MOST_SESSIONS, Attempt
from homeserver.services.accounts.sessions import DeviceWish
from tests.services.world import ALICE

WISH = RegistrationWish("alice", "wonderland", DeviceWish())
NOTHING = RegistrationWish(None, None, DeviceWish())


def of(session: object) -> Attempt:
    return Attempt("POST /register", b"", {"session": session})


def test_what_was_wished_is_remembered_and_saying_nothing_does_not_change_it() -> None:
    begun = BegunRegistrations(ManualClock())
    begun.note("one", WISH)
    begun.note("one", NOTHING)

    found = begun.find(of("one"))

    assert found is not None
    assert found.wish == WISH
    assert [begun.find(of(other)) for other in ("other", None, 1, ["one"])] == [None] * 4
    assert begun.find(Attempt("POST /register", b"", None)) is None


def test_when_the_account_is_made_the_password_is_forgotten() -> None:
    begun = BegunRegistrations(ManualClock())
    begun.note("one", WISH)
    known = begun.find(of("one"))
    assert known is not None

    begun.note_made(known, ALICE, DeviceID("PHONE"))

    found = begun.find(of("one"))
    assert found is not None
    assert (found.wish, found.user_id, found.device_id) == (None, ALICE, "PHONE")


def test_all_is_forgotten_when_the_session_would_be() -> None:
    clock = ManualClock()
    begun = BegunRegistrations(clock)
    begun.note("one", WISH)

    clock.advance(LIFETIME_MS / 1000)

    assert begun.find(of("one")) is None
    begun.note("two", WISH)
    assert len(begun) == 1


def test_of_very_many_the_oldest_are_forgotten() -> None:
    begun = BegunRegistrations(ManualClock())

    for number in range(MOST_SESSIONS + 1):
        begun.note(str(number), WISH)

    assert len(begun) == MOST_SESSIONS
    assert begun.find(of("0")) is None
    assert begun.find(of("1")) is not None


@pytest.mark.parametrize(
    "wish",
    [
        RegistrationWish("a" * 513, "wonderland", None),
        RegistrationWish("alice", "wonderland", DeviceWish(display_name="a" * 513)),
    ],
)
def test_what_is_too_long_is_not_remembered(wish: RegistrationWish) -> None:
    begun = BegunRegistrations(ManualClock())

    begun.note("one", wish)

    found = begun.find(of("one"))
    assert found is not None
    assert found.wish is None
