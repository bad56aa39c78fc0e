"""Events of this server's users, shown to their room's policy server before they are written.

They are built within a write, which cannot wait for another server. So one that lacks the signature ends its write
with nothing written; the policy server is asked; and the write is run again, and finds the answer. Should the room have
moved on meanwhile, the event is another one, and is asked about anew. In a room without a policy server there is one
write, as though all this were not.

Nobody has to stay in a room because its policy server refuses the leave, or is away: it is asked, as servers must, but
a leave that says nothing else is sent without its signature then. Servers should not do so, says the specification, and
others may soft-fail the leave until something that is signed is built on it.

Spec: server-server-api/#policy-servers. Events of other servers: services/federation/policy_servers.py.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, TypeVar

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.policy_servers import PolicyServer, is_recommended
from homeserver.outbound.errors import RemoteError, RemoteRefused, Unreachable
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.errors import NotRecommended, PolicyServerFailed, RefusedByPolicyServer
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.events.policy_signatures import PolicySource, policy_in_use, with_policy_signature
from homeserver.services.events.writing.states import MEMBER
from homeserver.storage.database import Database, Transaction

P = ParamSpec("P")
T = TypeVar("T")

MOST_ASKED: Final = 10  # times for the events of one room in one write: as often as it may move on meanwhile, and more
SILENCE_MS: Final = 10_000  # for which a server that did not answer is not asked again: others wait behind it
MOST_SILENT: Final = 1_000
MOST_WAITING: Final = 100  # for answers about one room, each behind the other
GIVEN_AT_WILL: Final = frozenset({"origin_server_ts", "event_id", "hashes", "signatures"})


class _Unapproved(Exception):  # noqa: N818 - a turn of control inside this file
    """An event that its policy server has not been asked about yet."""

    def __init__(self, key: Hashable, built: EncodedEvent, policy: PolicyServer) -> None:
        super().__init__(f"{policy.server} has to be asked")
        self.key = key
        self.built = built
        self.policy = policy

    @property
    def room_id(self) -> RoomID:
        """The room that the event is for."""
        return self.built.event.room_id


@dataclass(slots=True)
class _Answers:
    """What policy servers have said so far of the events of one write."""

    signed: dict[Hashable, EncodedEvent] = field(default_factory=dict)
    refused: dict[Hashable, NotRecommended] = field(default_factory=dict)
    given_up: dict[RoomID, NotRecommended] = field(default_factory=dict)
    asked: Counter[RoomID] = field(default_factory=Counter)


# Set while a write runs, on the thread on which it runs, from its first statement to its last.
_ANSWERS: Final[ContextVar[_Answers]] = ContextVar("answers of policy servers")


class PolicyApproval:
    """Runs the writes in which events are built."""

    def __init__(self, database: Database, source: PolicySource, clock: Clock, server_name: ServerName) -> None:
        self._database = database
        self._source = source
        self._clock = clock
        self._server_name = server_name
        self._silent_until_ms: dict[ServerName, int] = {}
        # Those who wait for an answer about one room would otherwise make each other's events outdated.
        self._locks: KeyedLocks[RoomID] = KeyedLocks()
        self._waiting: Counter[RoomID] = Counter()

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`Database.write` for a function that builds events; `fn` may run more than once.

        Raises NotRecommended, with nothing written, when `fn` lets it through.
        """
        answers = _Answers()

        def run(tx: Transaction) -> T:
            token = _ANSWERS.set(answers)
            try:
                return fn(tx, *args, **kwargs)
            finally:
                _ANSWERS.reset(token)

        try:
            return await self._database.write(run)
        except _Unapproved as unapproved:
            wanted = unapproved
        while True:
            room_id = wanted.room_id
            is_outdated = self._locks.is_held(room_id)
            async with self._turn(wanted.built.event):
                while wanted.room_id == room_id:
                    if not is_outdated:
                        await self._answer(wanted, answers)
                    is_outdated = False
                    try:
                        return await self._database.write(run)
                    except _Unapproved as unapproved:
                        wanted = unapproved

    @asynccontextmanager
    async def _turn(self, event: Event) -> AsyncIterator[None]:
        """Wait until nobody else asks about a room. Raises PolicyServerFailed when too many wait already.

        A leave is waited with all the same: of those there are no more than members.
        """
        room_id = event.room_id
        if self._waiting[room_id] >= MOST_WAITING and not _is_leave(event):
            raise PolicyServerFailed("Too many wait for the room's policy server to answer")
        self._waiting[room_id] += 1
        try:
            async with self._locks(room_id):
                yield
        finally:
            self._waiting[room_id] -= 1
            if not self._waiting[room_id]:
                del self._waiting[room_id]

    def approved(self, write: RoomWrite, built: EncodedEvent) -> EncodedEvent:
        """An event as it may be added to a room: as it was built, or as its policy server has signed it.

        Within a function that `write` runs, and nowhere else. Raises NotRecommended.
        """
        answers = _ANSWERS.get()
        policy = policy_in_use(write)
        if policy is None or is_recommended(built.event, policy):
            return built
        key = _key_of(built.event)
        signed = answers.signed.get(key)
        if signed is not None and is_recommended(signed.event, policy):
            return signed
        refusal = answers.refused.get(key) or answers.given_up.get(write.room_id)
        if refusal is not None and _is_leave(built.event) and built.event.content.keys() == {"membership"}:
            return built
        if refusal is not None:
            raise refusal
        raise _Unapproved(key, built, policy)

    async def _answer(self, wanted: _Unapproved, answers: _Answers) -> None:
        """Ask about an event, and note what is answered."""
        server, room_id = wanted.policy.server, wanted.room_id
        answers.asked[room_id] += 1
        if server == self._server_name:
            answers.given_up[room_id] = PolicyServerFailed(
                "The room's policy server is said to be this one, which is none"
            )
        elif answers.asked[room_id] > MOST_ASKED:
            answers.given_up[room_id] = PolicyServerFailed("The room changes faster than its policy server answers")
        elif self._clock.now_ms() < self._silent_until_ms.get(server, 0):
            answers.given_up[room_id] = PolicyServerFailed(f"{server}, the room's policy server, does not answer")
        else:
            await self._ask(wanted, answers)

    async def _ask(self, wanted: _Unapproved, answers: _Answers) -> None:
        server = wanted.policy.server
        try:
            signed = await with_policy_signature(self._source, wanted.policy, wanted.built, ignores_backoff=True)
        except RemoteRefused as refused:
            answers.refused[wanted.key] = refusal_of(refused)
        except Unreachable as silent:
            self._note_silence(server)
            answers.given_up[wanted.room_id] = PolicyServerFailed(silent.reason)
        except RemoteError as failure:
            answers.refused[wanted.key] = PolicyServerFailed(failure.reason)
        else:
            answers.signed[wanted.key] = signed

    def _note_silence(self, server: ServerName) -> None:
        self._silent_until_ms.pop(server, None)
        self._silent_until_ms[server] = self._clock.now_ms() + SILENCE_MS
        if len(self._silent_until_ms) > MOST_SILENT:
            del self._silent_until_ms[next(iter(self._silent_until_ms))]


def refusal_of(refused: RemoteRefused) -> RefusedByPolicyServer:
    """A policy server's refusal, as the one who wanted to send the event is told of it."""
    body = refused.body or {}
    error, retry_after_ms = body.get("error"), body.get("retry_after_ms")
    return RefusedByPolicyServer(
        refused.status,
        refused.errcode,
        error if isinstance(error, str) else refused.reason,
        retry_after_ms if type(retry_after_ms) is int else None,
    )


def _is_leave(event: Event) -> bool:
    """Whether somebody leaves the room of their own will, or declines an invite, or takes back a knock."""
    is_own = event.type == MEMBER and event.state_key == event.sender
    return is_own and event.content.get("membership") == "leave"


def _key_of(event: Event) -> bytes:
    """What makes an event the same that was asked about: all but what is given anew each time that it is built."""
    said = {name: value for name, value in event.pdu.items() if name not in GIVEN_AT_WILL}
    return encode_for(event.version, said)
