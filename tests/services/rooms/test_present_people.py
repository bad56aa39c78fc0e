"""Who is present, by what their devices do and say."""

import pytest

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.presence import PresenceWord
from homeserver.runtime.clock import ManualClock
from homeserver.services.rooms.present_people import ACTIVE_S, GONE_AFTER_S, IDLE_AFTER_S, PresentPeople
from tests.services.world import ALICE, BOB, PHONE

LAPTOP = DeviceID("LAPTOP")


class People:
    """Those of a test, and who changed."""

    def __init__(self, most_people: int = 100) -> None:
        self.clock = ManualClock()
        self.changed: list[UserID] = []
        self.known = PresentPeople(self.clock, self.changed.append, most_people)

    def polls(
        self, user_id: UserID, presence: PresenceWord | None = None, device_id: DeviceID = PHONE, for_s: float = 0
    ) -> None:
        """Poll once, for so long."""
        if self.known.begin_poll(user_id, device_id, presence):
            self.clock.advance(for_s)
            self.known.end_poll(user_id, device_id)

    def presence(self, user_id: UserID = ALICE) -> str:
        found = self.known.find(user_id)
        return "offline" if found is None else found.presence

    def is_active(self, user_id: UserID = ALICE) -> bool:
        found = self.known.find(user_id)
        return found is not None and found.currently_active


@pytest.fixture
def people() -> People:
    return People()


def test_who_polls_is_online_until_a_while_after_the_last_poll(people: People) -> None:
    people.polls(ALICE, for_s=20)
    people.clock.advance(GONE_AFTER_S - 1)
    before = people.presence()
    people.polls(ALICE, for_s=1)
    people.clock.advance(GONE_AFTER_S - 1)
    between = people.presence()
    people.clock.advance(1)

    assert (before, between, people.presence()) == ("online", "online", "offline")
    assert people.changed[0] == people.changed[-1] == ALICE
    assert len(people.known) == 0
    assert people.clock.pending == 0


def test_who_polls_as_offline_leaves_no_trace(people: People) -> None:
    people.polls(ALICE, "offline")

    assert (people.presence(), people.changed, len(people.known)) == ("offline", [], 0)


def test_polling_as_offline_keeps_nobody_there_and_sends_nobody_away(people: People) -> None:
    people.known.say(ALICE, PHONE, "unavailable", None)
    people.polls(ALICE, "offline", for_s=1)
    before = people.presence()
    people.known.begin_poll(ALICE, PHONE, "offline")

    people.clock.advance(GONE_AFTER_S)

    assert (before, people.presence()) == ("unavailable", "offline")


def test_each_device_counts_and_the_most_present_is_shown(people: People) -> None:
    people.known.begin_poll(ALICE, PHONE, "unavailable")
    alone = people.presence()
    people.known.begin_poll(ALICE, LAPTOP, "online")
    both = people.presence()
    people.known.end_poll(ALICE, LAPTOP)
    people.clock.advance(GONE_AFTER_S)

    assert (alone, both, people.presence()) == ("unavailable", "online", "unavailable")


def test_a_device_that_polls_twice_at_once_is_there_while_one_goes_on(people: People) -> None:
    people.known.begin_poll(ALICE, PHONE, None)
    people.polls(ALICE)

    people.clock.advance(GONE_AFTER_S + 1)

    assert people.presence() == "online"


def test_what_a_user_says_holds_against_polls_that_say_nothing(people: People) -> None:
    people.polls(ALICE)
    people.known.say(ALICE, PHONE, "unavailable", "away")
    people.polls(ALICE)
    said = people.presence()
    people.polls(ALICE, "online")
    polled = people.presence()

    people.known.say(ALICE, PHONE, "offline", None)

    assert (said, polled, people.presence()) == ("unavailable", "online", "offline")


def test_a_status_message_outlives_the_devices(people: People) -> None:
    people.known.say(ALICE, PHONE, "online", "on holiday")
    people.clock.advance(IDLE_AFTER_S)
    found = people.known.find(ALICE)
    assert found is not None
    assert (found.presence, found.status_msg) == ("offline", "on holiday")

    people.known.say(ALICE, PHONE, "online", None)
    people.clock.advance(IDLE_AFTER_S)

    assert people.known.find(ALICE) is None


def test_who_does_nothing_is_not_active_soon_and_unavailable_later(people: People) -> None:
    people.known.begin_poll(ALICE, PHONE, None)
    shown = [(people.presence(), people.is_active())]
    for pause_s in (ACTIVE_S, IDLE_AFTER_S - ACTIVE_S):
        people.clock.advance(pause_s)
        shown.append((people.presence(), people.is_active()))
    people.known.note_activity(ALICE)
    shown.append((people.presence(), people.is_active()))

    assert shown == [("online", True), ("online", False), ("unavailable", False), ("online", True)]
    assert people.changed == [ALICE] * 4


def test_polling_is_no_activity_but_coming_back_is(people: People) -> None:
    for _ in range(20):
        people.polls(ALICE, for_s=IDLE_AFTER_S / 20)
    idle = people.presence()
    people.polls(ALICE, "unavailable")
    people.polls(ALICE, "online")

    assert (idle, people.presence(), people.is_active()) == ("unavailable", "online", True)


def test_activity_of_those_who_are_not_there_is_not_noted(people: People) -> None:
    people.known.note_activity(BOB)

    assert (len(people.known), people.changed) == (0, [])


def test_beyond_a_number_those_who_are_offline_are_forgotten() -> None:
    people = People(most_people=2)
    for user_id in (ALICE, BOB):
        people.known.say(user_id, PHONE, "online", "gone")
        people.clock.advance(GONE_AFTER_S)

    people.polls(UserID("@dave:example.org"))
    people.polls(UserID("@erin:example.org"))
    people.polls(UserID("@fay:example.org"))

    assert [people.known.find(user_id) for user_id in (ALICE, BOB)] == [None, None]
    assert len(people.known) == 3
