"""One call of /sync: answer now, or wait for the bell and answer then.

What an answer consists of is in assembling.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from homeserver.core.errors import MissingNodes
from homeserver.runtime.clock import Clock
from homeserver.runtime.wakeups import Bell
from homeserver.services.events.news import Change, News
from homeserver.services.sync.assembling import SyncAssembling
from homeserver.services.sync.lost_time import LostTime
from homeserver.services.sync.memory import SyncMemory
from homeserver.services.sync.request import Answer, NotInMemory, SyncRequest
from homeserver.storage.database import Database
from homeserver.storage.to_device import delete_acknowledged

LONGEST_S: Final = 300.0


class LongPoll:
    """Answers syncs."""

    def __init__(
        self,
        database: Database,
        assembling: SyncAssembling,
        memory: SyncMemory,
        lost_time: LostTime,
        news: News,
        bell: Bell,
        clock: Clock,
    ) -> None:
        self._database = database
        self._assembling = assembling
        self._memory = memory
        self._lost_time = lost_time
        self._news = news
        self._bell = bell
        self._clock = clock

    async def sync(self, request: SyncRequest) -> Answer:
        """What happened since the request's token; waits while that is nothing, as long as the request allows."""
        if request.since is not None and self._lost_time.holds(request.since.position):
            await self._lost_time.end_for(request.viewer)
            request = replace(request, since=None)
        self._note_token(request)
        until_s = self._clock.seconds() + min(request.timeout_ms / 1000, LONGEST_S)
        while True:
            answer = await self._answer(request)
            if not answer.is_empty or request.since is None or request.full_state:
                return answer
            # Up to here there is nothing for this client: look on from here.
            request = replace(request, since=answer.next_batch)
            remaining_s = until_s - self._clock.seconds()
            if remaining_s <= 0:
                return answer
            if self._is_current(request):
                await self._bell.wait(request.viewer.user_id, remaining_s)

    async def flush_acknowledged(self) -> None:
        """Delete the to-device messages that clients have shown to have: now and then, many at once."""
        acknowledged = self._memory.take_acknowledged()
        if acknowledged:
            await self._database.write(delete_acknowledged, acknowledged)
            self._memory.note_deleted(acknowledged)

    def _note_token(self, request: SyncRequest) -> None:
        """Note what a client shows to have by the token that it comes with."""
        since, viewer = request.since, request.viewer
        if since is not None and viewer.device_id is not None and since.position <= self._database.position:
            device = (viewer.user_id, viewer.device_id)
            self._memory.acknowledge(device, since.to_device)
            self._memory.sent_members.came_back(device, since.position)

    async def _answer(self, request: SyncRequest) -> Answer:
        user_id, since, position = request.viewer.user_id, request.since, self._database.position
        self._news.follow(user_id, position)
        # A token may be of a commit that the reactor has not heard of yet, or of another time: the database knows.
        if since is not None and since.position <= position:
            changes = self._news.since(user_id, since.position)
            if changes is not None:
                try:
                    return self._assembling.from_memory(request, since, changes, position)
                except (NotInMemory, MissingNodes):
                    pass  # what is lacking is in the database
        return await self._database.read(self._assembling.read, request)

    def _is_current(self, request: SyncRequest) -> bool:
        """Whether nothing came for the user while the database was asked: no `await` between this and the bell."""
        since = request.since
        changes: Sequence[Change] | None = None
        if since is not None:
            changes = self._news.since(request.viewer.user_id, since.position)
        if changes is None or changes:
            return False
        return not self._assembling.typing_since(request) and not self._assembling.presence_since(request)
