"""The outboxes of all servers for which there is something, and what of them the database has yet to be told.

Which server gets what is decided in sender.py; one outbox is outbox.py, how it is stored storage/outboxes.py.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.runtime.clock import Clock
from homeserver.services.federation.outbox import Outbox
from homeserver.storage.database import Database, Transaction
from homeserver.storage.outboxes import (
    StoredOutbox,
    StoredTransaction,
    mark_behind,
    move_outgoing_position,
    outgoing_position,
    pending_outboxes,
    store_outboxes,
)
from homeserver.storage.to_device_outbox import OutboxPlace, delete_delivered, destinations_with_messages

FLUSH_S: Final = 1.0  # later than that nobody writes down what was delivered
ALL: Final = 1 << 62
MOST_ANSWERING: Final = 20_000  # remembered


class Outboxes:
    """Keeps outboxes in memory while there is something to do for them."""

    def __init__(self, database: Database, clock: Clock, wake: Callable[[], None]) -> None:
        """`wake` is called when there is something to write down that has waited long enough."""
        self._database = database
        self._clock = clock
        self._wake = wake
        self._outboxes: dict[ServerName, Outbox] = {}
        self._ready: OrderedDict[ServerName, None] = OrderedDict()  # those that may have work, the longest first
        self._ready_strangers: OrderedDict[ServerName, None] = OrderedDict()  # the same of those that are strangers
        self._answering: OrderedDict[ServerName, None] = OrderedDict()  # the one that answered last is the last
        self._unwritten: dict[ServerName, Outbox] = {}  # which have got further than the database knows
        self._unmarked: dict[ServerName, Outbox] = {}  # for which there may be more than the database knows
        self._acknowledged: dict[ServerName, OutboxPlace] = {}
        self._flush_is_due = False
        self._flush_is_planned = False

    def __len__(self) -> int:
        return len(self._outboxes)

    def __iter__(self) -> Iterator[Outbox]:
        return iter(tuple(self._outboxes.values()))

    def find(self, server: ServerName) -> Outbox | None:
        """What is in memory for a server; None for one that has all, as far as is known."""
        return self._outboxes.get(server)

    def open(self, server: ServerName, delivered_upto: int) -> Outbox:
        """The server's outbox, which has work now; of one that was idle all is delivered up to there."""
        known = self._outboxes.get(server)
        if known is None:
            known = self._outboxes[server] = Outbox(server, delivered_upto)
        self.make_ready(known)
        return known

    def make_ready(self, outbox: Outbox) -> None:
        """Have an outbox looked at in the next round."""
        queue, other = self._ready, self._ready_strangers
        if self.is_stranger(outbox.destination):
            queue, other = other, queue
        other.pop(outbox.destination, None)
        queue[outbox.destination] = None

    def take_ready(self, *, with_strangers: bool) -> Outbox | None:
        """The next outbox to look at, that of a stranger (if wanted) first; None when there is no more."""
        for queue in (self._ready_strangers, self._ready) if with_strangers else (self._ready,):
            while queue:
                server, _ = queue.popitem(last=False)
                outbox = self._outboxes.get(server)
                if outbox is None or outbox.is_sending:
                    continue
                if outbox.has_work:
                    return outbox
                self._drop_if_idle(outbox)
        return None

    # Whoever can name servers can name ones that do not exist

    def is_stranger(self, server: ServerName) -> bool:
        """Whether a server has not answered lately, so that it may be one that never does."""
        return server not in self._answering

    def note_answer(self, server: ServerName, *, has_answered: bool) -> None:
        """A server answered, whatever it said, or did not."""
        if not has_answered:
            self._answering.pop(server, None)
            return
        self._answering[server] = None
        self._answering.move_to_end(server)
        if len(self._answering) > MOST_ANSWERING:
            self._answering.popitem(last=False)

    # What the database is to know

    @property
    def has_acknowledged(self) -> bool:
        """Whether messages for devices arrived that the database still has."""
        return bool(self._acknowledged)

    def note_delivered(self, outbox: Outbox, upto: int, to_device: OutboxPlace | None = None) -> None:
        """All that is for a server up to there need not be sent again, nor messages up to `to_device`."""
        outbox.delivered_upto = max(outbox.delivered_upto, upto)
        if to_device is not None:
            self._acknowledged[outbox.destination] = to_device
        self._unwritten[outbox.destination] = outbox
        if not self._flush_is_planned:
            self._flush_is_planned = True
            self._clock.call_later(FLUSH_S, self._plan_flush)

    def note_more(self, outbox: Outbox) -> None:
        """There is more for a server than there was."""
        self._unmarked[outbox.destination] = outbox

    def set_aside(self, outbox: Outbox) -> None:
        """Keep no more in memory of a server that is not asked now than that there is something for it."""
        outbox.forget_signals()
        if outbox.positions:
            self.fall_behind(outbox)

    def fall_behind(self, outbox: Outbox) -> None:
        """Let the database say anew what there is for a server."""
        outbox.fall_behind()
        self.note_more(outbox)

    async def load(self) -> int:
        """Take up what the run before this one left. Up to where it had read the log."""
        pending, position, with_messages = await self._database.read(_read_pending)
        for stored in pending:
            outbox = self.open(stored.destination, stored.delivered_upto)
            outbox.is_behind = stored.is_behind
            outbox.has_stored = stored.transaction is not None
            outbox.is_marked = True
        for server in with_messages:
            self.open(server, position).has_messages = True
        return position

    async def flush(self, followed: int) -> None:
        """Write down all that is known now."""
        self._flush_is_due = True
        await self.write_down((), followed)

    async def write_down(self, leaving: Iterable[tuple[Outbox, StoredTransaction]], followed: int) -> None:
        """Have the database know what leaves now, for whom there is more and, at times, what has arrived.

        With it goes up to where the log was read: what it had for others is in these rows, or was delivered.
        """
        rows = {outbox.destination: outbox.stored(transaction) for outbox, transaction in leaving}
        unmarked, self._unmarked = self._unmarked, {}
        marks = {
            server: outbox.stored(None)
            for server, outbox in unmarked.items()
            if server not in rows and outbox.needs_mark
        }
        if not (rows or marks or self._acknowledged or (self._flush_is_due and self._unwritten)):
            return
        unwritten, self._unwritten = self._unwritten, {}
        acknowledged, self._acknowledged = self._acknowledged, {}
        for server, outbox in unwritten.items():
            if server not in rows and not outbox.has_stored:
                rows[server] = outbox.stored(None)
        is_written = False
        try:
            more = [mark for server, mark in marks.items() if server not in rows]
            await self._database.write(_write, tuple(rows.values()), more, acknowledged, followed)
            is_written = True
        finally:
            if not is_written:
                self._unwritten = unwritten | self._unwritten
                self._acknowledged = acknowledged | self._acknowledged
                self._unmarked = unmarked | self._unmarked
        self._flush_is_due = False
        for server, row in (marks | rows).items():
            known = self._outboxes.get(server)
            if known is not None:
                known.is_marked = row.is_behind
                self._drop_if_idle(known)

    def _plan_flush(self) -> None:
        self._flush_is_planned = False
        self._flush_is_due = True
        self._wake()

    def _drop_if_idle(self, outbox: Outbox) -> None:
        if not outbox.has_work and not outbox.is_sending and outbox.destination not in self._unwritten:
            self._outboxes.pop(outbox.destination, None)


def _read_pending(tx: Transaction) -> tuple[list[StoredOutbox], int, set[ServerName]]:
    return pending_outboxes(tx), outgoing_position(tx), destinations_with_messages(tx, after=0, upto=ALL)


def _write(
    tx: Transaction,
    rows: Sequence[StoredOutbox],
    marks: Sequence[StoredOutbox],
    acknowledged: Mapping[ServerName, OutboxPlace],
    followed: int,
) -> None:
    store_outboxes(tx, rows)
    mark_behind(tx, marks)
    for server, place in acknowledged.items():
        delete_delivered(tx, server, place)
    move_outgoing_position(tx, followed)
