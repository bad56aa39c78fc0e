"""Events of other servers that a spam check would not have shown: they are soft-failed, as if the room forbade them.

The room goes on, here as elsewhere, and other servers think of them what they like. What the checks are is in
services/spam_checks.py. What was found is remembered for as long as an event may wait for others before it is judged;
after a restart meanwhile an event that waits is not looked at again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, ServerName, server_name_of_user
from homeserver.runtime.parallel import in_parallel
from homeserver.services.errors import RefusedAsSpam
from homeserver.services.events.receipt import Received
from homeserver.services.spam_checks import SpamChecks, checked

MOST_REMEMBERED: Final = 20_000
AT_ONCE: Final = 10
QUESTION: Final = "may_receive_event"


class IncomingSpam:
    """Knows which events are spam. Looked at on the reactor thread, asked on any."""

    def __init__(self, checks: SpamChecks, server_name: ServerName) -> None:
        self._checks = checks
        self._server_name = server_name
        self._found: OrderedDict[EventID, None] = OrderedDict()

    async def look_at(self, received: Sequence[Received]) -> None:
        """Have the checks look at events, as far as other servers sent them, before they are judged."""
        if not self._checks.has(QUESTION):
            return
        events = [one.encoded.event for one in received]
        others = [
            event
            for event in events
            if server_name_of_user(event.sender) != self._server_name and event.event_id not in self._found
        ]
        await in_parallel([partial(self._ask, event) for event in others], at_once=AT_ONCE)

    async def _ask(self, event: Event) -> None:
        try:
            await self._checks.ask(QUESTION, checked(event))
        except RefusedAsSpam:
            self._found[event.event_id] = None
            if len(self._found) > MOST_REMEMBERED:
                self._found.popitem(last=False)

    def has(self, event_id: EventID) -> bool:
        """Whether an event was found to be spam."""
        return event_id in self._found
