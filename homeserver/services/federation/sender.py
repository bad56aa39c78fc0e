"""Sends other servers what is for them: follows the change log, and has one transaction under way for each server.

In rounds: what is new in the log is read once for all servers, transactions are made for those that have none, and
written down before they leave, all in one write. So a crash changes nothing but the time: what may have arrived is
sent again under the same ID. What is for whom is in outgoing_log.py, what goes into a transaction in transactions.py,
what a server gets that was away in catch_up.py, and when it is asked again in destinations.py.
Spec: server-server-api/#transactions
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

import orjson

from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of_user
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.randomness import Randomness
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.events.news import Change, News, OutgoingWritten, RoomWritten
from homeserver.services.federation.catch_up import Page, read_page
from homeserver.services.federation.destinations import Destinations
from homeserver.services.federation.outbox import Outbox
from homeserver.services.federation.outgoing_log import Content, Followed, contents_at, read_log
from homeserver.services.federation.transactions import (
    MOST_EDUS,
    MOST_ITEMS,
    Filled,
    fill,
    json_list,
    transaction_json,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.outboxes import (
    StoredOutbox,
    StoredTransaction,
    find_outboxes,
    mark_behind,
    move_outgoing_position,
    outgoing_position,
    pending_outboxes,
    store_outboxes,
)
from homeserver.storage.outgoing_events import OutgoingEvent
from homeserver.storage.to_device_outbox import (
    OutboxPlace,
    delete_delivered,
    destinations_with_messages,
    first_messages,
)

LOOP: Final = "federation sender"
IDLE_S: Final = 60.0
FLUSH_S: Final = 1.0  # later than that nobody writes down what was delivered
PATIENCE_S: Final = 1.0  # for how long receipts wait for others, or for an event
TYPING_REPEATED_S: Final = 40.0  # others stop believing that a user types after a minute
MOST_SENDING: Final = 100
MOST_READ_APART: Final = 10  # servers in a round of which the database is asked what is for them
MOST_READ: Final = 500  # positions in a round that are read once more
MOST_REFUSED_IN_A_ROW: Final = 3
MOST_NOTED: Final = 1_000  # joins, and users who type
ALL: Final = 1 << 62

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
class SenderCounts:
    """What was sent so far."""

    transactions: Counter[str] = field(default_factory=Counter)  # by what became of them
    pdus: int = 0
    edus: int = 0
    left_out: int = 0  # PDUs and EDUs that a server refused to take


@dataclass(frozen=True, slots=True)
class _Sending:
    """A transaction that leaves now. `stored` is None when it need not arrive."""

    outbox: Outbox
    transaction_id: str
    stored: StoredTransaction | None
    events: tuple[OutgoingEvent, ...]
    edu_count: int
    content: bytes

    @property
    def items(self) -> int:
        return len(self.events) + self.edu_count


@dataclass(slots=True)
class _Wanted:
    """What a round must ask the database for."""

    behind: list[tuple[ServerName, int]] = field(default_factory=list)  # and after which position
    stored: list[ServerName] = field(default_factory=list)
    with_messages: list[ServerName] = field(default_factory=list)
    positions: set[int] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        return not (self.behind or self.stored or self.with_messages or self.positions)


@dataclass(slots=True)
class _Loaded:
    """What the database had of it."""

    pages: Mapping[ServerName, Page] = field(default_factory=dict)
    stored: Mapping[ServerName, StoredOutbox] = field(default_factory=dict)
    messages: Mapping[ServerName, Sequence[tuple[OutboxPlace, bytes]]] = field(default_factory=dict)
    contents: dict[int, Content] = field(default_factory=dict)


class FederationSender:
    """The one that sends. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        destinations: Destinations,
        client: TransactionClient,
        device_lists: DeviceLists,
        news: News,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
        most_sending: int = MOST_SENDING,
    ) -> None:
        self.counts: Final = SenderCounts()
        self._database = database
        self._destinations = destinations
        self._client = client
        self._device_lists = device_lists
        self._news = news
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._most_sending = most_sending
        self._loops: Loops | None = None
        self._is_loaded = False
        self._is_stopping = False
        self._is_wanted = False
        self._is_woken = False
        self._followed = 0  # the log was read up to here
        self._has_news = True
        self._has_patience = False
        self._contents: dict[int, Content] = {}  # of this round
        self._outboxes: dict[ServerName, Outbox] = {}  # of all that are not idle
        self._ready: OrderedDict[ServerName, None] = OrderedDict()  # those that may have work, the longest first
        self._sending = 0
        self._unwritten: dict[ServerName, Outbox] = {}  # which have got further than the database knows
        self._unmarked: dict[ServerName, Outbox] = {}
        self._acknowledged: dict[ServerName, OutboxPlace] = {}
        self._flush_is_due = False
        self._flush_is_planned = False
        self._joined: OrderedDict[tuple[RoomID, UserID], None] = OrderedDict()
        self._typing: OrderedDict[tuple[RoomID, UserID], bool] = OrderedDict()
        self._told_typing: OrderedDict[tuple[RoomID, UserID], float] = OrderedDict()

    # From outside

    def start(self, loops: Loops) -> None:
        """Begin to send, with what a run before this one has left."""
        self._loops = loops
        self._news.listen(self._hear)
        self._destinations.listen(self._try_again)
        loops.start(LOOP, self.run, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin no further transaction."""
        self._is_stopping = True

    async def flush(self) -> None:
        """Write down what was delivered. Once stopped, what is on its way is then all that might be sent twice."""
        self._flush_is_due = True
        await self._write_down(())

    def note_typing(self, room_id: RoomID, user_id: UserID, is_typing: bool) -> None:
        """A local user types in a room, or does no longer."""
        key = (room_id, user_id)
        told_s, now_s = self._told_typing.get(key), self._clock.seconds()
        if is_typing == (told_s is not None) and (told_s is None or now_s - told_s < TYPING_REPEATED_S):
            return
        if is_typing:
            self._told_typing[key] = now_s
        else:
            del self._told_typing[key]
        self._typing[key] = is_typing
        for noted in (self._typing, self._told_typing):
            while len(noted) > MOST_NOTED:
                noted.popitem(last=False)
        self._wake()

    def retry(self, destination: ServerName) -> None:
        """Try a server now."""
        self._destinations.retry_now(destination)
        self._try_again(destination)

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_federation_sent_transactions",
            "Transactions to other servers.",
            ["result"],
            lambda: {(result,): number for result, number in self.counts.transactions.items()},
        )
        metrics.counter(
            "columba_federation_sent",
            "PDUs and EDUs that other servers took, and those that they refused.",
            ["kind"],
            lambda: {
                ("pdu",): self.counts.pdus,
                ("edu",): self.counts.edus,
                ("left out",): self.counts.left_out,
            },
        )
        metrics.gauge(
            "columba_federation_destinations",
            "Servers for which something waits, to which something is on its way, and which do not answer.",
            ["state"],
            lambda: {
                ("waiting",): sum(outbox.has_work for outbox in self._outboxes.values()),
                ("sending",): self._sending,
                ("failing",): self._destinations.failing_count,
            },
        )

    @property
    def position(self) -> int:
        """Up to where the log was read."""
        return self._followed

    @property
    def remembered(self) -> int:
        """For how many servers something is in memory."""
        return len(self._outboxes)

    def find_outbox(self, destination: ServerName) -> Outbox | None:
        """What is in memory for a server; None for one that has all, as far as is known."""
        return self._outboxes.get(destination)

    # What wakes it

    def _hear(self, change: Change) -> None:
        if isinstance(change, OutgoingWritten):
            self._has_news = True
            if change.is_urgent:
                self._wake()
            elif not self._has_patience:
                self._has_patience = True
                self._clock.call_later(PATIENCE_S, self._wake)
        elif isinstance(change, RoomWritten):
            for moved in change.memberships:
                has_come = moved.membership == "join" and moved.before != "join"
                if has_come and server_name_of_user(moved.user_id) == self._server_name:
                    self._joined[change.room_id, moved.user_id] = None
            while len(self._joined) > MOST_NOTED:
                self._joined.popitem(last=False)

    def _try_again(self, destination: ServerName | None) -> None:
        """A server may be asked again, or (None) who knows which."""
        if destination is None:
            outboxes = list(self._outboxes.values())
        else:
            outboxes = [self._outboxes[destination]] if destination in self._outboxes else []
        for outbox in outboxes:
            if outbox.alarm is not None:
                outbox.alarm.cancel()
                outbox.alarm = None
            self._ready[outbox.destination] = None
        if outboxes:
            self._wake()

    def _wake(self) -> None:
        self._is_wanted = True
        if not self._is_woken and not self._is_stopping:
            self._is_woken = True
            self._clock.call_later(0, self._hurry)

    def _hurry(self) -> None:
        self._is_woken = False
        if self._loops is not None and not self._is_stopping:
            self._loops.hurry(LOOP)

    # Rounds

    async def run(self) -> None:
        """Rounds, until there is nothing to do."""
        if not self._is_loaded:
            await self._load()
        self._is_wanted = True
        while self._is_wanted and not self._is_stopping:
            self._is_wanted = False
            try:
                await self._follow()
                await self._dispatch()
            finally:
                self._contents = {}

    async def _load(self) -> None:
        """Take up what the run before this one left."""
        pending, position, with_messages = await self._database.read(_read_pending)
        self._followed = position
        for stored in pending:
            self._outboxes[stored.destination] = Outbox(
                stored.destination,
                stored.delivered_upto,
                is_behind=stored.is_behind,
                has_stored=stored.transaction is not None,
                is_marked=True,
            )
            self._ready[stored.destination] = None
        for server in with_messages:
            self._outbox(server, position).has_messages = True
            self._ready[server] = None
        self._is_loaded = True

    async def _follow(self) -> None:
        """Give each server what the log has for it since the round before."""
        typing, self._typing = self._typing, OrderedDict()
        joined, self._joined = self._joined, OrderedDict()
        if not self._has_news and not typing:
            self._followed = max(self._followed, self._database.position)
            return
        self._has_news = self._has_patience = False
        rooms = {room_id for room_id, _ in typing}
        is_all = has_read = False
        while not is_all:
            try:
                followed = await self._database.read(read_log, self._followed, self._server_name, rooms, tuple(joined))
                has_read = True
            finally:
                self._has_news = self._has_news or not has_read
            is_all = followed.is_all
            self._enqueue(followed)
            for (room_id, user_id), is_typing in typing.items():
                for server in followed.rooms.get(room_id, ()):
                    self._outbox(server, self._followed).add_typing(room_id, user_id, is_typing=is_typing)
                    self._ready[server] = None
            if followed.newcomers:
                await self._database.write(self._announce, tuple(followed.newcomers))
            rooms, joined, typing, has_read = set(), OrderedDict(), OrderedDict(), False
            if not is_all and len(self._contents) >= MOST_READ:
                # Enough for one round: what has piled up is sent while the rest is read.
                self._has_news = self._is_wanted = True
                return

    def _enqueue(self, followed: Followed) -> None:
        self._contents.update(followed.contents)
        for server, positions in followed.targets.items():
            outbox = self._outbox(server, positions[0] - 1)
            outbox.add(positions)
            if outbox.needs_mark:
                self._unmarked[server] = outbox
            self._ready[server] = None
        self._followed = max(self._followed, followed.upto)
        for server in followed.with_messages:
            self._outbox(server, self._followed).has_messages = True
            self._ready[server] = None

    def _outbox(self, server: ServerName, delivered_upto: int) -> Outbox:
        """The server's outbox; of one that was idle all is delivered up to there."""
        known = self._outboxes.get(server)
        if known is None:
            known = self._outboxes[server] = Outbox(server, delivered_upto)
        return known

    def _announce(self, tx: Transaction, newcomers: Iterable[UserID]) -> None:
        for user_id in newcomers:
            self._device_lists.announce(tx, user_id)

    async def _dispatch(self) -> None:
        """Make transactions for those servers that have none, write them down, and let them go."""
        if self._acknowledged:
            await self._write_down(())  # else messages that were delivered would be read once more
        chosen, wanted = self._choose()
        batch: list[_Sending] = []
        has_left = False
        try:
            loaded = _Loaded()
            if not wanted.is_empty:
                loaded = await self._database.read(_load, wanted, self._followed, self._server_name)
            loaded.contents.update(self._contents)
            bodies: dict[tuple[tuple[int, ...], bytes], bytes] = {}
            created_ms = self._clock.now_ms()
            for outbox in chosen:
                sending = self._made(outbox, loaded, bodies, created_ms)
                if sending is not None:
                    outbox.is_sending = True
                    batch.append(sending)
            await self._write_down(batch)
            has_left = True
        finally:
            if not has_left:
                for outbox in chosen:
                    self._take_back(outbox)
        if self._loops is not None:
            for sending in batch:
                self._sending += 1
                self._loops.run_once("federation transaction", partial(self._send, sending))

    def _choose(self) -> tuple[list[Outbox], _Wanted]:
        """The servers that get a transaction now, and what is needed for it that is not in memory."""
        chosen: list[Outbox] = []
        wanted = _Wanted()
        apart = 0
        while self._ready and self._sending + len(chosen) < self._most_sending:
            if apart >= MOST_READ_APART or len(wanted.positions) >= MOST_READ:
                self._is_wanted = True
                break
            server, _ = self._ready.popitem(last=False)
            outbox = self._outboxes.get(server)
            if outbox is None or not self._may_send(outbox):
                continue
            chosen.append(outbox)
            if outbox.has_stored:
                wanted.stored.append(server)
                apart += 1
                continue
            if not outbox.positions and outbox.is_behind:
                wanted.behind.append((server, outbox.delivered_upto))
                apart += 1
            candidates = islice(outbox.positions, MOST_ITEMS)
            wanted.positions.update(position for position in candidates if position not in self._contents)
            if outbox.has_messages:
                wanted.with_messages.append(server)
        return chosen, wanted

    def _may_send(self, outbox: Outbox) -> bool:
        if outbox.is_sending:
            return False
        if not outbox.has_work:
            self._drop_if_idle(outbox)
            return False
        is_blocked = self._destinations.is_blocked(outbox.destination)
        wait_ms = self._destinations.wait_ms(outbox.destination)
        if not is_blocked and not wait_ms:
            return True
        self._set_aside(outbox)
        if not is_blocked and outbox.alarm is None:
            outbox.alarm = self._clock.call_later(wait_ms / 1000, partial(self._try_again, outbox.destination))
        return False

    def _set_aside(self, outbox: Outbox) -> None:
        """Keep no more in memory of a server that is not asked now than that there is something for it."""
        outbox.typing.clear()  # it says what is now
        if outbox.positions:
            outbox.fall_behind()
            self._unmarked[outbox.destination] = outbox

    def _made(
        self,
        outbox: Outbox,
        loaded: _Loaded,
        bodies: dict[tuple[tuple[int, ...], bytes], bytes],
        created_ms: int,
    ) -> _Sending | None:
        """The next transaction for a server. Servers that get the same share one body."""
        if outbox.has_stored:
            row = loaded.stored.get(outbox.destination)
            if row is not None and row.transaction is not None:
                return self._again(outbox, row.transaction, loaded.contents)
            outbox.has_stored = False
        page = loaded.pages.get(outbox.destination)
        if page is not None:
            outbox.take_page(page)
        messages = loaded.messages.get(outbox.destination, ())
        filled = fill(
            tuple(islice(outbox.positions, MOST_ITEMS)),
            loaded.contents,
            messages,
            outbox.typing,
            delivered_upto=outbox.delivered_upto,
            most=outbox.most_items,
        )
        for _ in range(filled.taken):
            outbox.positions.popleft()
        outbox.typing.clear()
        if not messages or (filled.to_device == messages[-1][0] and len(messages) < MOST_EDUS):
            outbox.has_messages = False
        if filled.is_empty:
            self._note_delivered(outbox, filled.upto)
            self._ready[outbox.destination] = None
            self._is_wanted = True
            return None
        return self._packed(outbox, filled, bodies, created_ms)

    def _packed(
        self,
        outbox: Outbox,
        filled: Filled,
        bodies: dict[tuple[tuple[int, ...], bytes], bytes],
        created_ms: int,
    ) -> _Sending:
        edus = json_list(filled.edus)
        positions = tuple(event.position for event in filled.events)
        body = bodies.get((positions, edus))
        if body is None:
            pdus = (event.pdu for event in filled.events)
            body = bodies[positions, edus] = transaction_json(self._server_name, created_ms, pdus, edus)
        transaction_id = f"{created_ms:x}{self._randomness.token(9)}"
        stored: StoredTransaction | None = None
        if filled.is_lasting:
            stored = StoredTransaction(transaction_id, created_ms, filled.upto, positions, edus, filled.to_device)
        return _Sending(outbox, transaction_id, stored, filled.events, len(filled.edus), body)

    def _again(self, outbox: Outbox, stored: StoredTransaction, contents: Mapping[int, Content]) -> _Sending:
        """A transaction once more, as it was: but an event that was redacted since goes as it is now."""
        found = [contents[position].event for position in stored.pdus if position in contents]
        events = tuple(event for event in found if event is not None)
        body = transaction_json(self._server_name, stored.created_ms, (event.pdu for event in events), stored.edus)
        edu_count = len(orjson.loads(stored.edus))
        return _Sending(outbox, stored.transaction_id, stored, events, edu_count, body)

    def _take_back(self, outbox: Outbox) -> None:
        """What was taken of an outbox did not leave: let the database say what there is."""
        outbox.is_sending = False
        if not outbox.has_stored:
            outbox.fall_behind()
            outbox.has_messages = True
            self._unmarked[outbox.destination] = outbox
        self._ready[outbox.destination] = None

    # Writing down

    async def _write_down(self, batch: Collection[_Sending]) -> None:
        """Have the database know what leaves now and, at times, what has arrived."""
        leaving = {one.outbox.destination: one.outbox.stored(one.stored) for one in batch if one.stored is not None}
        marks = {
            server: outbox.stored(None)
            for server, outbox in self._unmarked.items()
            if server not in leaving and outbox.needs_mark
        }
        if not (leaving or marks or self._acknowledged or (self._flush_is_due and self._unwritten)):
            self._unmarked.clear()
            return
        unwritten, self._unwritten = self._unwritten, {}
        acknowledged, self._acknowledged = self._acknowledged, {}
        unmarked, self._unmarked = self._unmarked, {}
        arrived = {
            server: outbox.stored(None)
            for server, outbox in unwritten.items()
            if server not in leaving and not outbox.has_stored
        }
        rows = leaving | arrived
        is_written = False
        try:
            marked = [mark for server, mark in marks.items() if server not in arrived]
            await self._database.write(_write, tuple(rows.values()), marked, acknowledged, self._followed)
            is_written = True
        finally:
            if not is_written:
                self._unwritten = unwritten | self._unwritten
                self._acknowledged = acknowledged | self._acknowledged
                self._unmarked = unmarked | self._unmarked
        self._flush_is_due = False
        for server, row in (marks | rows).items():
            outbox = self._outboxes.get(server)
            if outbox is not None:
                outbox.is_marked = row.is_behind
                self._drop_if_idle(outbox)

    def _note_delivered(self, outbox: Outbox, upto: int) -> None:
        outbox.delivered_upto = max(outbox.delivered_upto, upto)
        self._unwritten[outbox.destination] = outbox
        if not self._flush_is_planned:
            self._flush_is_planned = True
            self._clock.call_later(FLUSH_S, self._plan_flush)

    def _plan_flush(self) -> None:
        self._flush_is_planned = False
        self._flush_is_due = True
        self._wake()

    def _drop_if_idle(self, outbox: Outbox) -> None:
        if not outbox.has_work and not outbox.is_sending and outbox.destination not in self._unwritten:
            self._outboxes.pop(outbox.destination, None)

    # One transaction

    async def _send(self, sending: _Sending) -> None:
        outbox = sending.outbox
        outbox.has_stored = sending.stored is not None  # whatever happens, until it is known to have arrived
        is_understood = False
        try:
            answer = await self._client.send_transaction(outbox.destination, sending.transaction_id, sending.content)
        except RemoteRefused as refused:
            is_understood = True
            if 400 <= refused.status < 500 and refused.status not in NOT_OF_THE_CONTENT:
                self._was_refused(sending, refused)
            else:
                self._was_lost(sending, refused)
        except RemoteError as error:
            is_understood = True
            self._was_lost(sending, error)
        else:
            is_understood = True
            self._has_arrived(sending, answer)
        finally:
            if not is_understood and not self._is_stopping:
                self._destinations.failed(outbox.destination)  # a fault of ours must not be repeated without end
            outbox.is_sending = False
            self._sending -= 1
            self._ready[outbox.destination] = None
            self._wake()

    def _has_arrived(self, sending: _Sending, answer: Mapping[str, Any]) -> None:  # Any: JSON of another server
        outbox = sending.outbox
        self.counts.transactions["delivered"] += 1
        self.counts.pdus += len(sending.events)
        self.counts.edus += sending.edu_count
        outbox.refused_in_a_row = 0
        outbox.most_items = min(outbox.most_items * 2, MOST_ITEMS)
        outbox.delivered_ms = self._clock.now_ms()
        self._settle(sending)
        pdus = answer.get("pdus")
        if isinstance(pdus, dict):
            wrong = sum(isinstance(result, dict) and "error" in result for result in pdus.values())
            if wrong:
                log.info("a server did not accept all events", destination=outbox.destination, events=wrong)

    def _settle(self, sending: _Sending) -> None:
        """It need not be sent again."""
        outbox = sending.outbox
        outbox.has_stored = False
        if sending.stored is not None:
            if sending.stored.to_device is not None:
                self._acknowledged[outbox.destination] = sending.stored.to_device
            self._note_delivered(outbox, sending.stored.upto)

    def _was_lost(self, sending: _Sending, error: RemoteError) -> None:
        """Nobody knows whether it arrived: it waits in the database until the server is asked again."""
        outbox = sending.outbox
        self.counts.transactions["lost"] += 1
        if not self._destinations.wait_ms(outbox.destination):
            self._destinations.failed(outbox.destination)
        failing = self._destinations.find_failing(outbox.destination)
        if failing is not None and failing.failures == 1:
            log.info("a server did not take a transaction", destination=outbox.destination, reason=error.reason)
        self._set_aside(outbox)

    def _was_refused(self, sending: _Sending, refused: RemoteRefused) -> None:
        """Something in it the server will never take: find out what, by halves, and go on without."""
        outbox, server = sending.outbox, sending.outbox.destination
        self.counts.transactions["refused"] += 1
        if sending.stored is None:
            return
        if sending.items > 1:
            outbox.most_items = max(1, min(sending.items, outbox.most_items) // 2)
            outbox.has_stored = False
            outbox.has_messages = outbox.has_messages or sending.stored.to_device is not None
            outbox.fall_behind()
            self._unmarked[server] = outbox
            return
        self.counts.left_out += 1
        event_ids = [event.event_id for event in sending.events]
        log.warning(
            "a server refuses what it was sent, and does not get it",
            destination=server,
            events=event_ids,
            edus=sending.edu_count,
            reason=refused.reason,
        )
        self._settle(sending)
        outbox.refused_in_a_row += 1
        if outbox.refused_in_a_row >= MOST_REFUSED_IN_A_ROW:
            # That one refuses whatever it gets: it had better be asked less often.
            outbox.refused_in_a_row = 0
            self._destinations.failed(server)


def _read_pending(tx: Transaction) -> tuple[list[StoredOutbox], int, set[ServerName]]:
    return pending_outboxes(tx), outgoing_position(tx), destinations_with_messages(tx, after=0, upto=ALL)


def _load(tx: Transaction, wanted: _Wanted, upto: int, server_name: ServerName) -> _Loaded:
    """All that is wanted, for however many servers, in one read."""
    loaded = _Loaded(
        pages={server: read_page(tx, server, after=after, upto=upto) for server, after in wanted.behind},
        stored=find_outboxes(tx, wanted.stored) if wanted.stored else {},
        messages=first_messages(tx, wanted.with_messages, limit=MOST_EDUS),
    )
    positions = set(wanted.positions)
    for page in loaded.pages.values():
        positions.update(page.positions[:MOST_ITEMS])
    for row in loaded.stored.values():
        positions.update(row.transaction.pdus if row.transaction is not None else ())
    loaded.contents = contents_at(tx, positions, server_name)
    return loaded


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
