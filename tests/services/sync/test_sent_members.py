"""What a client shows to have: the answers with whose tokens it comes back."""

import pytest

from homeserver.core.identifiers import DeviceID, EventID, RoomID, UserID
from homeserver.services.sync.sent_members import ANSWERS_PER_DEVICE, MEMBERS_PER_DEVICE, SentMembers

DEVICE = (UserID("@a:example.org"), DeviceID("PHONE"))
ROOM, OTHER = RoomID("!room"), RoomID("!other")
BOB, EVENT, NEWER = "@b:example.org", EventID("$event"), EventID("$newer")


@pytest.fixture
def sent() -> SentMembers:
    return SentMembers()


def note(sent: SentMembers, position: int, event_id: EventID = EVENT, *, is_new_room: bool = False) -> None:
    sent.note(DEVICE, ROOM, {BOB: event_id}, position, is_new_room=is_new_room)


def test_a_member_is_known_once_the_client_comes_back_with_that_answers_token(sent: SentMembers) -> None:
    note(sent, 5)
    before = sent.has(DEVICE, ROOM, BOB, EVENT)

    sent.came_back(DEVICE, 5)

    assert not before
    assert sent.has(DEVICE, ROOM, BOB, EVENT)
    assert not sent.has(DEVICE, ROOM, BOB, NEWER)
    assert not sent.has(DEVICE, OTHER, BOB, EVENT)


def test_an_answer_that_was_lost_told_nothing(sent: SentMembers) -> None:
    note(sent, 5)

    sent.came_back(DEVICE, 7)
    sent.came_back(DEVICE, 5)

    assert not sent.has(DEVICE, ROOM, BOB, EVENT)


def test_who_goes_back_forgets(sent: SentMembers) -> None:
    note(sent, 5)
    sent.came_back(DEVICE, 5)
    note(sent, 7, NEWER)
    sent.came_back(DEVICE, 7)

    sent.came_back(DEVICE, 5)

    assert not sent.has(DEVICE, ROOM, BOB, NEWER)


@pytest.mark.parametrize("begins_anew", [True, False])
def test_after_a_beginning_only_what_it_told_is_known(sent: SentMembers, begins_anew: bool) -> None:
    note(sent, 5)
    sent.came_back(DEVICE, 5)
    if begins_anew:
        sent.begin_anew(DEVICE, 7)
    else:
        sent.note(DEVICE, ROOM, {}, 7, is_new_room=True)
    meanwhile = sent.has(DEVICE, ROOM, BOB, EVENT)

    sent.came_back(DEVICE, 7)

    assert meanwhile
    assert not sent.has(DEVICE, ROOM, BOB, EVENT)


def test_what_is_remembered_of_a_device_is_bounded(sent: SentMembers) -> None:
    for number in range(ANSWERS_PER_DEVICE + 1):
        note(sent, number)
    sent.came_back(DEVICE, 0)
    sent.note(DEVICE, OTHER, {f"@{number}": EVENT for number in range(MEMBERS_PER_DEVICE + 1)}, 50, is_new_room=False)
    sent.came_back(DEVICE, 50)

    assert not sent.has(DEVICE, ROOM, BOB, EVENT)
    assert not sent.has(DEVICE, OTHER, "@0", EVENT)
    assert sent.has(DEVICE, OTHER, f"@{MEMBERS_PER_DEVICE}", EVENT)
