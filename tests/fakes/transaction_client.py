"""Other servers that are sent transactions: they take them, refuse them, keep silent, or take their time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import RemoteError, RemoteRefused, Unreachable
from homeserver.outbound.gate import Gate

# Any: JSON, throughout.


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt to send a transaction."""

    destination: ServerName
    transaction_id: str
    content: bytes

    @property
    def body(self) -> Any:
        """The transaction."""
        return orjson.loads(self.content)

    @property
    def bodies(self) -> list[str]:
        """What its messages say; of an event of another type, the type."""
        return [event["content"].get("body", event["type"]) for event in self.body["pdus"]]


@dataclass
class Peer:
    """How one server answers: with an error, later, or with what a function of the transaction says."""

    error: RemoteError | None = None
    is_held: bool = False
    judge: Callable[[Any], RemoteError | None] | None = None
    held: list["Deferred[None]"] = field(default_factory=list)


class FakeTransactionClient:
    """Does with the gate what the real client does; keeps every attempt."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.peers: dict[ServerName, Peer] = {}
        self.attempts: list[Sent] = []
        self.taken: list[Sent] = []
        self.under_way: dict[ServerName, int] = {}
        self.most_under_way = 0

    def peer(self, server: ServerName) -> Peer:
        """A server, to be told how to answer."""
        return self.peers.setdefault(server, Peer())

    async def send_transaction(self, destination: ServerName, txn_id: str, content: bytes) -> Mapping[str, Any]:
        """See TransactionClient. Two transactions at once for one server are a failure of the test."""
        self.gate.check(destination)
        sent = Sent(destination, txn_id, content)
        self.attempts.append(sent)
        self.under_way[destination] = self.under_way.get(destination, 0) + 1
        self.most_under_way = max(self.most_under_way, sum(self.under_way.values()))
        assert self.under_way[destination] == 1, "a second transaction is under way"
        try:
            return await self._answer(sent)
        finally:
            self.under_way[destination] -= 1

    async def _answer(self, sent: Sent) -> Mapping[str, Any]:
        peer = self.peer(sent.destination)
        if peer.is_held:
            held: Deferred[None] = Deferred()
            peer.held.append(held)
            await held
        error = peer.error if peer.judge is None else peer.judge(sent.body)
        if isinstance(error, Unreachable) or (isinstance(error, RemoteRefused) and error.status >= 500):
            self.gate.failed(sent.destination)
        else:
            self.gate.succeeded(sent.destination)
        if error is not None:
            raise error
        self.taken.append(sent)
        return {"pdus": {}}

    def release(self, server: ServerName) -> None:
        """Let a held server answer, and answer at once from now on."""
        peer = self.peer(server)
        peer.is_held = False
        held, peer.held = peer.held, []
        for one in held:
            one.callback(None)

    def taken_by(self, server: ServerName) -> list[Sent]:
        """The transactions that a server took."""
        return [sent for sent in self.taken if sent.destination == server]

    def said_to(self, server: ServerName) -> list[str]:
        """The messages that a server took, in order."""
        return [body for sent in self.taken_by(server) for body in sent.bodies]

    def edus_to(self, server: ServerName, edu_type: str | None = None) -> list[Any]:
        """The contents of the EDUs that a server took, in order: all, or those of a type."""
        edus = [edu for sent in self.taken_by(server) for edu in sent.body["edus"]]
        return [edu["content"] for edu in edus if edu_type in (None, edu["edu_type"])]
