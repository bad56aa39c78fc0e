"""Asks a room's policy server for its signature of events that came without.

That an event which has none is soft-failed is services/events/intake.py's. What makes a room have such a server is in
core/policy_servers.py. Spec: server-server-api/#asking-for-a-policy-server-signature-on-an-event
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from homeserver.core.errors import ProtocolError
from homeserver.core.event import Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.policy_servers import POLICY, POLICY_KEY_ID, PolicyServer, is_recommended, read_policy
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.runtime.logs import get_logger
from homeserver.runtime.parallel import in_parallel
from homeserver.services.events.receipt import Received
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_servers import is_server_in_room
from homeserver.storage.rooms import find_head

AT_ONCE: Final = 5
PATIENCE_S: Final = 10.0
MOST_BYTES: Final = 64 * 1024

log = get_logger(__name__)

Json = Mapping[str, Any]


class PolicySource(Protocol):
    """Asks policy servers. See outbound/federation_client.py."""

    async def sign_by_policy_server(
        self, destination: ServerName, event: Json, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]:
        """The signatures of an event, by server and key ID. Raises RemoteError."""


class PolicyServers:
    """Sees to it that events have the signature that they need, where it can be had."""

    def __init__(self, database: Database, states: RoomStates, source: PolicySource) -> None:
        self.counts: Final[Counter[str]] = Counter()
        self._database = database
        self._states = states
        self._source = source

    async def with_signatures(self, room_id: RoomID, received: Sequence[Received]) -> list[Received]:
        """The same events of a room, in their order, each with the signature if it was to be had.

        A server that does not answer is not asked for the rest of them.
        """
        wanted = list(received)
        policy = await self._database.read(self._policy_of, room_id) if wanted else None
        if policy is None:
            return wanted
        is_there = True

        async def ask(number: int) -> None:
            nonlocal is_there
            event = wanted[number].encoded.event
            if not is_there or is_recommended(event, policy):
                return
            try:
                wanted[number] = self._signed(wanted[number], await self._ask(policy, event), policy)
            except RemoteRefused as refused:
                self.counts["refused"] += 1
                log.debug("a policy server signs no event", server=policy.server, reason=refused.reason)
            except RemoteError as error:
                is_there = False
                self.counts["failed"] += 1
                log.debug("a policy server does not answer", server=policy.server, reason=error.reason)

        await in_parallel([partial(ask, number) for number in range(len(wanted))], at_once=AT_ONCE)
        return wanted

    def _policy_of(self, tx: Transaction, room_id: RoomID) -> PolicyServer | None:
        head = find_head(tx, room_id)
        stored = None if head is None else self._states.find(tx, room_id, head.current_root, *POLICY)
        policy = None if stored is None else read_policy(stored.event.content)
        return policy if policy is not None and is_server_in_room(tx, room_id, policy.server) else None

    async def _ask(self, policy: PolicyServer, event: Event) -> dict[str, Any]:
        return await self._source.sign_by_policy_server(
            policy.server, event.pdu, timeout_s=PATIENCE_S, most_bytes=MOST_BYTES
        )

    def _signed(self, received: Received, answer: Json, policy: PolicyServer) -> Received:
        """The event with the signature in the answer, or as it was if that is not right."""
        event = received.encoded.event
        by_server = answer.get(policy.server)
        signature = by_server.get(POLICY_KEY_ID) if isinstance(by_server, dict) else None
        if isinstance(signature, str):
            signatures = event.pdu["signatures"]
            # Those that the server made as the sender's stay.
            of_server = {**signatures.get(policy.server, {}), POLICY_KEY_ID: signature}
            pdu = {**event.pdu, "signatures": {**signatures, policy.server: of_server}}
            try:
                encoded = parse_and_encode(pdu, event.version)
            except ProtocolError:
                encoded = received.encoded
            if is_recommended(encoded.event, policy):
                self.counts["signed"] += 1
                return Received(encoded, received.form)
        self.counts["unsigned"] += 1
        return received
