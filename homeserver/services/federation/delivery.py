"""One transaction on its way to one server, and what follows from how that ends.

It arrived; or nobody knows whether it did, and it is sent again as it is; or the server refuses something in it, which
is found by halves and left out. Which transaction leaves when is decided in sender.py.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.services.federation.destinations import Destinations
from homeserver.services.federation.outbox import Outbox
from homeserver.services.federation.outboxes import Outboxes
from homeserver.services.federation.transactions import MOST_ITEMS
from homeserver.storage.outboxes import StoredTransaction
from homeserver.storage.outgoing_events import OutgoingEvent

MOST_REFUSED_IN_A_ROW: Final = 3

# With these a server says something of itself or of us, and nothing of what it was sent.
NOT_OF_THE_CONTENT: Final = frozenset({401, 403, 404, 405, 408, 421, 425, 429})

log = get_logger(__name__)


class TransactionClient(Protocol):
    """Hands transactions to other servers."""

    async def send_transaction(
        self, destination: ServerName, txn_id: str, content: bytes
    ) -> Mapping[str, Any]:  # Any: JSON of another server
        """What the server answers to a transaction, `content` being its canonical JSON. Raises RemoteError."""


@dataclass(slots=True)
class DeliveryCounts:
    """What was sent so far."""

    transactions: Counter[str] = field(default_factory=Counter)  # by what became of them
    pdus: int = 0
    edus: int = 0
    left_out: int = 0  # PDUs and EDUs that a server refused to take
    under_way: int = 0  # transactions, now
    to_strangers: int = 0  # those of them that may never be answered: see Outboxes.is_stranger


@dataclass(frozen=True, slots=True)
class Leaving:
    """A transaction that leaves now. `stored` is None when it need not arrive."""

    outbox: Outbox
    transaction_id: str
    stored: StoredTransaction | None
    events: tuple[OutgoingEvent, ...]
    edu_count: int
    content: bytes

    @property
    def items(self) -> int:
        """How many PDUs and EDUs there are."""
        return len(self.events) + self.edu_count


class Delivery:
    """Delivers transactions."""

    def __init__(self, client: TransactionClient, outboxes: Outboxes, destinations: Destinations, clock: Clock) -> None:
        self.counts: Final = DeliveryCounts()
        self._client = client
        self._outboxes = outboxes
        self._destinations = destinations
        self._clock = clock

    async def deliver(self, leaving: Leaving) -> None:
        """Send one transaction. Its outbox is marked as sending; it is not any more, and ready, in the end."""
        outbox = leaving.outbox
        outbox.has_stored = leaving.stored is not None  # whatever happens, until it is known to have arrived
        to_stranger = self._outboxes.is_stranger(outbox.destination)
        self.counts.under_way += 1
        self.counts.to_strangers += to_stranger
        is_understood = False
        try:
            answer = await self._client.send_transaction(outbox.destination, leaving.transaction_id, leaving.content)
        except RemoteRefused as refused:
            is_understood = True
            self._outboxes.note_answer(outbox.destination, has_answered=True)
            if 400 <= refused.status < 500 and refused.status not in NOT_OF_THE_CONTENT:
                self._was_refused(leaving, refused)
            else:
                self._was_lost(leaving, refused)
        except RemoteError as error:
            is_understood = True
            self._outboxes.note_answer(outbox.destination, has_answered=False)
            self._was_lost(leaving, error)
        except CancelledError:
            is_understood = True  # this server stops
            raise
        else:
            is_understood = True
            self._outboxes.note_answer(outbox.destination, has_answered=True)
            self._has_arrived(leaving, answer)
        finally:
            if not is_understood:
                self._destinations.failed(outbox.destination)  # a fault of ours must not be repeated without end
            self.counts.under_way -= 1
            self.counts.to_strangers -= to_stranger
            outbox.is_sending = False
            self._outboxes.make_ready(outbox)

    def _has_arrived(self, leaving: Leaving, answer: Mapping[str, Any]) -> None:  # Any: JSON of another server
        outbox = leaving.outbox
        self.counts.transactions["delivered"] += 1
        self.counts.pdus += len(leaving.events)
        self.counts.edus += leaving.edu_count
        outbox.refused_in_a_row = 0
        outbox.most_items = min(outbox.most_items * 2, MOST_ITEMS)
        outbox.delivered_ms = self._clock.now_ms()
        self._settle(leaving)
        pdus = answer.get("pdus")
        if isinstance(pdus, dict):
            wrong = sum(isinstance(result, dict) and "error" in result for result in pdus.values())
            if wrong:
                log.info("a server did not accept all events", destination=outbox.destination, events=wrong)

    def _settle(self, leaving: Leaving) -> None:
        """It need not be sent again."""
        leaving.outbox.has_stored = False
        if leaving.stored is not None:
            self._outboxes.note_delivered(leaving.outbox, leaving.stored.upto, leaving.stored.to_device)

    def _was_lost(self, leaving: Leaving, error: RemoteError) -> None:
        """Nobody knows whether it arrived: it waits in the database until the server is asked again."""
        outbox = leaving.outbox
        self.counts.transactions["lost"] += 1
        if not self._destinations.wait_ms(outbox.destination):
            self._destinations.failed(outbox.destination)
        failing = self._destinations.find_failing(outbox.destination)
        if failing is not None and failing.failures == 1:
            log.info("a server did not take a transaction", destination=outbox.destination, reason=error.reason)
        self._outboxes.set_aside(outbox)

    def _was_refused(self, leaving: Leaving, refused: RemoteRefused) -> None:
        """Something in it the server will never take: find out what, by halves, and go on without."""
        outbox = leaving.outbox
        self.counts.transactions["refused"] += 1
        if leaving.stored is None:
            return
        if leaving.items > 1:
            outbox.most_items = max(1, min(leaving.items, outbox.most_items) // 2)
            outbox.has_stored = False
            outbox.has_messages = outbox.has_messages or leaving.stored.to_device is not None
            self._outboxes.fall_behind(outbox)
            return
        self.counts.left_out += 1
        log.warning(
            "a server refuses what it was sent, and does not get it",
            destination=outbox.destination,
            events=[event.event_id for event in leaving.events],
            edus=leaving.edu_count,
            reason=refused.reason,
        )
        self._settle(leaving)
        outbox.refused_in_a_row += 1
        if outbox.refused_in_a_row >= MOST_REFUSED_IN_A_ROW:
            # That one refuses whatever it gets: it had better be asked less often.
            outbox.refused_in_a_row = 0
            self._destinations.failed(outbox.destination)
