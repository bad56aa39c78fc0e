"""A policy server's signature on an event: which server a room wants it from, and asking that server for it.

Of events that are built here it is asked before they are written: policy_approval.py. Of those that come without:
services/federation/policy_servers.py. Spec: server-server-api/#asking-for-a-policy-server-signature-on-an-event
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from homeserver.core.errors import ProtocolError
from homeserver.core.event import EncodedEvent
from homeserver.core.event_format import parse_and_encode
from homeserver.core.identifiers import ServerName
from homeserver.core.policy_servers import POLICY, POLICY_KEY_ID, PolicyServer, is_recommended, read_policy
from homeserver.outbound.errors import RemoteNonsense
from homeserver.services.events.persistence import RoomWrite
from homeserver.storage.room_servers import is_server_in_room

PATIENCE_S: Final = 10.0
MOST_BYTES: Final = 64 * 1024

Json = Mapping[str, Any]  # Any: JSON of other servers, throughout


class PolicySource(Protocol):
    """Asks policy servers. See outbound/federation_client.py."""

    async def sign_by_policy_server(
        self, destination: ServerName, event: Json, *, timeout_s: float, most_bytes: int, ignores_backoff: bool
    ) -> dict[str, Any]:
        """The signatures of an event, by server and key ID. Raises RemoteError."""


def policy_in_use(write: RoomWrite) -> PolicyServer | None:
    """The policy server of a room as it stands. Spec: #determining-if-a-policy-server-is-enabled-in-a-room"""
    stored = write.state([POLICY]).get(POLICY)
    policy = None if stored is None else read_policy(stored.content)
    return policy if policy is not None and is_server_in_room(write.tx, write.room_id, policy.server) else None


async def with_policy_signature(
    source: PolicySource, policy: PolicyServer, encoded: EncodedEvent, *, ignores_backoff: bool = False
) -> EncodedEvent:
    """The event with the policy server's signature besides those that it has.

    Raises RemoteError: RemoteRefused when the server does not recommend the event, RemoteNonsense when what it answers
    is no right signature.
    """
    if policy.key is None:
        raise RemoteNonsense(f"the room's state has no usable key of {policy.server}, its policy server")
    answer = await source.sign_by_policy_server(
        policy.server,
        encoded.event.pdu,
        timeout_s=PATIENCE_S,
        most_bytes=MOST_BYTES,
        ignores_backoff=ignores_backoff,
    )
    by_server = answer.get(policy.server)
    signed = _with_signature(
        encoded, policy.server, by_server.get(POLICY_KEY_ID) if isinstance(by_server, dict) else ""
    )
    if not is_recommended(signed.event, policy):
        raise RemoteNonsense(f"{policy.server}, the room's policy server, gave no right signature")
    return signed


def adopted_signature(policy: PolicyServer, encoded: EncodedEvent, told: object) -> EncodedEvent:
    """The event with the policy server's signature that it has in `told`, what another server says it is, if right."""
    signatures = told.get("signatures") if isinstance(told, dict) else None
    by_server = signatures.get(policy.server) if isinstance(signatures, dict) else None
    signed = _with_signature(
        encoded, policy.server, by_server.get(POLICY_KEY_ID) if isinstance(by_server, dict) else ""
    )
    return signed if is_recommended(signed.event, policy) else encoded


def _with_signature(encoded: EncodedEvent, server: ServerName, signature: object) -> EncodedEvent:
    event = encoded.event
    if not isinstance(signature, str):
        return encoded
    signatures = event.pdu["signatures"]
    # Those that the server made as the sender's stay.
    of_server = {**signatures.get(server, {}), POLICY_KEY_ID: signature}
    try:
        return parse_and_encode({**event.pdu, "signatures": {**signatures, server: of_server}}, event.version)
    except ProtocolError:
        return encoded
