"""Events that are sent later: once, when their time has come, or not at all."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.core.identifiers import DeviceID, RoomID
from homeserver.http.errors import error_body
from homeserver.runtime.loops import Loops
from homeserver.services.errors import (
    AlreadyFinalised,
    Forbidden,
    InvalidParameter,
    LimitExceeded,
    MaxDelayExceeded,
    NotFound,
    TooLarge,
)
from homeserver.services.events.creation import Draft
from homeserver.services.rooms.delayed_events import (
    LONGEST_DELAY_MS,
    MOST_SCHEDULED,
    PER_PAGE,
    DelayedEvents,
    Listing,
)
from homeserver.services.rooms.sending import ClientTransaction
from homeserver.storage.accounts import find_account, update_account
from homeserver.storage.delayed_events import Outcome, Reason
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, World, now

MESSAGE = Draft("m.room.message", ALICE, {"msgtype": "m.text", "body": "bye"})
GOODBYE = Draft("org.example.call", ALICE, {}, state_key=ALICE)


class Later:
    """Delayed events of a world, and time that passes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events = DelayedEvents(
            world.database, world.event_creation, world.sending, world.clock, world.randomness, error_body
        )
        self.loops = Loops(world.clock)
        self.events.start(self.loops)

    def schedule(
        self, room_id: RoomID, delay_ms: int = 1_000, draft: Draft = MESSAGE, txn_id: str | None = None
    ) -> str:
        transaction = None if txn_id is None else ClientTransaction(DeviceID("PHONE"), "delayed", txn_id)
        return now(self.events.schedule(draft, room_id, delay_ms, transaction))

    def said(self, room_id: RoomID) -> list[Any]:
        """What was said in the room, the oldest first."""
        shown = self.world.history(ALICE, room_id)
        return [event["content"].get("body") for event in reversed(shown) if event["type"] == "m.room.message"]

    def fate(self, delay_id: str) -> tuple[Outcome, Reason] | None:
        finalised = now(self.events.event(ALICE, delay_id)).delayed.finalised
        return None if finalised is None else (finalised.outcome, finalised.reason)


@pytest.fixture
def later(world: World) -> Iterator[Later]:
    register(world, "alice")
    made = Later(world)
    yield made
    made.events.stop()
    now(made.loops.stop())


@pytest.fixture
def room_id(later: Later) -> RoomID:
    """Alice's room."""
    return later.world.create_room(ALICE, preset="public_chat")


def test_an_event_is_sent_when_its_time_has_come_and_not_before(later: Later, room_id: RoomID) -> None:
    delay_id = later.schedule(room_id)

    later.world.clock.advance(0.999)
    assert (later.said(room_id), later.fate(delay_id)) == ([], None)
    later.world.clock.advance(0.002)

    assert later.said(room_id) == ["bye"]
    assert later.fate(delay_id) == (Outcome.SENT, Reason.DELAY)
    later.world.clock.advance(100.0)
    assert later.said(room_id) == ["bye"]


def test_what_came_due_while_nobody_was_there_is_sent_at_the_start_in_order(later: Later, room_id: RoomID) -> None:
    later.events.stop()
    for delay_ms, body in ((3_000, "third"), (1_000, "first"), (2_000, "second")):
        later.schedule(room_id, delay_ms, dataclasses.replace(MESSAGE, content={"body": body}))
    later.world.clock.advance(10.0)
    assert later.said(room_id) == []

    restarted = Later(later.world)
    later.world.clock.advance(0.0)

    assert restarted.said(room_id) == ["first", "second", "third"]
    restarted.events.stop()


def test_one_that_is_put_off_again_and_again_is_sent_when_that_ends(later: Later, room_id: RoomID) -> None:
    delay_id = later.schedule(room_id)

    for _ in range(5):
        later.world.clock.advance(0.9)
        now(later.events.restart(delay_id))
    assert later.said(room_id) == []
    later.world.clock.advance(1.1)

    assert later.said(room_id) == ["bye"]
    with pytest.raises(AlreadyFinalised):
        now(later.events.restart(delay_id))


def test_one_that_is_taken_back_is_never_sent(later: Later, room_id: RoomID) -> None:
    delay_id = later.schedule(room_id)

    for _ in range(2):
        now(later.events.cancel(delay_id))

    later.world.clock.advance(10.0)
    assert later.said(room_id) == []
    assert later.fate(delay_id) == (Outcome.CANCELLED, Reason.ACTION)
    for action in (later.events.send, later.events.restart):
        with pytest.raises(AlreadyFinalised):
            now(action(delay_id))


def test_one_that_is_sent_at_once_is_sent_once(later: Later, room_id: RoomID) -> None:
    delay_id = later.schedule(room_id)

    for _ in range(2):
        now(later.events.send(delay_id))

    later.world.clock.advance(10.0)
    assert later.said(room_id) == ["bye"]
    assert later.fate(delay_id) == (Outcome.SENT, Reason.ACTION)
    with pytest.raises(AlreadyFinalised):
        now(later.events.cancel(delay_id))


def test_state_is_set_later_too(later: Later, room_id: RoomID) -> None:
    later.schedule(room_id, draft=GOODBYE)

    later.world.clock.advance(2.0)

    shown = now(
        later.world.timeline.state_event(
            later.world.viewer(ALICE), room_id, "org.example.call", ALICE, whole_event=False
        )
    )
    assert shown == {}


def test_its_sender_finds_the_delay_id_beside_the_event_and_others_do_not(later: Later, room_id: RoomID) -> None:
    later.world.join(BOB, room_id)
    delay_id = later.schedule(room_id)
    later.world.clock.advance(2.0)

    def beside(viewer: Any) -> Any:
        [event] = [one for one in later.world.history(viewer, room_id) if one["type"] == "m.room.message"]
        return event["unsigned"]

    assert beside(ALICE)["delay_id"] == beside(ALICE)["org.matrix.msc4140.delay_id"] == delay_id
    assert "delay_id" not in str(beside(BOB))
    assert "transaction_id" not in beside(ALICE)


def test_rights_are_judged_when_it_is_sent(later: Later, room_id: RoomID) -> None:
    other = later.world.create_room(BOB)
    forbidden = later.schedule(other)
    allowed_later = later.schedule(other, 5_000)

    later.world.clock.advance(1.1)
    error = now(later.events.event(ALICE, forbidden)).delayed.finalised
    assert error is not None
    assert (error.outcome, (error.error or {})["errcode"]) == (Outcome.FAILED, "M_FORBIDDEN")
    with pytest.raises(Forbidden):
        now(later.events.send(allowed_later))
    assert later.fate(allowed_later) is None


@pytest.mark.parametrize("change", [{"is_locked": True}, {"is_suspended": True}, {"is_deactivated": True}])
def test_whoever_may_send_nothing_now_sends_nothing_later(later: Later, room_id: RoomID, change: Any) -> None:
    delay_id = later.schedule(room_id)
    account = later.world.sync_database.read(find_account, ALICE)
    assert account is not None
    later.world.sync_database.write(update_account, dataclasses.replace(account, **change))

    later.world.clock.advance(2.0)

    assert later.fate(delay_id) == (Outcome.FAILED, Reason.DELAY)
    assert later.said(room_id) == []


def test_a_transaction_id_schedules_once(later: Later, room_id: RoomID) -> None:
    first = later.schedule(room_id, txn_id="one")

    assert later.schedule(room_id, txn_id="one") == first
    assert later.schedule(room_id, txn_id="two") != first
    later.world.clock.advance(2.0)
    assert later.said(room_id) == ["bye", "bye"]


def test_what_is_no_delay_or_too_much_of_one_is_refused(later: Later, room_id: RoomID) -> None:
    for delay_ms in (0, -1):
        with pytest.raises(InvalidParameter):
            later.schedule(room_id, delay_ms)
    with pytest.raises(MaxDelayExceeded):
        later.schedule(room_id, LONGEST_DELAY_MS + 1)
    with pytest.raises(TooLarge):
        later.schedule(room_id, draft=dataclasses.replace(MESSAGE, content={"body": "x" * 70_000}))
    later.schedule(room_id, LONGEST_DELAY_MS)


def test_so_many_of_one_user_wait_and_no_more(later: Later, room_id: RoomID) -> None:
    for number in range(MOST_SCHEDULED):
        later.schedule(room_id, 60_000 + number)

    with pytest.raises(LimitExceeded) as refused:
        later.schedule(room_id)
    assert refused.value.retry_after_ms == 60_000
    later.schedule(room_id, draft=dataclasses.replace(MESSAGE, sender=BOB))


def test_nobody_sees_those_of_others(later: Later, room_id: RoomID) -> None:
    delay_id = later.schedule(room_id)

    with pytest.raises(NotFound):
        now(later.events.event(BOB, delay_id))
    assert now(later.events.page(BOB, Listing())).events == []
    for action in (later.events.send, later.events.cancel, later.events.restart):
        with pytest.raises(NotFound):
            now(action(delay_id + "x"))


def test_events_are_listed_in_order_page_by_page_and_as_they_are_wanted(later: Later, room_id: RoomID) -> None:
    ids = [later.schedule(room_id, 10_000 + number) for number in range(PER_PAGE + 2)]
    now(later.events.cancel(ids[3]))
    now(later.events.send(ids[4]))

    def listed(**wishes: Any) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            page = now(later.events.page(ALICE, Listing(**wishes, after=after)))
            found += [one.delayed.delay_id for one in page.events]
            if page.next_batch is None:
                return found
            after = page.next_batch

    assert listed() == ids
    assert listed(backwards=True) == ids[::-1]
    assert listed(status="finalised") == ids[3:5]
    assert listed(status="scheduled") == ids[:3] + ids[5:]
    assert listed(outcome=Outcome.CANCELLED) == listed(outcome=Outcome.CANCELLED, reason=Reason.ACTION) == [ids[3]]
    assert listed(reason=Reason.DELAY) == listed(room_id="!other:example.org") == listed(type="m.sticker") == []
    assert listed(room_id=room_id, type="m.room.message", order_by="running_since") == sorted(ids)
    assert listed(order_by="origin_server_ts")[:2] == sorted(ids[3:5])
    began_ms = later.world.clock.now_ms() + 10_000
    assert listed(since_ms=began_ms + 6) == ids[6:]
    assert listed(since_ms=began_ms + 1, backwards=True) == [ids[1], ids[0]]
    with pytest.raises(InvalidParameter):
        now(later.events.page(ALICE, Listing(after="nonsense")))
