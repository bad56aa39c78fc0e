"""A policy server that signs what it is given, but for what it is told to refuse."""

from collections.abc import Mapping
from typing import Any

from homeserver.core.identifiers import ServerName
from homeserver.core.policy_servers import POLICY_KEY_ID
from homeserver.core.room_versions import V11
from homeserver.core.signing import SigningKey, sign_event
from homeserver.outbound.errors import RemoteRefused, Unreachable

KEY = SigningKey("policy_server", bytes([5]) * 32)

# Any: JSON, throughout.


class FakePolicySource:
    """Answers for every server; the events are of rooms of version 11."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.is_away = False
        self.refuses = False
        self.answer: dict[str, Any] | None = None
        self.key = KEY

    async def sign_by_policy_server(
        self, destination: ServerName, event: Mapping[str, Any], *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]:
        """See PolicySource."""
        assert timeout_s > 0 < most_bytes
        self.asked.append(event)
        if self.is_away:
            raise Unreachable("no such server")
        if self.refuses:
            raise RemoteRefused(400, "M_FORBIDDEN", "spam")
        if self.answer is not None:
            return self.answer
        signature = sign_event(event, V11, destination, self.key)["signatures"][destination][POLICY_KEY_ID]
        return {destination: {POLICY_KEY_ID: signature}}
