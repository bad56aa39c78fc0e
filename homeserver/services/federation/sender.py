"""Sends other servers what is for them: follows the change log, and has one transaction under way for each server.

In rounds: what is new in the log is read once for all servers, transactions are made for those that have none, and
written down before they leave, all in one write. So a crash changes nothing but the time: what may have arrived is
sent again under the same ID. What is for whom is in outgoing_log.py, what goes into a transaction in transactions.py,
how it is delivered in delivery.py; what a server gets that was away in catch_up.py, and when it is asked again in
destinations.py. Spec: server-server-api/#transactions
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

import orjson

from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.presence import Status
from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.randomness import Randomness
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.events.news import Change, News, OutgoingWritten, RoomWritten
from homeserver.services.federation.catch_up import Page, read_page
from homeserver.services.federation.delivery import Delivery, Leaving, TransactionClient
from homeserver.services.federation.destinations import Destinations
from homeserver.services.federation.outbox import Outbox
from homeserver.services.federation.outboxes import Outboxes
from homeserver.services.federation.outgoing_edus import presence_edu, typing_edu
from homeserver.services.federation.outgoing_log import Content, Followed, contents_at, read_log
from homeserver.services.federation.outgoing_typing import OutgoingTyping
from homeserver.services.federation.transactions import (
    MOST_EDUS,
    MOST_ITEMS,
    Filled,
    fill,
    json_list,
    transaction_json,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.outboxes import StoredOutbox, StoredTransaction, find_outboxes
from homeserver.storage.to_device_outbox import OutboxPlace, first_messages

LOOP: Final = "federation sender"
IDLE_S: Final = 60.0
PATIENCE_S: Final = 1.0  # for how long receipts wait for others, or for an event
MOST_SENDING: Final = 100
KEPT_SHARE: Final = 4  # one in so many of these is for servers that have answered before
MOST_READ_APART: Final = 10  # servers in a round of which the database is asked what is for them
MOST_READ: Final = 500  # positions in a round
MOST_JOINS: Final = 1_000


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

    @property
    def is_much(self) -> bool:
        return len(self.behind) + len(self.stored) >= MOST_READ_APART or len(self.positions) >= MOST_READ


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
        self.outboxes: Final = Outboxes(database, clock, self._wake)
        self.delivery: Final = Delivery(client, self.outboxes, destinations, clock)
        self._database = database
        self._destinations = destinations
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
        self._joined: OrderedDict[tuple[RoomID, UserID], None] = OrderedDict()
        self._typing = OutgoingTyping(clock)
        self._presence: dict[ServerName, Mapping[UserID, Status]] = {}

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

    @property
    def is_running(self) -> bool:
        """Whether what is for other servers is sent to them now."""
        return self._loops is not None and not self._is_stopping

    async def flush(self) -> None:
        """Write down what was delivered. Once stopped, what is on its way is then all that might be sent twice."""
        await self.outboxes.flush(self._followed)

    def note_typing(self, room_id: RoomID, user_id: UserID, is_typing: bool) -> None:
        """A local user types in a room, or does no longer."""
        if self._typing.note(room_id, user_id, is_typing=is_typing):
            self._wake()

    def note_presence(self, server: ServerName, statuses: Mapping[UserID, Status]) -> None:
        """Local users come or go, which concerns a server: one that does not answer now will not hear of it."""
        if not self._destinations.is_blocked(server) and not self._destinations.wait_ms(server):
            self._presence[server] = {**self._presence.get(server, {}), **statuses}
            self._wake()

    def retry(self, destination: ServerName) -> None:
        """Try a server now."""
        self._destinations.retry_now(destination)
        self._try_again(destination)

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        counts = self.delivery.counts
        metrics.counter(
            "columba_federation_sent_transactions",
            "Transactions to other servers.",
            ["result"],
            lambda: {(result,): number for result, number in counts.transactions.items()},
        )
        metrics.counter(
            "columba_federation_sent",
            "PDUs and EDUs that other servers took, and those that they refused.",
            ["kind"],
            lambda: {("pdu",): counts.pdus, ("edu",): counts.edus, ("left out",): counts.left_out},
        )
        metrics.gauge(
            "columba_federation_destinations",
            "Servers for which something waits, to which something is on its way, and which do not answer.",
            ["state"],
            lambda: {
                ("waiting",): sum(outbox.has_work for outbox in self.outboxes),
                ("sending",): counts.under_way,
                ("failing",): self._destinations.failing_count,
            },
        )

    @property
    def position(self) -> int:
        """Up to where the log was read."""
        return self._followed

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
            while len(self._joined) > MOST_JOINS:
                self._joined.popitem(last=False)

    def _try_again(self, destination: ServerName | None) -> None:
        """A server may be asked again, or (None) who knows which."""
        found = self.outboxes if destination is None else [self.outboxes.find(destination)]
        outboxes = [outbox for outbox in found if outbox is not None]
        for outbox in outboxes:
            if outbox.alarm is not None:
                outbox.alarm.cancel()
                outbox.alarm = None
            self.outboxes.make_ready(outbox)
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
            self._followed = await self.outboxes.load()
            self._is_loaded = True
        self._is_wanted = True
        while self._is_wanted and not self._is_stopping:
            self._is_wanted = False
            try:
                await self._follow()
                await self._dispatch()
            finally:
                self._contents = {}

    async def _follow(self) -> None:
        """Give each server what the log has for it since the round before."""
        self._take_presence()
        typing = self._typing.take()
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
                    self.outboxes.open(server, self._followed).add_typing(room_id, user_id, is_typing=is_typing)
            if followed.newcomers:
                await self._database.write(self._announce, tuple(followed.newcomers))
            rooms, joined, typing, has_read = set(), OrderedDict(), OrderedDict(), False
            if not is_all and len(self._contents) >= MOST_READ:
                # Enough for one round: what has piled up is sent while the rest is read.
                self._has_news = self._is_wanted = True
                return

    def _take_presence(self) -> None:
        noted, self._presence = self._presence, {}
        for server, statuses in noted.items():
            self.outboxes.open(server, self._followed).add_presence(statuses)

    def _enqueue(self, followed: Followed) -> None:
        self._contents.update(followed.contents)
        for server, positions in followed.targets.items():
            outbox = self.outboxes.open(server, positions[0] - 1)
            outbox.add(positions)
            self.outboxes.note_more(outbox)
        self._followed = max(self._followed, followed.upto)
        for server in followed.with_messages:
            self.outboxes.open(server, self._followed).has_messages = True

    def _announce(self, tx: Transaction, newcomers: Iterable[UserID]) -> None:
        for user_id in newcomers:
            self._device_lists.announce(tx, user_id)

    async def _dispatch(self) -> None:
        """Make transactions for those servers that have none, write them down, and let them go."""
        if self.outboxes.has_acknowledged:
            await self.outboxes.write_down((), self._followed)  # else what was delivered would be read once more
        chosen, wanted = self._choose()
        batch: list[Leaving] = []
        has_left = False
        try:
            loaded = _Loaded()
            if not wanted.is_empty:
                loaded = await self._database.read(_load, wanted, self._followed, self._server_name)
            loaded.contents.update(self._contents)
            bodies: dict[tuple[tuple[int, ...], bytes], bytes] = {}
            created_ms = self._clock.now_ms()
            for outbox in chosen:
                leaving = self._made(outbox, loaded, bodies, created_ms)
                if leaving is not None:
                    outbox.is_sending = True
                    batch.append(leaving)
            lasting = [(one.outbox, one.stored) for one in batch if one.stored is not None]
            await self.outboxes.write_down(lasting, self._followed)
            has_left = True
        finally:
            if not has_left:
                for outbox in chosen:
                    self._take_back(outbox)
        if self._loops is not None:
            for leaving in batch:
                self._loops.run_once("federation transaction", partial(self._deliver, leaving))

    async def _deliver(self, leaving: Leaving) -> None:
        try:
            await self.delivery.deliver(leaving)
        finally:
            self._wake()

    def _choose(self) -> tuple[list[Outbox], _Wanted]:
        """The servers that get a transaction now, and what is needed for it that is not in memory."""
        chosen: list[Outbox] = []
        wanted = _Wanted()
        kept = self._most_sending // KEPT_SHARE
        strangers_left = self._most_sending - kept - self.delivery.counts.to_strangers
        while self.delivery.counts.under_way + len(chosen) < self._most_sending:
            if wanted.is_much:
                self._is_wanted = True
                break
            outbox = self.outboxes.take_ready(with_strangers=strangers_left > 0)
            if outbox is None:
                break
            if not self._may_send(outbox):
                continue
            chosen.append(outbox)
            strangers_left -= self.outboxes.is_stranger(outbox.destination)
            server = outbox.destination
            if outbox.has_stored:
                wanted.stored.append(server)
                continue
            if not outbox.positions and outbox.is_behind:
                wanted.behind.append((server, outbox.delivered_upto))
            candidates = islice(outbox.positions, MOST_ITEMS)
            wanted.positions.update(position for position in candidates if position not in self._contents)
            if outbox.has_messages:
                wanted.with_messages.append(server)
        return chosen, wanted

    def _may_send(self, outbox: Outbox) -> bool:
        """Whether a server may be asked now; else it is set aside until then."""
        is_blocked = self._destinations.is_blocked(outbox.destination)
        wait_ms = self._destinations.wait_ms(outbox.destination)
        if not is_blocked and not wait_ms:
            return True
        self.outboxes.set_aside(outbox)
        if not is_blocked and outbox.alarm is None:
            outbox.alarm = self._clock.call_later(wait_ms / 1000, partial(self._try_again, outbox.destination))
        return False

    def _made(
        self,
        outbox: Outbox,
        loaded: _Loaded,
        bodies: dict[tuple[tuple[int, ...], bytes], bytes],
        created_ms: int,
    ) -> Leaving | None:
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
            self._signals(outbox),
            delivered_upto=outbox.delivered_upto,
            most=outbox.most_items,
        )
        for _ in range(filled.taken):
            outbox.positions.popleft()
        outbox.forget_signals()
        if not messages or (filled.to_device == messages[-1][0] and len(messages) < MOST_EDUS):
            outbox.has_messages = False
        if filled.is_empty:
            self.outboxes.note_delivered(outbox, filled.upto)
            self.outboxes.make_ready(outbox)
            self._is_wanted = True
            return None
        return self._packed(outbox, filled, bodies, created_ms)

    def _signals(self, outbox: Outbox) -> list[bytes]:
        edus = [typing_edu(room_id, user_id, is_typing=is_on) for (room_id, user_id), is_on in outbox.typing.items()]
        if outbox.presence:
            edus.append(presence_edu(outbox.presence, self._clock.seconds()))
        return edus

    def _packed(
        self,
        outbox: Outbox,
        filled: Filled,
        bodies: dict[tuple[tuple[int, ...], bytes], bytes],
        created_ms: int,
    ) -> Leaving:
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
        return Leaving(outbox, transaction_id, stored, filled.events, len(filled.edus), body)

    def _again(self, outbox: Outbox, stored: StoredTransaction, contents: Mapping[int, Content]) -> Leaving:
        """A transaction once more, as it was: but an event that was redacted since goes as it is now."""
        found = [contents[position].event for position in stored.pdus if position in contents]
        events = tuple(event for event in found if event is not None)
        body = transaction_json(self._server_name, stored.created_ms, (event.pdu for event in events), stored.edus)
        edu_count = len(orjson.loads(stored.edus))
        return Leaving(outbox, stored.transaction_id, stored, events, edu_count, body)

    def _take_back(self, outbox: Outbox) -> None:
        """What was taken of an outbox did not leave: let the database say what there is."""
        outbox.is_sending = False
        if not outbox.has_stored:
            self.outboxes.fall_behind(outbox)
            outbox.has_messages = True
        self.outboxes.make_ready(outbox)


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
