"""Servers that get the same room in different ways, and whether they end up in agreement about it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.state_map import StateMap
from homeserver.services.events.judging import HEADS_LIMIT
from homeserver.storage.events import StoredEvent
from homeserver.storage.events import Verdict as StoredVerdict
from tests.convergence.deliveries import WAYS, Delivery, deliveries
from tests.databases import fresh_sqlite
from tests.forked_rooms import START_MS, USERS, ForkedRoom, Proposal, build_in, is_allowed
from tests.postgres import Postgres
from tests.poured_rooms import PouredRoom, check_against_history, check_current_state
from tests.replicas import History, Replica, Verdict
from tests.services.world import World

MEMORY_FOLDER: Final = Path("/dev/shm")  # databases that are thrown away need no disk
_VERDICTS: Final = {
    StoredVerdict.ACCEPTED: Verdict.ACCEPTED,
    StoredVerdict.SOFT_FAILED: Verdict.SOFT_FAILED,
    StoredVerdict.REJECTED: Verdict.REJECTED,
}


@dataclass(slots=True)
class Agreement:
    """What the servers went through before they agreed."""

    has_waited: bool = False  # some event came before its ancestors
    has_soft_failure: bool = False
    soft_failures_differ: bool = False  # some event was soft-failed by one server and not by another
    heads_differ: bool = False
    is_joined: bool = False  # the last event was accepted by all


@contextmanager
def sqlite_servers() -> Iterator[list[World]]:
    """A server with an empty database for each way of delivery, in memory where there is a file system for it."""
    folder = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with TemporaryDirectory(prefix="columba-convergence-", dir=folder) as name, ExitStack() as stack:
        yield [stack.enter_context(closing(World(fresh_sqlite(Path(name) / f"{number}.db")))) for number in range(WAYS)]


@contextmanager
def postgresql_servers(postgres: Postgres, count: int = WAYS) -> Iterator[list[World]]:
    """So many servers, each with an empty database."""
    with ExitStack() as stack:
        worlds = []
        for _ in range(count):
            url = postgres.url_of_new_database()
            stack.callback(postgres.give_back, url)
            worlds.append(stack.enter_context(closing(World(postgres.backend(url)))))
        yield worlds


def check_agreement(worlds: Sequence[World], room: ForkedRoom, random: Random, ways: int = WAYS) -> Agreement:
    """Fail unless servers agree with each other and with the history however the room came to them.

    It comes to as many of them as there are to be `ways`, which are drawn by chance.
    """
    all_ways = deliveries(room, random)
    chosen = [all_ways[way] for way in sorted(random.sample(range(WAYS), ways))]
    poured_rooms: list[PouredRoom] = []
    for world, delivery in zip(worlds, chosen, strict=False):
        poured = PouredRoom(world, room, delivery.name)
        poured.pour_in_parts(delivery.events, random)
        poured_rooms.append(poured)
    agreement = Agreement(has_waited=any(poured.has_waited for poured in poured_rooms))
    _check_events(poured_rooms, chosen, agreement)
    heads = _check_heads(poured_rooms, agreement)
    assert len(heads) <= HEADS_LIMIT, "more heads than one event can join"
    _check_joined(poured_rooms, heads, random, agreement)
    return agreement


def _check_events(poured_rooms: Sequence[PouredRoom], ways: Sequence[Delivery], agreement: Agreement) -> None:
    """Every event has the same states around it everywhere, and was rejected everywhere or nowhere."""
    first: Mapping[EventID, StoredEvent] | None = None
    for poured, delivery in zip(poured_rooms, ways, strict=True):
        stored = check_against_history(poured)
        if first is None:
            first = stored
        for event_id, one in stored.items():
            assert one.root_before == first[event_id].root_before, f"{poured.name}: another root before {event_id}"
            assert one.root == first[event_id].root, f"{poured.name}: another root after {event_id}"
            agreement.has_soft_failure |= one.verdict is StoredVerdict.SOFT_FAILED
            agreement.soft_failures_differ |= one.verdict is not first[event_id].verdict
        if delivery.is_in_order:
            _check_as_one_by_one(poured, delivery, stored)


def _check_as_one_by_one(poured: PouredRoom, delivery: Delivery, stored: Mapping[EventID, StoredEvent]) -> None:
    """What a naive server makes of the same events in the same order, soft failures too."""
    naive = Replica(poured.room.history)
    for event in delivery.events:
        verdict = naive.receive(event)
        assert _VERDICTS[stored[event.event_id].verdict] is verdict, f"{poured.name}: {event.event_id} is {verdict}"
    assert set(poured.head.heads) == naive.heads, f"{poured.name}: the heads"


def _check_heads(poured_rooms: Sequence[PouredRoom], agreement: Agreement) -> list[EventID]:
    """Servers with the same heads have the same current state. Returns the heads of all."""
    roots: dict[frozenset[EventID], bytes] = {}
    for poured in poured_rooms:
        head = check_current_state(poured)
        root = roots.setdefault(frozenset(head.heads), head.current_root)
        assert head.current_root == root, f"{poured.name}: another root after the same heads"
    agreement.heads_differ = len(roots) > 1
    return sorted(frozenset().union(*roots))


def _check_joined(
    poured_rooms: Sequence[PouredRoom], heads: Sequence[EventID], random: Random, agreement: Agreement
) -> None:
    """After one more event, built on the heads of all servers, there is nothing left in which they could differ."""
    room = poured_rooms[0].room
    states = [room.history.state_after(poured.head.heads) for poured in poured_rooms]
    event = joining_event(room.history, heads, states, random)
    is_accepted = room.history.add(event)
    before: set[bytes | None] = set()
    after: set[bytes] = set()
    verdicts: set[StoredVerdict] = set()
    for poured in poured_rooms:
        poured.pour([event])
        stored = poured.stored([event.event_id])[event.event_id]
        assert (stored.verdict is not StoredVerdict.REJECTED) is is_accepted, f"{poured.name}: the joining event"
        assert stored.root_before is not None
        assert poured.state(stored.root_before) == room.history.before[event.event_id]
        before.add(stored.root_before)
        head = check_current_state(poured)
        if stored.verdict is StoredVerdict.ACCEPTED:
            assert head.heads == (event.event_id,), f"{poured.name}: heads beside the joining event"
            after.add(head.current_root)
        verdicts.add(stored.verdict)
    assert len(before) == 1, "the joining event has different states before it"
    assert len(after) <= 1, "the joining event leads to different states"
    agreement.is_joined = verdicts == {StoredVerdict.ACCEPTED}


def joining_event(history: History, heads: Sequence[EventID], states: Sequence[StateMap], random: Random) -> Event:
    """An event on top of all heads, allowed there and in these states, if there is any such."""
    state = history.state_after(heads)
    proposals = [
        proposal
        for user in random.sample(USERS, len(USERS))
        for proposal in (
            Proposal("m.room.message", user, {"body": "all together now"}, None),
            Proposal("m.room.topic", user, {"topic": "all together now"}),
            Proposal("m.room.member", user, {"membership": "join"}, user),
        )
    ]
    random.shuffle(proposals)
    allowed = [proposal for proposal in proposals if is_allowed(history, proposal, state)] or proposals
    everywhere = [proposal for proposal in allowed if all(is_allowed(history, proposal, each) for each in states)]
    return build_in(
        history,
        (everywhere or allowed)[0],
        heads,
        state,
        depth=1 + max(history.events[event_id].depth for event_id in heads),
        time_ms=START_MS + 1000 * len(history.events),
    )
