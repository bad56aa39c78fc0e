"""Spam checks: code of others that says whether somebody may do something, asked before it is done.

What a check can be asked is SpamCheck: who writes one inherits from it and says what matters to it. How one is
installed is told in docs/spam-checks.md. Whatever a check does, raise, hang or return nonsense, the server goes on: it
is asked for a while only, not on the reactor's thread if it blocks, and when it fails its setting says what that means.
"""

# ruff: noqa: ARG002 - the names of parameters belong to the interface

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from homeserver.core.event import Event
from homeserver.core.identifiers import DeviceID, EventID, RoomAlias, RoomID, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.metrics import Metrics
from homeserver.services.errors import RefusedAsSpam

REST_S: Final = 5.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something may not be. Clients are told both; where another server is the one who asks, it may be told less."""

    message: str = "This looks like spam"
    errcode: str = "M_FORBIDDEN"


Answer = Refusal | None
"""None: it may be."""

Told = Answer | Awaitable[Answer]
"""What a check says, at once or after a while."""


@dataclass(frozen=True, slots=True)
class CheckedEvent:
    """An event that is about to be sent, or that another server sent. `event_id` is None where it has none yet."""

    room_id: RoomID
    type: str
    sender: UserID
    content: Mapping[str, Any]  # JSON
    state_key: str | None = None
    redacts: EventID | None = None
    origin_server_ts: int | None = None
    event_id: EventID | None = None


class SpamCheck(Protocol):
    """What may be asked. A method that is `async` runs on the reactor's thread, and must not block it; others may.

    Each says None if it has nothing against it: so do these.
    """

    def may_send_event(self, event: CheckedEvent) -> Told:
        """May a user of this server send this? Invites, joins and other memberships are not among it."""
        return None

    def may_receive_event(self, event: CheckedEvent) -> Told:
        """May this, which a user of another server sent, be shown to the users of this one?"""
        return None

    def may_invite(self, inviter: UserID, invitee: UserID, room_id: RoomID | None) -> Told:
        """May a user, of this server or for a user of it, invite another? `room_id` is None for a new room."""
        return None

    def may_receive_invite(self, event: CheckedEvent) -> Told:
        """May a user of another server invite one of this? Asked before `may_invite`, with the whole invite."""
        return None

    def may_join(self, user_id: UserID, room_id: RoomID, *, is_invited: bool) -> Told:
        """May a user of this server come into a room?"""
        return None

    def may_create_room(self, user_id: UserID) -> Told:
        """May a user of this server make a room?"""
        return None

    def may_create_alias(self, user_id: UserID, room_alias: RoomAlias) -> Told:
        """May a user of this server give a room this name?"""
        return None

    def may_publish_room(self, user_id: UserID, room_id: RoomID | None) -> Told:
        """May a user of this server put a room into the public directory? `room_id` is None for a new room."""
        return None

    def may_be_found(self, user_id: UserID, display_name: str | None, avatar_url: str | None, seeker: UserID) -> Told:
        """May a user be shown to another one who searches for users?"""
        return None

    def may_register(self, user_id: UserID, address: str) -> Told:
        """May somebody at this address make this account?"""
        return None

    def may_log_in(self, user_id: UserID, device_id: DeviceID | None, device_name: str | None, address: str) -> Told:
        """May this user, who has shown that it is they, log in from this address?"""
        return None


@dataclass(frozen=True, slots=True)
class Installed:
    """A check, and what counts for it."""

    name: str
    check: SpamCheck
    timeout_s: float
    fails_open: bool  # whether that may be about which the check fails to say anything


class SpamChecks:
    """Asks all checks that are installed, in their order, until one refuses. Used on the reactor thread."""

    def __init__(
        self,
        installed: Sequence[Installed],
        clock: Clock,
        in_thread: Callable[..., "Deferred[Any]"],  # Any: what the function returns that it is given
    ) -> None:
        self.counts: Final[Counter[tuple[str, str]]] = Counter()
        self._installed = installed
        self._clock = clock
        self._in_thread = in_thread
        self._rests: dict[str, float] = {}  # until when a check that took too long is not asked

    def has(self, question: str) -> bool:
        """Whether any check has something to say to a question, by the name of its method."""
        return any(_answers(each.check, question) for each in self._installed)

    async def ask(self, question: str, *about: object, **more: object) -> None:
        """Raises RefusedAsSpam if a check refuses. `question` is the name of one of SpamCheck's methods."""
        for each in self._installed:
            if _answers(each.check, question):
                refusal = await self._ask(each, question, about, more)
                if refusal is not None:
                    self.counts[each.name, "refused"] += 1
                    raise RefusedAsSpam(refusal.message, refusal.errcode)
                self.counts[each.name, "allowed"] += 1

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_spam_checks",
            "What spam checks were asked, by their names and what came of it.",
            ["check", "outcome"],
            lambda: dict(self.counts.items()),
        )

    async def _ask(
        self, each: Installed, question: str, about: Sequence[object], more: Mapping[str, object]
    ) -> Refusal | None:
        if self._clock.seconds() < self._rests.get(each.name, 0.0):
            return self._read(each, question, LATE)
        method = getattr(each.check, question)

        def call() -> Any:  # Any: whatever a check returns, here and below
            return method(*about, **more)

        # Whatever the code of others raises is a Failure here, and no exception; and it may not even let itself be
        # cancelled.
        asked: Deferred[Any] = maybeDeferred(call) if iscoroutinefunction(method) else self._in_thread(call)
        done: Deferred[Any] = Deferred()
        alarm = self._clock.call_later(each.timeout_s, lambda: _settle(done, LATE))
        asked.addBoth(lambda told: _settle(done, told))
        try:
            told = await done
            if told is LATE:
                self._rests[each.name] = self._clock.seconds() + REST_S
        finally:
            alarm.cancel()
            asked.cancel()
        return self._read(each, question, told)

    def _read(self, each: Installed, question: str, told: Any) -> Refusal | None:
        if told is None or isinstance(told, Refusal):
            return told
        if isinstance(told, _Failed):
            failure = told.failure
            reason = "it took too long" if failure is None else repr(failure.value)[:500]
        else:
            reason = f"it said {told!r:.100}"
        self.counts[each.name, "failed"] += 1
        log.warning("a spam check failed", check=each.name, question=question, reason=reason)
        return None if each.fails_open else Refusal("This cannot be checked for spam at this moment", "M_UNKNOWN")


@dataclass(frozen=True, slots=True)
class _Failed:
    """A check said nothing; None: in time."""

    failure: Failure | None


LATE: Final = _Failed(None)


def _settle(done: "Deferred[Any]", told: Any) -> None:
    if not done.called:
        done.callback(_Failed(told) if isinstance(told, Failure) else told)


def _answers(check: SpamCheck, question: str) -> bool:
    """Whether a check says something to a question itself; one that only looks like a SpamCheck may lack it."""
    method = getattr(type(check), question, None)
    return method is not None and method is not getattr(SpamCheck, question)


def checked(event: Event) -> CheckedEvent:
    """An event as checks are shown it."""
    return CheckedEvent(
        event.room_id,
        event.type,
        event.sender,
        event.content,
        event.state_key,
        event.redacts,
        event.origin_server_ts,
        event.event_id,
    )
