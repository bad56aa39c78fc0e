"""A policy server that signs what it is given, but for what it is told to refuse."""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.core.identifiers import ServerName
from homeserver.core.policy_servers import POLICY_KEY_ID
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.core.signing import SigningKey, sign_event
from homeserver.outbound.errors import RemoteRefused, Unreachable

KEY = SigningKey("policy_server", bytes([5]) * 32)

# Any: JSON, throughout.


class FakePolicySource:
    """Answers for every server; the events are of rooms of one version."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.is_away = False
        self.refuses = False
        self.answer: dict[str, Any] | None = None
        self.key = KEY
        self.version: RoomVersion = V11
        self.refusal = RemoteRefused(400, "M_FORBIDDEN", "spam")
        self.before_answer: Callable[[], None] = lambda: None  # what happens meanwhile
        self.held: Deferred[None] | None = None

    async def sign_by_policy_server(
        self,
        destination: ServerName,
        event: Mapping[str, Any],
        *,
        timeout_s: float,
        most_bytes: int,
        ignores_backoff: bool,
    ) -> dict[str, Any]:
        """See PolicySource."""
        assert timeout_s > 0 < most_bytes
        self.ignored_backoff = ignores_backoff
        self.asked.append(event)
        if self.held is not None:
            await self.held
        self.before_answer()
        if self.is_away:
            raise Unreachable("no such server")
        if self.refuses:
            raise self.refusal
        if self.answer is not None:
            return self.answer
        signature = sign_event(event, self.version, destination, self.key)["signatures"][destination][POLICY_KEY_ID]
        return {destination: {POLICY_KEY_ID: signature}}
