"""Asks a room's policy server for its signature of events that came without.

That an event which has none is soft-failed is services/events/intake.py's. What makes a room have such a server is in
core/policy_servers.py, and what is built here is seen to in services/events/policy_approval.py.
Spec: server-server-api/#asking-for-a-policy-server-signature-on-an-event
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.core.policy_servers import POLICY, PolicyServer, is_recommended, read_policy
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.runtime.logs import get_logger
from homeserver.runtime.parallel import in_parallel
from homeserver.services.errors import PolicyServerFailed
from homeserver.services.events.policy_approval import refusal_of
from homeserver.services.events.policy_signatures import PolicySource, with_policy_signature
from homeserver.services.events.receipt import Received
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_servers import is_server_in_room
from homeserver.storage.rooms import find_head

AT_ONCE: Final = 5

log = get_logger(__name__)


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
        policy = await self._database.read(self.find, room_id) if wanted else None
        if policy is None:
            return wanted
        is_there = True

        async def ask(number: int) -> None:
            nonlocal is_there
            if not is_there or is_recommended(wanted[number].encoded.event, policy):
                return
            try:
                wanted[number] = await self._signed(wanted[number], policy)
            except (RemoteRefused, RemoteNonsense):
                return
            except RemoteError:
                is_there = False

        await in_parallel([partial(ask, number) for number in range(len(wanted))], at_once=AT_ONCE)
        return wanted

    async def signed(self, policy: PolicyServer, received: Received) -> Received:
        """An event that another server hands over, to be sent on by this one. Raises NotRecommended."""
        if is_recommended(received.encoded.event, policy):
            return received
        try:
            return await self._signed(received, policy)
        except RemoteRefused as refused:
            raise refusal_of(refused) from refused
        except RemoteError as failure:
            raise PolicyServerFailed(failure.reason) from failure

    def find(self, tx: Transaction, room_id: RoomID) -> PolicyServer | None:
        """The policy server of a room as it stands."""
        head = find_head(tx, room_id)
        stored = None if head is None else self._states.find(tx, room_id, head.current_root, *POLICY)
        policy = None if stored is None else read_policy(stored.event.content)
        return policy if policy is not None and is_server_in_room(tx, room_id, policy.server) else None

    async def _signed(self, received: Received, policy: PolicyServer) -> Received:
        """Raises RemoteError."""
        try:
            encoded = await with_policy_signature(self._source, policy, received.encoded)
        except RemoteRefused as refused:
            self._note("refused", policy, refused)
            raise
        except RemoteNonsense as nonsense:
            self._note("unsigned", policy, nonsense)
            raise
        except RemoteError as error:
            self._note("failed", policy, error)
            raise
        self.counts["signed"] += 1
        return Received(encoded, received.form)

    def _note(self, outcome: str, policy: PolicyServer, error: RemoteError) -> None:
        self.counts[outcome] += 1
        log.debug("a policy server has not signed an event", server=policy.server, reason=error.reason)
