"""Policy servers: which one a room's m.room.policy names, and whether it has signed an event.

Whether it is in the room, without which it counts for nothing, is asked where the room is known.
Spec: server-server-api/#policy-servers
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.errors import BadIdentifier, BadKey, ProtocolError
from homeserver.core.event import Event
from homeserver.core.identifiers import KeyID, ServerName, parse_server_name
from homeserver.core.signing import VerifyKey, verify_event_signature

POLICY: Final = ("m.room.policy", "")
POLICY_KEY_ID: Final = KeyID("ed25519:policy_server")


@dataclass(frozen=True, slots=True)
class PolicyServer:
    """A server that is asked before an event is recommended; by a key of None it can recommend nothing."""

    server: ServerName
    key: VerifyKey | None


def read_policy(content: Mapping[str, Any]) -> PolicyServer | None:
    """The policy server in an m.room.policy event's content; None if it names none."""
    via, keys = content.get("via"), content.get("public_keys")
    public = keys.get("ed25519") if isinstance(keys, dict) else None
    if not isinstance(via, str) or not isinstance(public, str):
        return None
    try:
        server = parse_server_name(via)
    except BadIdentifier:
        return None
    try:
        return PolicyServer(server, VerifyKey.from_base64(POLICY_KEY_ID, public))
    except BadKey:
        return PolicyServer(server, None)


def is_recommended(event: Event, policy: PolicyServer) -> bool:
    """Whether the policy server has signed the event, or need not be asked."""
    if (event.type, event.state_key) == POLICY:
        return True
    if policy.key is None:
        return False
    try:
        verify_event_signature(event.pdu, event.version, policy.server, policy.key)
    except ProtocolError:
        return False
    return True
