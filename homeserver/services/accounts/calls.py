"""What users need for calls: a TURN server that carries them past firewalls, and a place where many meet."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.core.turn import TurnCredentials, credentials_until
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import Forbidden, NotFound


@dataclass(frozen=True, slots=True)
class Turn:
    """The TURN servers of this homeserver's users, and how to get in: by a shared secret, or as one user for all."""

    uris: Sequence[str]
    lifetime_s: int
    shared_secret: str | None = None
    username: str | None = None
    password: str | None = None
    allows_guests: bool = False


@dataclass(frozen=True, slots=True)
class TurnAccess:
    """What somebody may use of the TURN servers, and for how long."""

    uris: Sequence[str]
    credentials: TurnCredentials
    lifetime_s: int


class Calls:
    """Gives credentials for TURN servers. Spec: client-server-api/#voice-over-ip"""

    def __init__(self, turn: Turn, clock: Clock) -> None:
        self._turn = turn
        self._clock = clock

    def turn_access(self, requester: Requester) -> TurnAccess:
        """How this user reaches the TURN servers. Raises NotFound if there are none, and Forbidden for guests.

        Whoever has such credentials makes the TURN server carry traffic, and guests are anybody.
        """
        turn = self._turn
        if not turn.uris:
            raise NotFound("This server has no TURN servers")
        if requester.is_guest and not turn.allows_guests:
            raise Forbidden("Guests may not use this server's TURN servers")
        return TurnAccess(turn.uris, self._credentials(requester), turn.lifetime_s)

    def _credentials(self, requester: Requester) -> TurnCredentials:
        turn = self._turn
        if turn.shared_secret is None:
            return TurnCredentials(turn.username or "", turn.password or "")
        return credentials_until(self._clock.now_ms() // 1000 + turn.lifetime_s, requester.user_id, turn.shared_secret)
