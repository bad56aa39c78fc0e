"""One call of sliding sync: answer now, or wait for the bell and answer then.

What an answer consists of is in sliding_assembling.py. Whoever waits is woken by the bell of /sync, and looks into the
database only when what was written may concern the request and is not all in memory. Spec: MSC4186
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from homeserver.core.errors import MissingNodes
from homeserver.core.identifiers import RoomID
from homeserver.runtime.clock import Clock
from homeserver.runtime.wakeups import Bell
from homeserver.services.errors import UnknownPosition
from homeserver.services.events.news import (
    AccountDataWritten,
    Change,
    DeviceListWritten,
    KeyCountsWritten,
    News,
    ReceiptWritten,
    RoomBecameWhole,
    RoomWritten,
    ThreadSubscriptionWritten,
    ToDeviceWritten,
)
from homeserver.services.sync.lost_time import LostTime
from homeserver.services.sync.request import NotInMemory
from homeserver.services.sync.sliding_assembling import SlidingAssembling
from homeserver.services.sync.sliding_connections import SlidingConnections
from homeserver.services.sync.sliding_request import Heard, SlidingAnswer, SlidingRequest, View
from homeserver.storage.database import Database

LONGEST_S: Final = 300.0


class SlidingPoll:
    """Answers sliding syncs."""

    def __init__(
        self,
        database: Database,
        assembling: SlidingAssembling,
        connections: SlidingConnections,
        lost_time: LostTime,
        news: News,
        bell: Bell,
        clock: Clock,
    ) -> None:
        self._database = database
        self._assembling = assembling
        self._connections = connections
        self._lost_time = lost_time
        self._news = news
        self._bell = bell
        self._clock = clock

    async def sync(self, request: SlidingRequest) -> SlidingAnswer:
        """What the request asks for and its client does not have yet; waits while that is nothing.

        Raises UnknownPosition: the client is to begin a new connection.
        """
        since = request.since
        if since is not None and self._lost_time.holds(since.position):
            await self._lost_time.end_for(request.viewer)
            raise UnknownPosition
        until_s = self._clock.seconds() + min(request.timeout_ms / 1000, LONGEST_S)
        before = self._connections.answer_before(request)
        quiet = None if before is None else _quiet(before)
        view = None if before is None else before.view
        turn = self._connections.begin(request, self._database.epoch)
        if quiet is not None and not await self._is_woken(request, quiet, until_s):
            return await self._connections.store(request, quiet, turn)
        while True:
            self._news.follow(request.viewer.user_id, self._database.position)
            answer = self._from_memory(request, view)
            if answer is None:
                sent, listing = self._connections.known(request), self._connections.listing(request)
                answer = await self._database.read(self._assembling.read, request, sent, listing, self._heard(request))
            if not answer.is_empty or request.since is None:
                break
            if not await self._is_woken(request, answer, until_s):
                break
            if not answer.told:
                # Up to here there is nothing for this client.
                request, view = replace(request, since=answer.token), answer.view
        return await self._connections.store(request, answer, turn)

    def _from_memory(self, request: SlidingRequest, view: View | None) -> SlidingAnswer | None:
        """The answer to a client that has `view` in sight; None: what is lacking is in the database."""
        sent, heard = self._connections.known(request), self._heard(request)
        if view is None or sent is None or heard is None:
            return None
        try:
            return self._assembling.from_memory(request, sent, view, heard)
        except (NotInMemory, MissingNodes):
            return None

    def _heard(self, request: SlidingRequest) -> Heard | None:
        """What was written for the user since the request's position, if memory reaches back so far."""
        since, upto = request.since, self._database.position
        if since is None or since.position > upto:
            return None
        changes = self._news.since(request.viewer.user_id, since.position)
        return None if changes is None else Heard(changes, upto)

    async def _is_woken(self, request: SlidingRequest, answer: SlidingAnswer, until_s: float) -> bool:
        """Wait until something was written after the answer that may concern the request; False when time is up."""
        user_id, position = request.viewer.user_id, answer.token.position
        unanswered = replace(request, since=answer.token)
        while True:
            changes = self._news.since(user_id, position)
            if changes is None or any(_concerns(change, request, answer.relevant) for change in changes):
                return True
            if request.extensions.typing is not None and self._assembling.typing_since(unanswered):
                return True
            remaining_s = until_s - self._clock.seconds()
            if remaining_s <= 0:
                return False
            if changes:
                position = changes[-1].position
            await self._bell.wait(user_id, remaining_s)


def _quiet(before: SlidingAnswer) -> SlidingAnswer | None:
    """The answer that follows another one if nothing happens, where that is known."""
    return None if before.quiet is None else replace(before, body=before.quiet, is_empty=True)


def _concerns(change: Change, request: SlidingRequest, relevant: Collection[RoomID]) -> bool:
    """Whether a change may be something to tell."""
    extensions, lists = request.extensions, request.lists
    match change:
        case RoomWritten():
            if extensions.e2ee and any(one.before != one.membership for one in change.memberships):
                return True  # others may be met now, whose devices are to be known
            return bool(lists) or change.room_id in request.subscriptions
        case RoomBecameWhole():
            return extensions.e2ee or request.asks_for_rooms
        case ReceiptWritten():
            # One's own changes what is unread.
            is_told = extensions.receipts is not None or change.user_id == request.viewer.user_id
            return is_told and change.room_id in relevant
        case AccountDataWritten():
            return extensions.account_data is not None or bool(lists)
        case ThreadSubscriptionWritten():
            return extensions.thread_subscriptions is not None
        case ToDeviceWritten():
            viewer = request.viewer
            return extensions.to_device is not None and (viewer.user_id, viewer.device_id) in change.devices
        case DeviceListWritten() | KeyCountsWritten():
            return extensions.e2ee
        case _:
            return False
