"""Events that users give to be sent later, and can send at once, put off or take back until then: MSC4140.

A client that may vanish (from a call, say) leaves its goodbye here, and puts it off again and again while it is there.
Whether an event may be sent is judged when it is sent. What became of it is kept for a week.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import orjson

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.clock import Cancellable, Clock
from homeserver.runtime.loops import Loops
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import (
    AlreadyFinalised,
    Forbidden,
    InvalidParameter,
    LimitExceeded,
    MaxDelayExceeded,
    NotFound,
    ServiceError,
    TooLarge,
)
from homeserver.services.events.client_format import DELAYED
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.rooms.sending import ClientTransaction, Sending
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.delayed_events import (
    Delayed,
    Finalised,
    Outcome,
    Reason,
    count_scheduled,
    delayed_contents,
    delayed_events_of_user,
    due_events,
    finalise_delayed_event,
    find_delayed_event,
    forget_finalised,
    insert_delayed_event,
    next_due_ms,
    restart_delayed_event,
)

LONGEST_DELAY_MS: Final = 30 * 24 * 3600 * 1000
MOST_SCHEDULED: Final = 100  # of one user: no more can come at one moment either
FINALISED_KEPT: Final = 1_000  # of one user
CONTENT_LIMIT_BYTES: Final = 65_536  # an event cannot be larger
ID_LENGTH: Final = 32  # whoever knows the ID of a delayed event commands it: nobody guesses 190 bits
PER_PAGE: Final = 10
AT_ONCE: Final = 50  # events under way at one time
LOOP: Final = "delayed events"
IDLE_S: Final = 30.0
NONE_HERE: Final = "There is no such delayed event"

Answer = Callable[[ProtocolError | ServiceError], Mapping[str, Any]]
"""What a client is answered to an error. Any: JSON"""


@dataclass(frozen=True, slots=True)
class DelayedEvent:
    """A delayed event with its content, which is JSON."""

    delayed: Delayed
    content: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """Which of a user's delayed events are wanted, and in which order. None: any."""

    order_by: Literal["send_ts", "origin_server_ts", "running_since"] = "send_ts"
    backwards: bool = False
    since_ms: int | None = None  # None: from the latest, or the earliest
    status: Literal["scheduled", "finalised"] | None = None
    room_id: str | None = None
    type: str | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    after: str | None = None  # the delay ID with which the page before ended

    def selects(self, one: Delayed) -> bool:
        """Whether one is wanted, in whatever place."""
        finalised = one.finalised
        return (
            (self.status is None or (self.status == "finalised") is (finalised is not None))
            and self.room_id in (None, one.room_id)
            and self.type in (None, one.type)
            and (self.outcome is None or (finalised is not None and finalised.outcome is self.outcome))
            and (self.reason is None or (finalised is not None and finalised.reason is self.reason))
        )

    def time_ms(self, one: Delayed) -> int:
        """The time by which one is ordered."""
        if self.order_by == "running_since":
            return one.running_since_ms
        if self.order_by == "origin_server_ts" and one.finalised is not None:
            return one.finalised.at_ms
        return one.send_ms

    def in_order(self, found: Sequence[Delayed]) -> list[Delayed]:
        """Those that are wanted, the first first."""
        wanted = [one for one in found if self.selects(one) and self._is_since(self.time_ms(one))]
        return sorted(wanted, key=lambda one: (self.time_ms(one), one.delay_id), reverse=self.backwards)

    def _is_since(self, time_ms: int) -> bool:
        if self.since_ms is None:
            return True
        return time_ms <= self.since_ms if self.backwards else time_ms >= self.since_ms


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Some of a user's delayed events, and with which ID the next page begins after, if there is one."""

    events: Sequence[DelayedEvent]
    next_batch: str | None


class DelayedEvents:
    """Keeps them, and sends them when their time has come. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        creation: EventCreation,
        sending: Sending,
        clock: Clock,
        randomness: Randomness,
        answer: Answer,
    ) -> None:
        self._database = database
        self._creation = creation
        self._sending = sending
        self._clock = clock
        self._randomness = randomness
        self._answer = answer
        self._loops: Loops | None = None
        self._alarm: Cancellable | None = None
        self._alarm_ms: int | None = None
        self._under_way: set[str] = set()

    def start(self, loops: Loops) -> None:
        """Begin to send, first what came due while the server was down."""
        self._loops = loops
        loops.start(LOOP, self._send_due, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Wake up no more."""
        self._loops = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def schedule(
        self,
        draft: Draft,
        room_id: RoomID,
        delay_ms: int,
        transaction: ClientTransaction | None,
    ) -> str:
        """Have an event sent after a while, once per transaction ID; its delay ID.

        Raises InvalidParameter, MaxDelayExceeded, LimitExceeded, TooLarge, BadJson.
        """
        if delay_ms <= 0:
            raise InvalidParameter("A delay is more than nothing")
        if delay_ms > LONGEST_DELAY_MS:
            raise MaxDelayExceeded(LONGEST_DELAY_MS)
        content = encode_lenient(draft.content)
        if len(content) > CONTENT_LIMIT_BYTES:
            raise TooLarge("No event can be this large")
        delayed = Delayed(
            self._randomness.opaque_id("", ID_LENGTH),
            draft.sender,
            room_id,
            draft.type,
            draft.state_key,
            delay_ms,
            self._clock.now_ms(),
        )
        await self._sending.may_send(room_id, draft)
        delay_id = await self._database.write(self._schedule, delayed, content, transaction)
        self._wake_at(delayed.send_ms)
        return delay_id

    async def restart(self, delay_id: str) -> None:
        """Let the delay begin again. Raises NotFound, AlreadyFinalised."""
        await self._database.write(self._restart, delay_id)

    async def cancel(self, delay_id: str) -> None:
        """Never send it; nothing happens to one that cannot be sent any more. Raises NotFound, AlreadyFinalised."""
        await self._database.write(self._cancel, delay_id)

    async def send(self, delay_id: str) -> None:
        """Send it now; nothing happens to one that was sent.

        Raises NotFound, AlreadyFinalised, and whatever sending may raise: then it goes on waiting.
        """
        await self._creation.write(self._send, delay_id, Reason.ACTION)

    async def event(self, user_id: UserID, delay_id: str) -> DelayedEvent:
        """One of the user's. Raises NotFound."""
        return await self._database.read(_event, user_id, delay_id)

    async def page(self, user_id: UserID, listing: Listing) -> ListedPage:
        """Some of the user's. Raises InvalidParameter for a token that is not from here."""
        return await self._database.read(_page, user_id, listing)

    def _schedule(
        self, tx: Transaction, delayed: Delayed, content: bytes, transaction: ClientTransaction | None
    ) -> str:
        now_ms = self._clock.now_ms()
        known = None if transaction is None else transaction.outcome(tx, delayed.user_id, now_ms=now_ms)
        if known is not None:
            return known
        waiting, first_ms = count_scheduled(tx, delayed.user_id)
        if waiting >= MOST_SCHEDULED:
            raise LimitExceeded(max((first_ms or now_ms) - now_ms, 1_000), "Too many delayed events wait already")
        insert_delayed_event(tx, delayed, content)
        if transaction is not None:
            transaction.note(tx, delayed.user_id, delayed.delay_id, now_ms=now_ms)
        return delayed.delay_id

    def _restart(self, tx: Transaction, delay_id: str) -> None:
        if _found(tx, delay_id).finalised is not None:
            raise AlreadyFinalised
        restart_delayed_event(tx, delay_id, now_ms=self._clock.now_ms())

    def _cancel(self, tx: Transaction, delay_id: str) -> None:
        delayed = _found(tx, delay_id)
        if delayed.finalised is None:
            self._finalise(tx, delayed, Finalised(self._clock.now_ms(), Outcome.CANCELLED, Reason.ACTION))
        elif delayed.finalised.outcome is Outcome.SENT:
            raise AlreadyFinalised

    def _send(self, tx: Transaction, delay_id: str, reason: Reason) -> None:
        """Send it in the same transaction in which it is noted that it was: once, whatever happens."""
        delayed = _found(tx, delay_id)
        if delayed.finalised is not None:
            if delayed.finalised.outcome is not Outcome.SENT:
                raise AlreadyFinalised
            return
        if reason is Reason.DELAY and delayed.send_ms > self._clock.now_ms():
            return  # it was put off meanwhile
        account = find_account(tx, delayed.user_id)
        if account is None or account.is_deactivated or account.is_locked or account.is_suspended:
            raise Forbidden("Its sender may send nothing")
        content = orjson.loads(delayed_contents(tx, [delay_id])[delay_id])
        draft = Draft(delayed.type, delayed.user_id, content, state_key=delayed.state_key)
        event_id = self._sending.send_within(tx, delayed.room_id, draft, sent_as=(DELAYED, delay_id))
        self._finalise(tx, delayed, Finalised(self._clock.now_ms(), Outcome.SENT, reason, event_id))

    def _fail(self, tx: Transaction, delay_id: str, error: Mapping[str, Any]) -> None:
        delayed = _found(tx, delay_id)
        self._finalise(tx, delayed, Finalised(self._clock.now_ms(), Outcome.FAILED, Reason.DELAY, error=error))

    @staticmethod
    def _finalise(tx: Transaction, delayed: Delayed, finalised: Finalised) -> None:
        finalise_delayed_event(tx, delayed.delay_id, finalised)
        forget_finalised(tx, delayed.user_id, kept=FINALISED_KEPT)

    async def _send_due(self) -> None:
        """Begin to send what is due, and wake up when more is."""
        self._alarm_ms = None
        due = await self._database.read(due_events, now_ms=self._clock.now_ms(), limit=AT_ONCE)
        for delay_id in due:
            if self._loops is not None and delay_id not in self._under_way:
                self._under_way.add(delay_id)
                self._loops.run_once("a delayed event", partial(self._send_one, delay_id))
        if len(due) < AT_ONCE:
            next_ms = await self._database.read(next_due_ms)
            if next_ms is not None and next_ms > self._clock.now_ms():
                self._wake_at(next_ms)

    async def _send_one(self, delay_id: str) -> None:
        try:
            await self._creation.write(self._send, delay_id, Reason.DELAY)
        except (NotFound, AlreadyFinalised):
            pass  # its user came first
        except (ProtocolError, ServiceError) as error:
            await self._database.write(self._fail, delay_id, self._answer(error))
        finally:
            self._under_way.discard(delay_id)
        if not self._under_way:  # more may have been due than went at once; after a failure that waits for the loop
            self._wake_at(self._clock.now_ms())

    def _wake_at(self, at_ms: int) -> None:
        if self._loops is None or (self._alarm_ms is not None and self._alarm_ms <= at_ms):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ms = at_ms
        self._alarm = self._clock.call_later(max(at_ms - self._clock.now_ms(), 0) / 1000, self._hurry)

    def _hurry(self) -> None:
        self._alarm, self._alarm_ms = None, None
        if self._loops is not None:
            self._loops.hurry(LOOP)


def _found(tx: Transaction, delay_id: str) -> Delayed:
    delayed = find_delayed_event(tx, delay_id)
    if delayed is None:
        raise NotFound(NONE_HERE)
    return delayed


def _event(tx: Transaction, user_id: UserID, delay_id: str) -> DelayedEvent:
    delayed = _found(tx, delay_id)
    if delayed.user_id != user_id:
        raise NotFound(NONE_HERE)
    return DelayedEvent(delayed, delayed_contents(tx, [delay_id])[delay_id])


def _page(tx: Transaction, user_id: UserID, listing: Listing) -> ListedPage:
    ordered = listing.in_order(delayed_events_of_user(tx, user_id))
    begin = 0
    if listing.after is not None:
        places = [place for place, one in enumerate(ordered) if one.delay_id == listing.after]
        if not places:
            raise InvalidParameter("`from` is not a token that this server gave")
        begin = places[0] + 1
    page = ordered[begin : begin + PER_PAGE]
    contents = delayed_contents(tx, [one.delay_id for one in page])
    events = [DelayedEvent(one, contents[one.delay_id]) for one in page]
    return ListedPage(events, page[-1].delay_id if len(ordered) > begin + PER_PAGE else None)
